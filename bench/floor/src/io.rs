//! A stream of the runtime, which owns buffers while it works, as one that is polled, which the `h2` crate wants: a task
//! reads ahead, another writes what was left for it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use monoio::io::{AsyncReadRent as _, AsyncWriteRent as _, AsyncWriteRentExt as _, Splitable as _};
use monoio::net::TcpStream;
use monoio::net::tcp::{TcpOwnedReadHalf, TcpOwnedWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::relay::BUFFER_SIZE;

/// Bytes that wait for the writer before the other side waits too.
const MAX_QUEUED: usize = 64 * 1024;

/// The polled side of a stream.
pub(crate) struct PolledStream(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    /// Read, and not taken yet from `taken` on.
    inbox: Vec<u8>,
    taken: usize,
    /// The peer has finished sending: the inbox is the last of it.
    ended: bool,
    outbox: Vec<u8>,
    /// The polled side is gone.
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Wakers of the task that waits for an inbox to read, and of the one that waits for room in the outbox.
    polled_reader: Option<Waker>,
    polled_writer: Option<Waker>,
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Starts the two tasks of a stream.
pub(crate) fn polled(stream: TcpStream) -> PolledStream {
    let state = Rc::new(RefCell::new(State::default()));
    let (read, write) = stream.into_split();
    monoio::spawn(read_ahead(read, Rc::clone(&state)));
    monoio::spawn(write_on(write, Rc::clone(&state)));
    PolledStream(state)
}

async fn read_ahead(mut stream: TcpOwnedReadHalf, state: Rc<RefCell<State>>) {
    let mut buffer = Vec::with_capacity(BUFFER_SIZE);
    loop {
        let read;
        (read, buffer) = stream.read(buffer).await;
        let ended = !matches!(read, Ok(1..));
        {
            let mut state = state.borrow_mut();
            state.ended = ended;
            std::mem::swap(&mut state.inbox, &mut buffer);
            state.taken = 0;
            wake(&mut state.polled_reader);
        }
        if ended {
            return;
        }
        let is_closed = poll_fn(|cx| {
            let mut state = state.borrow_mut();
            if state.taken == state.inbox.len() || state.closed {
                return Poll::Ready(state.closed);
            }
            state.reader = Some(cx.waker().clone());
            Poll::Pending
        });
        if is_closed.await {
            return;
        }
        buffer = match buffer.capacity() {
            0 => Vec::with_capacity(BUFFER_SIZE),
            _ => buffer,
        };
        buffer.clear();
    }
}

async fn write_on(mut stream: TcpOwnedWriteHalf, state: Rc<RefCell<State>>) {
    let mut buffer = Vec::new();
    loop {
        poll_fn(|cx| {
            let mut state = state.borrow_mut();
            if !state.outbox.is_empty() || state.closed {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        {
            let mut state = state.borrow_mut();
            std::mem::swap(&mut state.outbox, &mut buffer);
            wake(&mut state.polled_writer);
        }
        if buffer.is_empty() {
            // Closed, and all is written.
            let _ = stream.shutdown().await;
            return;
        }
        let written;
        (written, buffer) = stream.write_all(buffer).await;
        if written.is_err() {
            return;
        }
        buffer.clear();
    }
}

impl AsyncRead for PolledStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        let left = &state.inbox[state.taken..];
        if left.is_empty() {
            if state.ended {
                return Poll::Ready(Ok(()));
            }
            state.polled_reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let fits = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..fits]);
        state.taken += fits;
        if state.taken == state.inbox.len() {
            wake(&mut state.reader);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PolledStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.borrow_mut();
        let room = MAX_QUEUED.saturating_sub(state.outbox.len());
        if room == 0 {
            state.polled_writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let fits = room.min(bytes.len());
        state.outbox.extend_from_slice(&bytes[..fits]);
        wake(&mut state.writer);
        Poll::Ready(Ok(fits))
    }

    /// The writer is on its way with all that it was given.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for PolledStream {
    fn drop(&mut self) {
        let mut state = self.0.borrow_mut();
        state.closed = true;
        wake(&mut state.reader);
        wake(&mut state.writer);
    }
}
