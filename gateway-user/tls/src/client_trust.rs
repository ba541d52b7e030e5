//! Checks of a client's certificate (GEP-91), for one listener.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256};

use crate::peer::{ClientTlsError, certificate};
use crate::validity::{check_client_usage, check_validity};
use crate::{authorities, provider};

/// Bytes of names of authorities that clients are sent to choose a certificate by (RFC 8446 section 4.2.4). With more, none
/// is: a client then sends the certificate that it has, and no handshake carries a whole bundle.
const HINTS_MAX: usize = 4 << 10;

/// The strictness of a check (GEP-91, `FrontendValidationModeType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientMode {
    /// Connections without a valid certificate are refused.
    #[default]
    ValidOnly,
    /// They go on, and count as connections without a certificate.
    InsecureFallback,
}

/// Trusts clients whose certificate some authorities have signed. Shared by all handshakes of a listener.
pub struct ClientTrust {
    chains: Arc<dyn ClientCertVerifier>,
    /// SHA-256 of each trusted certificate, in order: one that a client shows itself needs no chain.
    pinned: Vec<[u8; 32]>,
    hints: Vec<DistinguishedName>,
    mode: ClientMode,
}

impl ClientTrust {
    /// Trusts these authorities, in DER. Those that cannot be used are left out.
    ///
    /// # Errors
    /// None is left.
    pub fn new(authorities: &[&[u8]], mode: ClientMode) -> Result<Self, ClientTlsError> {
        let mut roots = RootCertStore::empty();
        for der in authorities {
            let _ = authorities::add(&mut roots, certificate(der));
        }
        let mut hints = roots.subjects();
        if hints.iter().map(|name| name.as_ref().len()).sum::<usize>() > HINTS_MAX {
            hints.clear();
        }
        let chains = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|_| ClientTlsError::NoAuthority)?;
        let mut pinned: Vec<[u8; 32]> = authorities.iter().map(|der| Sha256::digest(der).into()).collect();
        pinned.sort_unstable();
        Ok(Self { chains, pinned, hints, mode })
    }

    /// The strictness.
    pub fn mode(&self) -> ClientMode {
        self.mode
    }

    /// Digests of the trusted certificates, in order.
    pub(crate) fn digests(&self) -> &[[u8; 32]] {
        &self.pinned
    }

    /// Checks that a trusted authority has signed a certificate for clients, or that it is itself a trusted one: a
    /// certificate that signs itself is an authority's, and no path may end with one.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`].
    pub(crate) fn check(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let (end_entity, intermediates) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let digest: [u8; 32] = Sha256::digest(end_entity).into();
        if self.pinned.binary_search(&digest).is_ok() {
            check_validity(end_entity, now)?;
            return check_client_usage(end_entity);
        }
        let checked = self.chains.verify_client_cert(end_entity, intermediates, now);
        checked.map(drop).map_err(of_chain)
    }

    /// True if a certificate that cannot be read may be shown: it is never taken for a valid one.
    fn ignores(&self, cert: &CertificateDer<'_>) -> bool {
        self.mode == ClientMode::InsecureFallback && ParsedCertificate::try_from(cert).is_err()
    }
}

/// An authority that has the issuer's name and another key is not the issuer.
fn of_chain(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        }
        other => other,
    }
}

impl ClientCertVerifier for ClientTrust {
    fn client_auth_mandatory(&self) -> bool {
        self.mode == ClientMode::ValidOnly
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    /// With a fallback every certificate is taken here, and judged when the handshake is over.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.mode == ClientMode::ValidOnly {
            let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
            self.check(&chain, now)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.ignores(cert) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => self.chains.verify_tls12_signature(message, cert, dss),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.ignores(cert) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => self.chains.verify_tls13_signature(message, cert, dss),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

impl fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTrust").field("mode", &self.mode).finish_non_exhaustive()
    }
}
