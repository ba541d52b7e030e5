//! From a connection's first bytes to its listener: the server name, and the handshake if TLS ends here.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use gateway_io::Chunk;
use gateway_ir::Opening;
use gateway_snapshot::{RouteMiss, Selected};
use gateway_tls::hello::{HelloReader, MAX_HELLO, Peek};
use gateway_tls::{HandshakeError, Protocol};

use crate::Reason;
use crate::exchange::route::opening;
use crate::h1::reply;
use crate::h1::server::ServerConnection;
use crate::l4;
use crate::l4::admitted::Admitted;
use crate::metrics::UnsupportedProtocol;
use crate::tls::handshake::Handshake;
use crate::tls::layer::{RECORD_MAX, TlsInfo};

/// For a client to take an alert, and what it still sends meanwhile, which would turn the close into a reset.
const ALERT_TIMEOUT: Duration = Duration::from_secs(1);
const ALERT_DRAIN_BYTES: usize = 64 * 1024;

/// The reason for which a connection goes no further.
enum Refused {
    /// The client is told, as far as it would understand.
    Handshake(HandshakeError),
    /// It is reset. That was counted, and written to the log.
    Connection,
}

/// The way on from a ClientHello.
struct Plan {
    /// The handshake to make, if TLS ends here.
    handshake: Option<Handshake>,
    /// The connection's place, if it goes to a backend as a whole.
    admitted: Option<Box<Admitted>>,
}

impl From<HandshakeError> for Refused {
    fn from(failure: HandshakeError) -> Self {
        Self::Handshake(failure)
    }
}

impl ServerConnection {
    /// True if the connection's listeners are told apart by ClientHello and none was read yet. Asked once, when its first bytes
    /// are there.
    pub(crate) fn expects_client_hello(&mut self) -> bool {
        if std::mem::replace(&mut self.info.begun, true) {
            return false;
        }
        opening(&self.info.context, self.info.local) == Some(Opening::ClientHello)
    }

    /// Reads the ClientHello, and secures the connection if its listener asks for that. One that goes to a backend as a whole has
    /// its place there from now on. `None` if that failed: the client was told, as far as it would understand, and the
    /// connection is closed.
    pub(crate) async fn accept_tls(mut self: Box<Self>) -> Option<Box<Self>> {
        let limit = self.limited(self.info.context.config.timeouts.tls_handshake);
        self.stream.recv.set_deadline(Some(limit));
        self.stream.send.set_deadline(Some(limit));
        let control = Rc::clone(&self.info.control);
        // A drain's maximum ends it otherwise.
        let result = control.kill.unless(pin!(self.negotiate())).await?;
        self.stream.recv.set_deadline(None);
        self.stream.send.set_deadline(None);
        match result {
            Ok(()) => Some(self),
            Err(Refused::Connection) => {
                l4::server::refuse(self);
                None
            }
            Err(Refused::Handshake(failure)) => {
                self.tell(failure).await;
                None
            }
        }
    }

    /// Tells the client of a failed handshake, as far as it would understand, and closes the connection.
    async fn tell(mut self: Box<Self>, failure: HandshakeError) {
        self.count_failure(failure);
        if failure == HandshakeError::NotTls && self.inbox.as_ref().is_some_and(|inbox| is_http(inbox)) {
            reply::reply_before_request(&mut self, Reason::PlaintextOnTls);
        }
        tracing::debug!(peer = %self.info.peer, local = %self.info.local, reason = failure.code(), "TLS handshake failed");
        if failure != HandshakeError::ClientClosed {
            self.stream.close_lingering(ALERT_DRAIN_BYTES, ALERT_TIMEOUT).await;
        }
    }

    fn count_failure(&self, failure: HandshakeError) {
        let metrics = &mut self.info.context.metrics.borrow_mut();
        metrics.tls_failures.count(failure);
        if failure == HandshakeError::NoApplicationProtocol {
            metrics.unsupported.count(UnsupportedProtocol::Alpn);
        }
    }

