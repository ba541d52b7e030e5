//! The server's side of a session: its handshake, the client that it is with, and the session behind it.

use std::fmt;

use rustls::HandshakeKind;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::UnbufferedServerConnection;

use crate::server::Protocol;
use crate::session::{Established as _, Outgoing};
use crate::side::ServerSide;
use crate::{ClientMode, EstablishedSession, HandshakeError, ServerTls, TlsSession, Version};

/// The server's side, towards a client. It buffers nothing: what is not understood yet stays with the caller, and what is
/// opened or sealed is handed over at once.
pub struct ServerSession {
    stage: Stage,
    /// The client's part in the handshake, once that is over.
    outcome: Option<Box<Outcome>>,
}

enum Stage {
    Handshake(Box<TlsSession<ServerSide>>),
    Established(EstablishedSession),
    /// The one could not be made from the other.
    Broken,
}

/// The outcome of a handshake.
struct Outcome {
    version: Option<Version>,
    protocol: Protocol,
    kind: Option<HandshakeKind>,
    chain: Vec<CertificateDer<'static>>,
}

impl ServerSession {
    /// A session that waits for its ClientHello.
    ///
    /// # Errors
    /// The settings contradict each other, which those of [`ServerTls::new`] do not.
    pub fn new(tls: &ServerTls) -> Result<Self, HandshakeError> {
        Self::begin(UnbufferedServerConnection::new(tls.config.clone()))
    }

    /// The same with a full handshake, whatever ticket the client brings.
    ///
    /// # Errors
    /// As [`ServerSession::new`].
    pub fn without_resumption(tls: &ServerTls) -> Result<Self, HandshakeError> {
        let config = tls.clients.as_ref().map_or(&tls.config, |clients| &clients.full);
        Self::begin(UnbufferedServerConnection::new(config.clone()))
    }

    fn begin(connection: Result<UnbufferedServerConnection, rustls::Error>) -> Result<Self, HandshakeError> {
        let connection = connection.map_err(|error| HandshakeError::from(&error))?;
        let handshake = TlsSession::of(ServerSide::of(connection));
        Ok(Self { stage: Stage::Handshake(Box::new(handshake)), outcome: None })
    }

    /// Takes the whole records at the front of `input`, which may be decrypted in place. Gives the number of
    /// bytes that were used up: the caller keeps the rest and puts it in front of what comes next. Content
    /// goes to `content`, and what is to be sent, an alert after an error included, to `out`.
    ///
    /// # Errors
    /// The client broke the protocol or refused us: nothing more can be received.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        out: &mut impl Outgoing,
        content: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, HandshakeError> {
        let mut used = 0;
        if let Stage::Handshake(session) = &mut self.stage {
            used = session.receive(input, out, content)?;
            if session.is_handshaking() {
                return Ok(used);
            }
            self.establish()?;
        }
        let Stage::Established(session) = &mut self.stage else { return Err(HandshakeError::Protocol) };
        let rest = input.get_mut(used..).unwrap_or_default();
        let mut parts = Parts { room: Vec::new(), content };
        Ok(used + session.receive(rest, out, &mut parts)?)
    }

    /// Goes on without the TLS library.
    fn establish(&mut self) -> Result<(), HandshakeError> {
        let Stage::Handshake(session) = std::mem::replace(&mut self.stage, Stage::Broken) else {
            return Err(HandshakeError::Protocol);
        };
        self.outcome = Some(Box::new(Outcome {
            version: session.version(),
            protocol: session.protocol(),
            kind: session.common().handshake_kind(),
            chain: session.common().peer_certificates().map(<[_]>::to_vec).unwrap_or_default(),
        }));
        let is_peer_closed = session.is_peer_closed();
        let (connection, secrets) = session.into_connection().into_parts();
        let established = EstablishedSession::take_over(connection, secrets, is_peer_closed);
        self.stage = Stage::Established(established.ok_or(HandshakeError::Protocol)?);
        Ok(())
    }

    /// The session behind the handshake alone.
    ///
    /// # Errors
    /// The handshake is not over.
    pub fn into_established(self) -> Result<EstablishedSession, HandshakeError> {
        match self.stage {
            Stage::Established(session) => Ok(session),
            Stage::Handshake(_) | Stage::Broken => Err(HandshakeError::Protocol),
        }
    }

