//! TLS of the stream between a controller and its nodes: version 1.3, and one name for every controller, so that a node
//! can connect to whatever address leads to one.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::identity::{Identity, IdentityError};
use crate::provider;

/// The name in every controller's certificate.
pub const STREAM_NAME: &str = "sluice-controller";
/// The protocol within: no client of another one gets through, whatever it trusts.
const ALPN: &[u8] = b"sluice-stream";

/// The error of authorities' certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamTlsError {
    /// There is none in the text.
    #[error(
        "no certificate in it; it holds those of the authorities that sign controllers' certificates, in PEM"
    )]
    NoAuthority,
    /// One cannot be read.
    #[error("certificate {0} cannot be read")]
    BadAuthority(usize),
    /// Version 1.3 cannot be spoken, which does not happen.
    #[error("TLS 1.3 is not available")]
    Version,
}

/// A controller's side, with its certificate.
///
/// # Errors
/// The key cannot be used.
pub fn stream_server(identity: &Identity) -> Result<Arc<ServerConfig>, IdentityError> {
    let certified = Arc::new(identity.certified()?);
    let resolver = rustls::sign::SingleCertAndKey::from(certified);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| IdentityError::BadKey)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A node connects seldom, and a ticket would let it in with a certificate that was rotated away.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A node's side, which trusts the authorities whose certificates are in the text, in PEM, and no other.
///
/// # Errors
/// [`StreamTlsError`].
pub fn stream_client(authorities: &[u8]) -> Result<Arc<ClientConfig>, StreamTlsError> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in (1..).zip(CertificateDer::pem_slice_iter(authorities)) {
        let certificate = certificate.map_err(|_| StreamTlsError::BadAuthority(at))?;
        roots.add(certificate).map_err(|_| StreamTlsError::BadAuthority(at))?;
    }
    if roots.is_empty() {
        return Err(StreamTlsError::NoAuthority);
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| StreamTlsError::Version)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// [`STREAM_NAME`] as a client asks for it.
pub fn stream_name() -> ServerName<'static> {
    // A constant, which a test reads.
    ServerName::try_from(STREAM_NAME).unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
}

/// First and last second of a certificate's validity, in seconds since 1970; `None` if the text holds none.
pub fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let der = CertificateDer::pem_slice_iter(certificate).next()?.ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
    Some((parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_one_that_can_be_asked_for() {
        assert_eq!(stream_name().to_str(), STREAM_NAME);
    }

    #[test]
    fn a_text_without_authorities_says_so() {
        assert_eq!(stream_client(b"").err(), Some(StreamTlsError::NoAuthority));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(stream_client(broken).err(), Some(StreamTlsError::BadAuthority(1)));
        assert_eq!(validity(broken), None);
    }
}
