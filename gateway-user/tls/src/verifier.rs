//! Checks of a backend's certificate.

use std::fmt;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::authorities;
use crate::peer::{ClientTlsError, PeerName, certificate};
use crate::provider;
use crate::server::covers;
use crate::validity::check_validity;

/// Trusts chains to some authorities, for some names.
pub(crate) struct BackendVerifier {
    provider: std::sync::Arc<CryptoProvider>,
    roots: RootCertStore,
    /// SHA-256 of each trusted certificate, in order: one that a backend shows itself needs no chain.
    pinned: Vec<[u8; 32]>,
    /// Empty: the server name that was sent.
    names: Vec<PeerName>,
}

impl BackendVerifier {
    /// Those that cannot be used are left out.
    ///
    /// # Errors
    /// None is left.
    pub(crate) fn new(trusted: &[&[u8]], names: &[PeerName]) -> Result<Self, ClientTlsError> {
        let mut roots = RootCertStore::empty();
        for der in trusted {
            let _ = authorities::add(&mut roots, certificate(der));
        }
        if roots.is_empty() {
            return Err(ClientTlsError::NoAuthority);
        }
        let mut pinned: Vec<[u8; 32]> = trusted.iter().map(|der| Sha256::digest(der).into()).collect();
        pinned.sort_unstable();
        Ok(Self { provider: provider(), roots, pinned, names: names.to_vec() })
    }

    /// Checks that a trusted authority has signed a certificate, or that it is itself a trusted one: a certificate that
    /// signs itself, as `openssl req -x509` makes it, is an authority's, and no path may end with one.
    fn check_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let digest: [u8; 32] = Sha256::digest(end_entity).into();
        if self.pinned.binary_search(&digest).is_ok() {
            return check_validity(end_entity, now);
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)
            .map_err(|error| match error {
                // One that is an authority's own is refused as such, before it is looked for among the trusted.
                Error::InvalidCertificate(CertificateError::Other(_)) if signs_itself(end_entity) => {
                    Error::InvalidCertificate(CertificateError::UnknownIssuer)
                }
                other => other,
            })
    }

    fn check_names(
        &self,
        end_entity: &CertificateDer<'_>,
        server_name: &ServerName<'_>,
    ) -> Result<(), Error> {
        if self.names.is_empty() {
            return verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name);
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
        let (_, parsed) = X509Certificate::from_der(end_entity).map_err(bad)?;
        let alternative = parsed
            .subject_alternative_name()
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let shown = alternative.iter().flat_map(|shown| &shown.value.general_names);
        let is_shown = |wanted: &PeerName| {
            is_exactly_for(&certificate, wanted) || shown.clone().any(|shown| is_like(wanted, shown))
        };
        match self.names.iter().any(is_shown) {
            true => Ok(()),
            false => Err(Error::InvalidCertificate(CertificateError::NotValidForName)),
        }
    }
}

/// True if a certificate names itself as its issuer.
fn signs_itself(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.issuer() == parsed.subject())
}

/// True if a certificate is for this host, itself or by a wildcard.
fn is_exactly_for(certificate: &ParsedCertificate<'_>, wanted: &PeerName) -> bool {
    let PeerName::Dns(wanted) = wanted else { return false };
    ServerName::try_from(wanted.as_str()).is_ok_and(|name| verify_server_name(certificate, &name).is_ok())
}

/// True if one name of a certificate is of a pattern, or is the URI.
fn is_like(wanted: &PeerName, shown: &GeneralName<'_>) -> bool {
    match (wanted, shown) {
        (PeerName::Dns(wanted), GeneralName::DNSName(shown)) => {
            let shown = shown.to_ascii_lowercase();
            wanted.starts_with("*.") && (shown == *wanted || covers(std::slice::from_ref(wanted), &shown))
        }
        (PeerName::Uri(wanted), GeneralName::URI(shown)) => wanted == shown,
        _ => false,
    }
}

impl ServerCertVerifier for BackendVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_chain(end_entity, intermediates, now)?;
        self.check_names(end_entity, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for BackendVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendVerifier").field("names", &self.names).finish_non_exhaustive()
    }
}