    /// Reads the ClientHello and does what its listener asks for. Records to send are queued, also after a failure.
    async fn negotiate(&mut self) -> Result<(), Refused> {
        let mut inbox = self.inbox.take().unwrap_or_else(Chunk::take);
        let server_name = match self.receive_server_name(&mut inbox).await {
            Ok(server_name) => server_name,
            Err(failure) => {
                self.alert(failure);
                self.inbox = Some(inbox);
                return Err(failure.into());
            }
        };
        let plan = self.plan(server_name);
        let Plan { handshake, admitted } = plan.inspect_err(|refused| {
            if let Refused::Handshake(failure) = refused {
                self.alert(*failure);
            }
        })?;
        match handshake {
            Some(handshake) => self.secure(handshake, inbox).await?,
            // The backend is sent what was read here.
            None => self.inbox = Some(inbox),
        }
        self.admitted = admitted;
        Ok(())
    }

    /// The way on for a client that asks for that name. A connection that goes to a backend as a whole is routed before its
    /// handshake, so that none is made for one that is refused.
    fn plan(&mut self, server_name: Option<String>) -> Result<Plan, Refused> {
        let live = self.info.context.live();
        let table = self.info.bind_table(&live.snapshot).ok_or(HandshakeError::UnrecognizedName)?;
        let selected = table.select(server_name.as_deref());
        let settings = selected.and_then(|selected| live.settings(&selected.listener.settings));
        let server_name = server_name.map(String::into_boxed_str);
        let protocol = Protocol::default();
        let info = TlsInfo { server_name, version: None, protocol, client_cert: None, settings };
        self.info.tls = Some(Box::new(info));
        let Some(Selected { listener, tls, .. }) = selected else {
            if table.terminates_tls() {
                return Err(HandshakeError::UnrecognizedName.into());
            }
            // A gateway that passes all TLS on has none of its own to say so in.
            self.count_failure(HandshakeError::UnrecognizedName);
            l4::server::note_refused(&self.info, Reason::Miss(RouteMiss::NoListenerForHost));
            return Err(Refused::Connection);
        };
        let admitted = match listener.serve.takes_connections() {
            true => Some(l4::server::admit(&self.info).ok_or(Refused::Connection)?),
            false => None,
        };
        let handshake = match (listener.serve.terminates_tls(), tls) {
            (true, Some(tls)) => {
                let server = live.server(tls).ok_or(HandshakeError::NoCertificate)?.clone();
                Some(Handshake { server, forward_client_cert: tls.forward_client_cert })
            }
            (true, None) => return Err(HandshakeError::NoCertificate.into()),
            (false, _) => None,
        };
        Ok(Plan { handshake, admitted })
    }

    /// Receives until the ClientHello is whole.
    async fn receive_server_name(&mut self, inbox: &mut Chunk) -> Result<Option<String>, HandshakeError> {
        let mut reader = HelloReader::default();
        loop {
            match reader.peek(inbox) {
                Peek::Hello { server_name } => return Ok(server_name),
                Peek::Incomplete if inbox.len() <= MAX_HELLO => {
                    *inbox = self.more(std::mem::replace(inbox, Chunk::with_capacity(0)), RECORD_MAX).await?;
                }
                Peek::Incomplete | Peek::Malformed => return Err(HandshakeError::BadHello),
                Peek::NotTls => return Err(HandshakeError::NotTls),
            }
        }
    }

    /// Queues the alert of a failure before which there was no session to say it.
    pub(super) fn alert(&mut self, failure: HandshakeError) {
        let Some(alert) = failure.alert() else { return };
        let mut chunk = Chunk::with_capacity(alert.len());
        // Fits: the capacity was just asked for.
        let _ = chunk.extend_from_slice(&alert);
        self.stream.send.queue(chunk);
    }
}

/// True if these look like a request's first bytes: a method in capital letters.
fn is_http(bytes: &[u8]) -> bool {
    bytes.iter().take(3).all(u8::is_ascii_uppercase)
}