    /// Seals `data` into records of at most what there is room for.
    ///
    /// # Errors
    /// The handshake is not over, the connection is closed, or its keys are used up.
    pub fn send(&mut self, data: &[u8], out: &mut impl Outgoing) -> Result<(), HandshakeError> {
        match &mut self.stage {
            Stage::Established(session) => session.send(data, out),
            Stage::Handshake(_) | Stage::Broken => Err(HandshakeError::Protocol),
        }
    }

    /// Says that nothing more will be sent (RFC 8446 section 6.1), once; nothing where the session is broken
    /// or was never established.
    pub fn close(&mut self, out: &mut impl Outgoing) {
        if let Stage::Established(session) = &mut self.stage {
            session.close(out);
        }
    }

    /// Frees what the next record can have made again.
    pub fn park(&mut self) {
        if let Stage::Established(session) = &mut self.stage {
            session.park();
        }
    }

    /// True if the handshake still goes on.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.stage, Stage::Handshake(_))
    }

    /// True if the client has said that it sends nothing more. An end of the connection without that may be an
    /// attacker's.
    pub fn is_peer_closed(&self) -> bool {
        matches!(&self.stage, Stage::Established(session) if session.is_peer_closed())
    }

    /// The version that was agreed on; `None` before.
    pub fn version(&self) -> Option<Version> {
        match &self.stage {
            Stage::Handshake(session) => session.version(),
            _ => self.outcome.as_ref().and_then(|outcome| outcome.version),
        }
    }

    /// The protocol that was agreed on; HTTP/1 before.
    pub fn protocol(&self) -> Protocol {
        match &self.stage {
            Stage::Handshake(session) => session.protocol(),
            _ => self.outcome.as_ref().map(|outcome| outcome.protocol).unwrap_or_default(),
        }
    }

    /// True if the handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.kind() == Some(HandshakeKind::Resumed)
    }

    fn kind(&self) -> Option<HandshakeKind> {
        match &self.stage {
            Stage::Handshake(session) => session.common().handshake_kind(),
            _ => self.outcome.as_ref().and_then(|outcome| outcome.kind),
        }
    }

    /// The client's certificates, its own first.
    fn chain(&self) -> &[CertificateDer<'static>] {
        match &self.stage {
            Stage::Handshake(session) => session.common().peer_certificates().unwrap_or_default(),
            _ => self.outcome.as_ref().map(|outcome| &*outcome.chain).unwrap_or_default(),
        }
    }

    /// True if the next bytes may have it sign: until the client has said what it can, twice if it is asked again
    /// (RFC 8446 section 4.1.4).
    pub fn may_sign(&self) -> bool {
        self.version().is_none() || self.kind() == Some(HandshakeKind::FullWithHelloRetryRequest)
    }

    /// The valid certificate that the client has shown, in DER, now or in the session that this one resumes; `None` without
    /// one. To be asked at the end of a handshake: a certificate of an
    /// earlier session is checked again, for it may have expired since.
    ///
    /// # Errors
    /// The listener takes valid certificates only, and this one is not, or not any more.
    pub fn client_certificate(&self, tls: &ServerTls) -> Result<Option<&[u8]>, HandshakeError> {
        let Some(clients) = &tls.clients else { return Ok(None) };
        let chain = self.chain();
        let fallback = clients.trust.mode() == ClientMode::InsecureFallback;
        // The handshake has just checked it.
        let is_checked = self.kind() == Some(HandshakeKind::Full) && !fallback;
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

/// Content on its way to whoever takes it in parts.
struct Parts<'a> {
    room: Vec<u8>,
    content: &'a mut dyn FnMut(&[u8]),
}

impl Outgoing for Parts<'_> {
    fn room(&mut self, needed: usize) -> &mut [u8] {
        self.room.resize(needed.max(self.room.len()), 0);
        &mut self.room
    }

    fn wrote(&mut self, count: usize) {
        (self.content)(self.room.get(..count).unwrap_or_default());
    }
}

impl fmt::Debug for ServerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSession").field("handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}
