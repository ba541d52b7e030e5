//! The file thread: whole lines from the workers, written in large batches (the access log).
//!
//! Small appends through a ring cost 46 µs each, one large write costs the same; so batches are joined, and
//! nothing here is wrapped in a time-out or a select: an abandoned write of the runtime below would be lost.

mod queue;
mod write;

use std::{io, path::PathBuf, sync::mpsc, thread, time::Duration};

use futures_channel::oneshot;

pub use queue::{LogSink, LogStats};

use crate::driver::{Driver, IoMode, try_ring};
use queue::Order;
use write::{Output, serve};

/// Batches that may wait to be written. At 16 KiB each that is 4 MiB; more are refused and counted.
const QUEUED_BATCHES: usize = 256;

/// Submission entries of the file thread's ring; one write is in flight at a time.
const RING_ENTRIES: u32 = 8;

/// Target of the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileTarget {
    /// Nowhere: no thread is started, pushed batches are recycled.
    Off,
    /// The process's standard output.
    Stdout,
    /// A file, made if absent, appended to.
    Path(PathBuf),
}

/// Way in which the file thread writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileDriver {
    /// Not at all.
    Off,
    /// Through io_uring (tokio-uring).
    Uring,
    /// By write(2).
    Plain,
}

impl FileDriver {
    /// Stable name for status and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FileDriver::Off => "off",
            FileDriver::Uring => "uring",
            FileDriver::Plain => "write",
        }
    }
}

/// The running thread. Dropped, it goes on until all sinks are gone and all is written, then ends by itself.
#[derive(Debug)]
pub struct FileThread {
    sink: LogSink,
    refused: Option<String>,
    ended: mpsc::Receiver<()>,
}

impl FileThread {
    /// Opens the target and starts the thread. Mode `Auto` takes io_uring when it works, else plain writes.
    ///
    /// # Errors
    /// The file cannot be opened (the message names it), the thread cannot be started, or mode `Uring` and
    /// io_uring is refused.
    pub fn start(target: FileTarget, mode: IoMode) -> io::Result<FileThread> {
        let (end, ended) = mpsc::channel::<()>();
        if target == FileTarget::Off {
            let (sink, ..) = LogSink::new(QUEUED_BATCHES, FileDriver::Off);
            return Ok(FileThread { sink, refused: None, ended });
        }
        let refused = match mode {
            IoMode::Epoll => None,
            _ => try_ring(Driver::UringPlain, RING_ENTRIES).err().map(|error| error.to_string()),
        };
        if let (IoMode::Uring, Some(why)) = (mode, &refused) {
            return Err(io::Error::other(format!("io_uring is not usable for the file thread: {why}")));
        }
        let driver = match (mode, &refused) {
            (IoMode::Epoll, _) | (_, Some(_)) => FileDriver::Plain,
            (IoMode::Auto | IoMode::Uring, None) => FileDriver::Uring,
        };
        let (sink, orders, shared) = LogSink::new(QUEUED_BATCHES, driver);
        let output = Output::open(target)?;
        let body = move || {
            // Dropped when the thread ends, also by a panic: whoever waits in `stop` then goes on.
            let _end = end;
            serve(driver, output, orders, &shared);
        };
        thread::Builder::new().name("file".to_owned()).spawn(body)?;
        Ok(FileThread { sink, refused, ended })
    }

    /// A sink for one worker; clone it for the next.
    #[must_use]
    pub fn sink(&self) -> LogSink {
        self.sink.clone()
    }

    /// Way in which it writes.
    #[must_use]
    pub fn driver(&self) -> FileDriver {
        self.sink.driver()
    }

    /// Reason why it does not write through io_uring, where it should.
    #[must_use]
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Counts of what was written and lost, since the thread began.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.sink.stats()
    }

    /// Closes the file and opens its path again, after what was pushed before (log rotation). Standard output
    /// is left as it is. When the path cannot be opened the old file stays in use, and the error is logged.
    pub fn reopen(&self) {
        self.sink.order(Order::Reopen);
    }

    /// Resolves when all that was pushed before has been written, or given up on; at once
    /// when no write is under way.
    pub async fn flushed(&self) {
        let (written, wait) = oneshot::channel();
        self.sink.order(Order::Flush(written));
        // Err: the thread has ended, or there is none.
        let _ = wait.await;
    }

    /// Writes what was pushed before, then ends the thread. Blocks the caller for at most `limit`,
    /// measured from the call (a reader of our standard output may be stuck); `false` if the thread has
    /// not ended by then.
    #[must_use]
    pub fn stop(self, limit: Duration) -> bool {
        self.sink.order(Order::Stop);
        !matches!(self.ended.recv_timeout(limit), Err(mpsc::RecvTimeoutError::Timeout))
    }
}
