//! From a connection's first bytes to a secured one: the server name, its listener, the handshake.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use gateway_io::Chunk;
use gateway_ir::Opening;
use gateway_tls::hello::{HelloReader, MAX_HELLO, Peek};
use gateway_tls::{HandshakeError, ServerSession, ServerSide};

use crate::Reason;
use crate::exchange::route::opening;
use crate::h1::reply;
use crate::h1::server::ServerConnection;
use crate::metrics::UnsupportedProtocol;
use crate::settings::Settings;
use crate::tls::layer::{Records, TlsInfo, TlsLayer, join, put};

/// For a client to take an alert, and what it still sends meanwhile, which would turn the close into a reset.
const ALERT_TIMEOUT: Duration = Duration::from_secs(1);
const ALERT_DRAIN_BYTES: usize = 64 * 1024;

/// A handshake that went well.
struct Negotiated {
    tls: TlsInfo,
    layer: TlsLayer<ServerSide>,
    /// Content that came right behind the handshake.
    content: Option<Chunk>,
    resumed: bool,
}

impl ServerConnection {
    /// True if the connection's listener speaks TLS and no handshake was made yet. Asked once, when its first bytes are
    /// there.
    pub(crate) fn expects_handshake(&mut self) -> bool {
        if std::mem::replace(&mut self.begun, true) {
            return false;
        }
        opening(&self.info.context, self.info.local) == Some(Opening::ClientHello)
    }

    /// Secures the connection. `None` if that failed: the client was told, as far as it would understand, and the
    /// connection is closed.
    pub(crate) async fn handshake(mut self: Box<Self>) -> Option<Box<Self>> {
        let limit = self.limited(self.info.context.config.timeouts.tls_handshake);
        self.stream.recv.set_deadline(Some(limit));
        self.stream.send.set_deadline(Some(limit));
        let control = Rc::clone(&self.info.control);
        let result = control.kill.unless(pin!(self.negotiate())).await;
        self.stream.recv.set_deadline(None);
        self.stream.send.set_deadline(None);
        match result {
            Some(Ok(Negotiated { tls, layer, content, resumed })) => {
                self.count(resumed);
                self.stream.set_layer(Box::new(layer), VecDeque::new());
                self.inbox = content;
                self.info.tls = Some(Box::new(tls));
                Some(self)
            }
            Some(Err(failure)) => {
                self.count_failure(failure);
                if failure == HandshakeError::NotTls
                    && self.inbox.as_ref().is_some_and(|inbox| is_http(inbox))
                {
                    reply::reply_before_request(&mut self, Reason::PlaintextOnTls);
                }
                tracing::debug!(peer = %self.info.peer, local = %self.info.local, reason = failure.code(), "TLS handshake failed");
                if failure != HandshakeError::ClientClosed {
                    self.stream.close_lingering(ALERT_DRAIN_BYTES, ALERT_TIMEOUT).await;
                }
                None
            }
            // A drain's maximum.
            None => None,
        }
    }

    fn count(&self, resumed: bool) {
        let counters = &mut self.info.context.metrics.borrow_mut().counters;
        counters.tls_handshakes += 1;
        counters.tls_resumed += u64::from(resumed);
    }

    fn count_failure(&self, failure: HandshakeError) {
        let metrics = &mut self.info.context.metrics.borrow_mut();
        metrics.tls_failures.count(failure);
        if failure == HandshakeError::NoApplicationProtocol {
            metrics.unsupported.count(UnsupportedProtocol::Alpn);
        }
    }

