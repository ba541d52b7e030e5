//! Objects with certificates and authorities, as they were read, from one update to the next.

use crate::authorities::Authorities;
use crate::certificate::Certificates;

/// Both kinds. Of each object the result is kept as long as somebody refers to it.
#[derive(Debug, Default)]
pub(crate) struct TlsObjects {
    pub(crate) certificates: Certificates,
    pub(crate) authorities: Authorities,
}

impl TlsObjects {
    /// Begins a translation: what is not asked for until [`TlsObjects::finish`] is forgotten.
    pub(crate) fn start(&mut self) {
        self.certificates.start();
        self.authorities.start();
    }

    pub(crate) fn finish(&mut self) {
        self.certificates.finish();
        self.authorities.finish();
    }
}
