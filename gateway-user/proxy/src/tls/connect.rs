//! The client's side of a handshake, towards a backend.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use gateway_io::{Chunk, Stream};
use gateway_tls::{BackendTlsError, ClientSession, ClientTls, Protocol};

use crate::context::WorkerContext;
use crate::tls::layer::{Records, TlsLayer, join, put};

/// Secures a connection that was just made.
///
/// # Errors
/// The reason that it failed: the backend was told, as far as it would understand. The connection is closed when it is dropped.
pub(crate) async fn secure(
    context: &WorkerContext,
    mut stream: Stream,
    tls: &ClientTls,
    limit: Duration,
) -> Result<Stream, BackendTlsError> {
    stream.recv.set_deadline(Some(limit));
    stream.send.set_deadline(Some(limit));
    let (session, unread, content) = negotiate(context, &mut stream, tls).await?;
    stream.recv.set_deadline(None);
    stream.send.set_deadline(None);
    // One that chooses nothing speaks HTTP/1.1 all the same, and HTTP/2 only by this name (RFC 9113 section 3.3).
    if tls.protocol() == Some(Protocol::Http2) && session.protocol() != Protocol::Http2 {
        return Err(BackendTlsError::NoHttp2);
    }
    let counters = &mut context.metrics.borrow_mut().counters;
    counters.upstream_tls_handshakes += 1;
    counters.upstream_tls_resumed += u64::from(session.is_resumed());
    stream.set_layer(Box::new(TlsLayer::new(session, unread)), content);
    Ok(stream)
}

/// The session, and what came behind the handshake: the beginning of a record, and content.
async fn negotiate(
    context: &WorkerContext,
    stream: &mut Stream,
    tls: &ClientTls,
) -> Result<(ClientSession, Chunk, VecDeque<Chunk>), BackendTlsError> {
    let mut session = ClientSession::new(tls)?;
    let (mut inbox, mut content) = (Chunk::with_capacity(0), VecDeque::new());
    loop {
        // A key to agree on, signatures to check, and one to make if a certificate is asked for.
        let step = context.crypto_turns.step().await;
        let mut out = VecDeque::new();
        let used = session
            .receive(inbox.as_mut_slice(), &mut Records(&mut out), &mut |part| put(&mut content, part));
        drop(step);
        out.into_iter().for_each(|chunk| stream.send.queue(chunk));
        let flushed = stream.send.flush().await;
        inbox.advance(used?);
        flushed.map_err(|error| failure(&error))?;
        if !session.is_handshaking() {
            return Ok((session, inbox, content));
        }
        let more = stream.recv.recv().await.map_err(|error| failure(&error))?;
        let more = more.ok_or(BackendTlsError::Closed)?;
        inbox = match inbox.is_empty() {
            true => more,
            false => join(inbox, &more).map_err(|_| BackendTlsError::Protocol)?,
        };
    }
}

fn failure(error: &io::Error) -> BackendTlsError {
    match error.kind() {
        io::ErrorKind::TimedOut => BackendTlsError::Timeout,
        _ => BackendTlsError::Closed,
    }
}
