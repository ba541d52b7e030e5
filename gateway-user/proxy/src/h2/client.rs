//! Connections to backends over HTTP/2.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use gateway_http::h1::HeadLimits;
use gateway_io::{Stream, pause};
use h2::client::{Builder, Connection, SendRequest};

use super::io::{Io, Transport};
use super::sink::Data;
use crate::clock::within;
use crate::tls::layer::REFUSED;

/// Content that a backend may send ahead on one stream. Its connection's window has room for all of its streams: otherwise
/// clients that take nothing would keep the responses of others back.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Content of a stream that waits in the crate for its turn.
const MAX_SEND_BUFFER: usize = 32 * 1024;
/// Streams that are remembered after we reset them: what their backend has sent meanwhile is dropped.
const MAX_RESET_STREAMS: usize = 100;
/// Errors for which the crate resets streams before it ends the connection.
const MAX_LOCAL_ERRORS: usize = 200;
/// Cost of small pieces of content that nobody has taken yet, of each the bytes that it is short of 256, for each stream
/// there may be. A window full of messages of 20 bytes costs 773,000: a client that takes none of them must not end the
/// connection, which others use too.
const SMALL_DATA_BUDGET: usize = 800_000;

/// A connection that a task has to run.
pub(crate) struct ClientConnection {
    connection: Connection<Io, Data>,
    transport: Rc<Transport>,
    /// Kind of the stream's error that it has ended with.
    failure: Option<io::ErrorKind>,
}

/// Begins HTTP/2 with prior knowledge (RFC 9113 section 3.3), and waits for the backend's settings: one that speaks something
/// else is found out before it has a request, and how many streams it takes is known.
///
/// # Errors
/// `TimedOut` after `limit`; [`REFUSED`] if the backend refuses us below HTTP/2; `InvalidData` if something else than HTTP/2
/// came, or nothing.
pub(crate) async fn shake_hands(
    stream: Stream,
    streams: usize,
    limits: &HeadLimits,
    limit: Duration,
) -> io::Result<(SendRequest<Data>, ClientConnection)> {
    let transport = Transport::of_backend(stream);
    let window =
        u32::try_from(streams).unwrap_or(u32::MAX).saturating_mul(STREAM_WINDOW).min(i32::MAX as u32);
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window)
        .max_send_buffer_size(MAX_SEND_BUFFER)
        .max_concurrent_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(Some(MAX_LOCAL_ERRORS))
        .data_frame_budget(streams.saturating_mul(SMALL_DATA_BUDGET))
        // Above ours, so that a response beyond ours has a reason. Each field counts 32 bytes more here.
        .max_header_list_size(u32::try_from(2 * limits.head + 64 * limits.fields).unwrap_or(u32::MAX));
    let io = transport.io();
    let shaking = pin!(async {
        let (requests, connection) = builder.handshake(io).await.map_err(|error| kind(&error))?;
        let mut connection = ClientConnection { connection, transport, failure: None };
        let settled = connection.run(Transport::has_settings).await;
        if settled { Ok((requests, connection)) } else { Err(connection.failure) }
    });
    match within(limit, shaking).await {
        Some(Ok(connection)) => Ok(connection),
        Some(Err(Some(REFUSED))) => Err(REFUSED.into()),
        Some(Err(_)) => Err(io::ErrorKind::InvalidData.into()),
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Kind of the stream's error below one of the connection, if there is one.
fn kind(error: &h2::Error) -> Option<io::ErrorKind> {
    error.get_io().map(io::Error::kind)
}

impl ClientConnection {
    /// The stream below it, with the frames that were counted.
    pub(crate) fn transport(&self) -> &Rc<Transport> {
        &self.transport
    }

    /// Runs the connection to its end.
    pub(crate) async fn run_to_end(mut self) {
        self.run(|_| false).await;
    }

    /// Runs the connection until `is_enough`; false if it has ended before.
    async fn run(&mut self, is_enough: impl Fn(&Transport) -> bool) -> bool {
        loop {
            let turn = poll_fn(|cx| match Pin::new(&mut self.connection).poll(cx) {
                Poll::Ready(ended) => {
                    self.failure = ended.err().as_ref().and_then(kind);
                    Poll::Ready(false)
                }
                Poll::Pending if is_enough(&self.transport) => Poll::Ready(true),
                Poll::Pending if self.is_flooded() => Poll::Ready(false),
                Poll::Pending if self.transport.is_turn_over() => Poll::Ready(true),
                Poll::Pending => Poll::Pending,
            });
            if !turn.await {
                return is_enough(&self.transport);
            }
            if is_enough(&self.transport) {
                return true;
            }
            // Others have their turn.
            pause().await;
            self.transport.begin_turn();
        }
    }

    /// True if the backend has sent more frames that are no work than it may.
    fn is_flooded(&self) -> bool {
        self.transport.flood().is_some()
    }
}
