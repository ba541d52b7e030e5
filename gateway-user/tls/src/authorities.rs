//! Certificates of authorities, read from PEM and checked.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::IdentityError;
use crate::pem;

/// Most certificates of one text: seven times those of a browser. Each worker parses them, and each handshake whose issuer
/// is unknown goes through them.
pub const AUTHORITIES_MAX: usize = 1_000;

/// Reasons why a PEM text holds no authorities. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// There is no certificate in it.
    #[error("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    None,
    /// One of the sections is damaged.
    #[error("it is not PEM from end to end: {0}")]
    BadPem(&'static str),
    /// It is text of two bytes for each character.
    #[error("it is UTF-16, as Windows writes it; save it as UTF-8 or ASCII")]
    Utf16,
    /// A section cannot be trusted.
    #[error("certificate {0} of it is not an X.509 certificate in DER that can be trusted")]
    BadCertificate(usize),
    /// More than can be looked at in a handshake.
    #[error(
        "it holds {0} certificates, and at most {AUTHORITIES_MAX} are used; leave out those that sign no backend"
    )]
    TooMany(usize),
}

/// Reads the certificates of authorities, each once, in DER.
///
/// # Errors
/// [`AuthoritiesError`], the first there is.
pub fn read_authorities(text: &[u8]) -> Result<Vec<Vec<u8>>, AuthoritiesError> {
    read(text, |at| Err(AuthoritiesError::BadCertificate(at)))
}

/// The same for a bundle that somebody else keeps: certificates of it that cannot be trusted are left out.
///
/// # Errors
/// [`AuthoritiesError`], the first there is.
pub fn read_bundle(text: &[u8]) -> Result<Vec<Vec<u8>>, AuthoritiesError> {
    let read = read(text, |_| Ok(()))?;
    if read.is_empty() { Err(AuthoritiesError::None) } else { Ok(read) }
}

/// `bad` judges the certificate of that number, from 1, which cannot be trusted.
fn read(
    text: &[u8],
    bad: impl Fn(usize) -> Result<(), AuthoritiesError>,
) -> Result<Vec<Vec<u8>>, AuthoritiesError> {
    let authorities = pem::certificates(text, &mut Vec::new()).map_err(|error| match error {
        IdentityError::BadPem(why) => AuthoritiesError::BadPem(why),
        IdentityError::Utf16(_) => AuthoritiesError::Utf16,
        _ => AuthoritiesError::None,
    })?;
    if authorities.len() > AUTHORITIES_MAX {
        return Err(AuthoritiesError::TooMany(authorities.len()));
    }
    let mut read: Vec<Vec<u8>> = Vec::with_capacity(authorities.len());
    for (certificate, at) in authorities.into_iter().zip(1..) {
        let der = certificate.to_vec();
        match add(&mut RootCertStore::empty(), certificate) {
            Ok(()) => read.push(der),
            Err(()) => bad(at)?,
        }
    }
    let mut seen = std::collections::HashSet::new();
    read.retain(|der| seen.insert(der.clone()));
    Ok(read)
}

/// Has a certificate trusted.
pub(crate) fn add(roots: &mut RootCertStore, certificate: CertificateDer<'_>) -> Result<(), ()> {
    roots.add(certificate).map_err(|_| ())
}
