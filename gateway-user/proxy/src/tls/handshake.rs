//! Handshakes with clients, behind a ClientHello that has been read.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use gateway_io::Chunk;
use gateway_tls::{HandshakeError, ServerSession, ServerTls, forwarded_client_cert};

use crate::h1::server::ServerConnection;
use crate::tls::layer::{RECORD_MAX, Records, TlsLayer, join_within, put};

/// Bytes of a client's handshake messages that are kept until one of them is whole: those of a certificate may fill several
/// records, and the TLS library takes messages of so many.
const CLIENT_MESSAGE_MAX: usize = 64 << 10;

/// A handshake to make.
pub(super) struct Handshake {
    /// The listener's configuration.
    pub(super) server: ServerTls,
    /// Backends are told of the client's certificate.
    pub(super) forward_client_cert: bool,
}

impl ServerConnection {
    /// Makes a session, whose ClientHello is in `inbox`.
    pub(super) async fn secure(
        &mut self,
        handshake: Handshake,
        mut inbox: Chunk,
    ) -> Result<(), HandshakeError> {
        let Handshake { server, forward_client_cert } = handshake;
        let mut session = ServerSession::new(&server)?;
        let mut content = VecDeque::new();
        let context = Rc::clone(&self.info.context);
        let checks = server.asks_clients();
        let limit = if checks { CLIENT_MESSAGE_MAX } else { RECORD_MAX };
        // The library moves the parts of a ClientHello together where they are, so that it could not be read twice.
        let mut hello = if checks { Some(copy(&inbox)?) } else { None };
        let mut has_spoken = false;
        let client_cert = loop {
            // To check a certificate takes as many signatures as its chain has.
            let step = match session.may_sign() || checks {
                true => Some(context.crypto_turns.step().await),
                false => None,
            };
            let mut out = VecDeque::new();
            let used = session
                .receive(inbox.as_mut_slice(), &mut Records(&mut out), &mut |part| put(&mut content, part));
            let stale = hello.take().filter(|_| used.is_ok() && session.is_stale(&server));
            let is_over = used.is_ok() && !session.is_handshaking();
            let shown = is_over.then(|| told(session.client_certificate(&server), forward_client_cert));
            drop(step);
            if let Some(hello) = stale {
                // A full handshake lets the client show the certificate that it has now.
                session = ServerSession::without_resumption(&server)?;
                inbox = hello;
                continue;
            }
            has_spoken |= !out.is_empty();
            out.into_iter().for_each(|chunk| self.stream.send.queue(chunk));
            inbox.advance(used.inspect_err(|failure| {
                // Not of each error does the library tell the client.
                if !has_spoken {
                    self.alert(*failure);
                }
            })?);
            self.stream.send.flush().await.map_err(|error| failure(&error))?;
            if let Some(shown) = shown {
                break shown?;
            }
            inbox = self.more(inbox, limit).await?;
        };
        let version = session.version().ok_or(HandshakeError::Protocol)?;
        {
            let counters = &mut self.info.context.metrics.borrow_mut().counters;
            counters.tls_handshakes += 1;
            counters.tls_resumed += u64::from(session.is_resumed());
        }
        if let Some(tls) = &mut self.info.tls {
            (tls.version, tls.protocol) = (Some(version), session.protocol());
            tls.client_cert = client_cert;
        }
        let layer = TlsLayer::new(session.into_established()?, inbox);
        self.stream.set_layer(Box::new(layer), VecDeque::new());
        self.inbox = one(content);
        Ok(())
    }

    /// Receives more behind what is there, of which there are at most `limit` bytes.
    pub(super) async fn more(&mut self, inbox: Chunk, limit: usize) -> Result<Chunk, HandshakeError> {
        match self.stream.recv.recv().await {
            Ok(Some(more)) if inbox.is_empty() => Ok(more),
            Ok(Some(more)) => join_within(inbox, &more, limit).map_err(|_| HandshakeError::BadHello),
            Ok(None) => Err(HandshakeError::ClientClosed),
            Err(error) => Err(failure(&error)),
        }
    }
}

/// The text for backends about the certificate that a client has shown, if they are told.
fn told(
    shown: Result<Option<&[u8]>, HandshakeError>,
    is_forwarded: bool,
) -> Result<Option<Box<str>>, HandshakeError> {
    let certificate = shown?.filter(|_| is_forwarded);
    Ok(certificate.map(|der| forwarded_client_cert(der).into_boxed_str()))
}

fn failure(error: &io::Error) -> HandshakeError {
    if error.kind() == io::ErrorKind::TimedOut {
        HandshakeError::Timeout
    } else {
        HandshakeError::ClientClosed
    }
}

fn copy(bytes: &Chunk) -> Result<Chunk, HandshakeError> {
    let mut copy = Chunk::with_capacity(bytes.len());
    copy.extend_from_slice(bytes).map_err(|_| HandshakeError::Protocol)?;
    Ok(copy)
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
