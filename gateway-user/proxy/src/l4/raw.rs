//! A connection without framing, as the end of a tunnel: it is read until its peer has finished sending, and told so when the
//! other one has.

use std::io;
use std::time::Duration;

use gateway_http::head::Fields;
use gateway_io::{Chunk, RecvHalf, SendHalf};

use crate::body::ends::{Piece, PumpError, Sink, Source};
use crate::body::flush::flush;
use crate::body::pacing::SendTimeout;

/// Bytes that come.
#[derive(Debug)]
pub(crate) struct RawSource<'a> {
    from: &'a mut RecvHalf,
    /// Came together with a head.
    first: Option<Chunk>,
    finished: bool,
}

/// Bytes that go.
#[derive(Debug)]
pub(crate) struct RawSink<'a> {
    to: &'a mut SendHalf,
    finished: bool,
}

impl<'a> RawSource<'a> {
    pub(crate) fn new(from: &'a mut RecvHalf, first: Option<Chunk>) -> Self {
        Self { from, first: first.filter(|first| !first.is_empty()), finished: false }
    }

    fn take(&mut self, received: io::Result<Option<Chunk>>) -> Result<Piece, PumpError> {
        match received {
            Ok(Some(data)) => Ok(Piece { received: data.len(), data: Some(data), finished: false }),
            Ok(None) => {
                self.finished = true;
                Ok(Piece { data: None, received: 0, finished: true })
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(PumpError::SourceTimeout),
            Err(_) => Err(PumpError::SourceLost),
        }
    }
}

impl<'a> RawSink<'a> {
    pub(crate) fn new(to: &'a mut SendHalf) -> Self {
        Self { to, finished: false }
    }
}

impl Source for RawSource<'_> {
    fn is_finished(&self) -> bool {
        self.finished
    }

    fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
        let first = self.first.take()?;
        Some(self.take(Ok(Some(first))))
    }

    fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
        let received = self.from.try_recv()?;
        Some(self.take(received))
    }

    async fn next(&mut self, wait: Duration) -> Result<Piece, PumpError> {
        self.from.set_deadline(Some(wait));
        let received = self.from.recv().await;
        self.from.set_deadline(None);
        self.take(received)
    }

    fn plain(&mut self) -> Option<&mut RecvHalf> {
        Some(&mut *self.from).filter(|from| from.is_plain())
    }

    fn retain_trailers(&mut self, _: impl FnMut(&[u8]) -> bool) {}

    fn trailers(&self) -> Fields<'_> {
        Fields::default()
    }
}

impl Sink for RawSink<'_> {
    fn begin(&mut self) {}

    fn queue(&mut self, data: Chunk) {
        self.to.queue(data);
    }

    fn finish(&mut self, _: Fields<'_>) {
        self.finished = true;
    }

    fn has_queued(&self) -> bool {
        self.to.queued() > 0
    }

    fn plain(&mut self) -> Option<&mut SendHalf> {
        Some(&mut *self.to).filter(|to| to.is_plain())
    }

    async fn flush(&mut self, timeout: SendTimeout) -> Result<(), PumpError> {
        flush(self.to, timeout).await?;
        if std::mem::take(&mut self.finished) {
            // All that was queued is with the kernel: only what a layer says at its end is still to go.
            self.to.set_deadline(Some(timeout.limit));
            self.to.shutdown_write().await.map_err(|_| PumpError::SinkLost)?;
        }
        Ok(())
    }
}
