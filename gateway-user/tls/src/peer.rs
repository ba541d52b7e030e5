//! The names and certificates that a backend is known by, and settings of them that cannot be used.

use rustls::pki_types::CertificateDer;

/// A name that a backend's certificate may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerName {
    /// A DNS name in lower case, maybe with a first label `*`, which stands for one label.
    Dns(String),
    /// A URI, compared byte by byte.
    Uri(String),
}

/// The settings cannot be used. The text says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientTlsError {
    /// The server name is neither a DNS name nor an IP address.
    #[error("the hostname is neither a DNS name nor an IP address")]
    BadHostname,
    /// None of the certificates can be trusted.
    #[error("no certificate of an authority can be used")]
    NoAuthority,
    /// No version can be spoken, which does not happen.
    #[error("no version of TLS is available")]
    Version,
}

pub(crate) fn certificate(der: &[u8]) -> CertificateDer<'_> {
    CertificateDer::from(der)
}
