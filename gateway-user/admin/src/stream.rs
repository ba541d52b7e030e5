//! A connection whose reads and writes are noted in its [`Activity`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::activity::Activity;

/// Gets the stream of a connection that has ended, however it has.
pub(crate) type AtEnd<S> = Box<dyn FnOnce(S) + Send>;

pub(crate) struct ObservedStream<S> {
    /// There until the end, with what becomes of it then.
    inner: Option<(S, AtEnd<S>)>,
    activity: Arc<Activity>,
}

impl<S> ObservedStream<S> {
    pub(crate) fn new(stream: S, at_end: AtEnd<S>, activity: Arc<Activity>) -> Self {
        Self { inner: Some((stream, at_end)), activity }
    }

    fn stream(&mut self) -> io::Result<&mut S> {
        self.inner.as_mut().map(|(stream, _)| stream).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn note_write(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = result {
            self.activity.wrote();
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(self.stream()?).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.read();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ObservedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(self.stream()?).poll_write(context, bytes);
        self.note_write(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(self.stream()?).poll_write_vectored(context, parts);
        self.note_write(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.as_ref().is_some_and(|(stream, _)| stream.is_write_vectored())
    }

    /// hyper flushes once all that it had buffered is written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(self.stream()?).poll_flush(context);
        if let Poll::Ready(Ok(())) = result {
            self.activity.flushed();
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream()?).poll_shutdown(context)
    }
}

impl<S> Drop for ObservedStream<S> {
    fn drop(&mut self) {
        if let Some((stream, at_end)) = self.inner.take() {
            at_end(stream);
        }
    }
}