    /// Records to send are queued, also after a failure.
    async fn negotiate(&mut self) -> Result<Negotiated, HandshakeError> {
        let mut inbox = self.inbox.take().unwrap_or_else(Chunk::take);
        let server_name = match self.receive_server_name(&mut inbox).await {
            Ok(server_name) => server_name,
            Err(failure) => {
                self.alert(failure);
                self.inbox = Some(inbox);
                return Err(failure);
            }
        };
        let (mut session, settings) =
            self.session_for(server_name.as_deref()).inspect_err(|failure| self.alert(*failure))?;
        let mut content = VecDeque::new();
        let context = Rc::clone(&self.info.context);
        loop {
            let step = match session.may_sign() {
                true => Some(context.crypto_turns.step().await),
                false => None,
            };
            let mut out = VecDeque::new();
            let used = session
                .receive(inbox.as_mut_slice(), &mut Records(&mut out), &mut |part| put(&mut content, part));
            drop(step);
            out.into_iter().for_each(|chunk| self.stream.send.queue(chunk));
            inbox.advance(used?);
            self.stream.send.flush().await.map_err(|error| failure(&error))?;
            if !session.is_handshaking() {
                break;
            }
            inbox = self.more(inbox).await?;
        }
        let version = session.version().ok_or(HandshakeError::Protocol)?;
        Ok(Negotiated {
            tls: TlsInfo {
                server_name: server_name.map(String::into_boxed_str),
                version,
                protocol: session.protocol(),
                settings,
            },
            resumed: session.is_resumed(),
            layer: TlsLayer::new(session, inbox),
            content: one(content),
        })
    }

    /// Receives until the ClientHello is whole.
    async fn receive_server_name(&mut self, inbox: &mut Chunk) -> Result<Option<String>, HandshakeError> {
        let mut reader = HelloReader::default();
        loop {
            match reader.peek(inbox) {
                Peek::Hello { server_name } => return Ok(server_name),
                Peek::Incomplete if inbox.len() <= MAX_HELLO => {
                    *inbox = self.more(std::mem::replace(inbox, Chunk::with_capacity(0))).await?;
                }
                Peek::Incomplete | Peek::Malformed => return Err(HandshakeError::BadHello),
                Peek::NotTls => return Err(HandshakeError::NotTls),
            }
        }
    }

    /// A session with what the listener for that name shows, and the listener's settings.
    fn session_for(
        &self,
        server_name: Option<&str>,
    ) -> Result<(ServerSession, Option<Rc<Settings>>), HandshakeError> {
        let live = self.info.context.live();
        let table = self.info.bind_table(&live.snapshot).ok_or(HandshakeError::UnrecognizedName)?;
        let (listener, tls) = table.select_tls(server_name).ok_or(HandshakeError::UnrecognizedName)?;
        let server = tls.and_then(|tls| live.server(tls)).ok_or(HandshakeError::NoCertificate)?;
        Ok((ServerSession::new(server)?, live.settings(&listener.settings)))
    }

    async fn more(&mut self, inbox: Chunk) -> Result<Chunk, HandshakeError> {
        match self.stream.recv.recv().await {
            Ok(Some(more)) if inbox.is_empty() => Ok(more),
            Ok(Some(more)) => join(inbox, &more).map_err(|_| HandshakeError::BadHello),
            Ok(None) => Err(HandshakeError::ClientClosed),
            Err(error) => Err(failure(&error)),
        }
    }

    /// Queues the alert of a failure before which there was no session to say it.
    fn alert(&mut self, failure: HandshakeError) {
        let Some(alert) = failure.alert() else { return };
        let mut chunk = Chunk::with_capacity(alert.len());
        // Fits: the capacity was just asked for.
        let _ = chunk.extend_from_slice(&alert);
        self.stream.send.queue(chunk);
    }
}

fn failure(error: &io::Error) -> HandshakeError {
    if error.kind() == io::ErrorKind::TimedOut {
        HandshakeError::Timeout
    } else {
        HandshakeError::ClientClosed
    }
}

/// True if these look like a request's first bytes: a method in capital letters.
fn is_http(bytes: &[u8]) -> bool {
    bytes.iter().take(3).all(u8::is_ascii_uppercase)
}

/// All of it in one chunk.
fn one(mut content: VecDeque<Chunk>) -> Option<Chunk> {
    let mut first = content.pop_front()?;
    if !content.is_empty() {
        let more = content.iter().map(Chunk::len).sum();
        // Cannot fail: no limit but what is there.
        let _ = first.reserve(more, first.len() + more);
        for chunk in &content {
            let _ = first.extend_from_slice(chunk);
        }
    }
    Some(first)
}
