//! The server's side of a session: its beginning, and the client that it is with.

use rustls::HandshakeKind;
use rustls::pki_types::UnixTime;

use crate::{ClientMode, HandshakeError, ServerSession, ServerSide, ServerTls};

impl ServerSession {
    /// A session that waits for its ClientHello.
    ///
    /// # Errors
    /// The settings contradict each other, which those of [`ServerTls::new`] do not.
    pub fn new(tls: &ServerTls) -> Result<Self, HandshakeError> {
        let connection = ServerSide::new(tls.config.clone()).map_err(|error| HandshakeError::from(&error))?;
        Ok(Self::of(connection))
    }

    /// The same with a full handshake, whatever ticket the client brings.
    ///
    /// # Errors
    /// As [`ServerSession::new`].
    pub fn without_resumption(tls: &ServerTls) -> Result<Self, HandshakeError> {
        let config = tls.clients.as_ref().map_or(&tls.config, |clients| &clients.full);
        let connection = ServerSide::new(config.clone()).map_err(|error| HandshakeError::from(&error))?;
        Ok(Self::of(connection))
    }

    /// True if the next bytes may have it sign: until the client has said what it can, twice if it is asked again
    /// (RFC 8446 section 4.1.4).
    pub fn may_sign(&self) -> bool {
        let common = self.common();
        common.protocol_version().is_none()
            || common.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest)
    }

    /// The valid certificate that the client has shown, in DER, now or in the session that this one resumes; `None` without
    /// one. To be asked at the end of a handshake: a certificate of an
    /// earlier session is checked again, for it may have expired since.
    ///
    /// # Errors
    /// The listener takes valid certificates only, and this one is not, or not any more.
    pub fn client_certificate(&self, tls: &ServerTls) -> Result<Option<&[u8]>, HandshakeError> {
        let Some(clients) = &tls.clients else { return Ok(None) };
        let chain = self.common().peer_certificates().unwrap_or_default();
        let fallback = clients.trust.mode() == ClientMode::InsecureFallback;
        // The handshake has just checked it.
        let is_checked = self.common().handshake_kind() == Some(HandshakeKind::Full) && !fallback;
        if !is_checked && let Err(error) = clients.trust.check(chain, UnixTime::now()) {
            return if fallback { Ok(None) } else { Err(HandshakeError::from(&error)) };
        }
        let end_entity = chain.first().map(|der| der.as_ref());
        end_entity.map(Some).ok_or(HandshakeError::ClientCertificateRequired)
    }

    /// True if it resumes a session whose client's certificate is not valid any more: a full handshake is to take its place.
    /// To be asked before anything that it has to send is sent.
    pub fn is_stale(&self, tls: &ServerTls) -> bool {
        self.is_resumed() && self.client_certificate(tls).is_err()
    }
}
