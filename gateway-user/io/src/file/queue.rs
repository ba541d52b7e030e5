//! Between workers and file thread: a bounded queue of batches, and their buffers on the way back.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use futures_channel::oneshot;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::FileDriver;

/// Empty buffers kept for reuse.
const SPARE_BUFFERS: usize = 64;

/// Buffers larger than this are not kept.
const SPARE_CAPACITY: usize = 1 << 20;

/// One worker's end of the queue.
#[derive(Clone)]
pub struct LogSink {
    orders: UnboundedSender<Order>,
    shared: Arc<Shared>,
}

/// Counts of batches and bytes, by outcome, since the thread began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStats {
    /// Bytes written.
    pub written_bytes: u64,
    /// Number of write operations that took them.
    pub writes: u64,
    /// Number of batches refused because the queue was full or the thread gone; each came back to its worker.
    pub refused_batches: u64,
    /// Number of writes that failed (disk full, reader gone).
    pub write_errors: u64,
    /// Bytes given up on because their write failed.
    pub lost_bytes: u64,
}

/// Commands to the file thread, in order.
pub(crate) enum Order {
    Lines(Vec<u8>),
    Reopen,
    Flush(oneshot::Sender<()>),
    Stop,
}

/// Counts that both ends share.
pub(crate) struct Shared {
    /// Batches in `orders`: its bound. Commands are not counted, so that they pass a full queue.
    queued: AtomicUsize,
    limit: usize,
    driver: FileDriver,
    spares: Mutex<Vec<Vec<u8>>>,
    pub(crate) counts: Counts,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) written_bytes: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) refused_batches: AtomicU64,
    pub(crate) write_errors: AtomicU64,
    pub(crate) lost_bytes: AtomicU64,
}

impl LogSink {
    /// The queue: the first sink, and the receiving end, which ends when the last sink is gone.
    pub(crate) fn new(limit: usize, driver: FileDriver) -> (LogSink, UnboundedReceiver<Order>, Arc<Shared>) {
        let (orders, receiver) = unbounded_channel();
        let shared = Arc::new(Shared {
            queued: AtomicUsize::new(0),
            limit,
            driver,
            spares: Mutex::default(),
            counts: Counts::default(),
        });
        (LogSink { orders, shared: Arc::clone(&shared) }, receiver, shared)
    }

    /// True if nothing is written: lines need not even be made.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.shared.driver == FileDriver::Off
    }

    /// Way in which lines get written.
    #[must_use]
    pub fn driver(&self) -> FileDriver {
        self.shared.driver
    }

    /// Hands over whole lines. Never blocks.
    ///
    /// # Errors
    /// The queue is full or the thread has ended: the batch comes back, and was counted as refused. The
    /// caller counts the lines it drops.
    pub fn try_push(&self, batch: Vec<u8>) -> Result<(), Vec<u8>> {
        if self.is_off() || batch.is_empty() {
            self.shared.recycle(batch);
            return Ok(());
        }
        if self.shared.queued.fetch_add(1, Relaxed) >= self.shared.limit {
            return Err(self.refused(batch));
        }
        match self.orders.send(Order::Lines(batch)) {
            Ok(()) => Ok(()),
            Err(back) => match back.0 {
                Order::Lines(batch) => Err(self.refused(batch)),
                _ => Ok(()),
            },
        }
    }

    /// An empty buffer for the next batch: one that came back, or a new one. Never blocks.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        // Contended or poisoned: a new buffer is cheaper than to wait.
        self.shared.spares.try_lock().ok().and_then(|mut spares| spares.pop()).unwrap_or_default()
    }

    /// Counts of all sinks together.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let counts = &self.shared.counts;
        LogStats {
            written_bytes: counts.written_bytes.load(Relaxed),
            writes: counts.writes.load(Relaxed),
            refused_batches: counts.refused_batches.load(Relaxed),
            write_errors: counts.write_errors.load(Relaxed),
            lost_bytes: counts.lost_bytes.load(Relaxed),
        }
    }

    pub(crate) fn order(&self, order: Order) {
        // Err: the thread has ended; a flush then resolves because its sender is dropped.
        let _ = self.orders.send(order);
    }

    fn refused(&self, batch: Vec<u8>) -> Vec<u8> {
        self.shared.queued.fetch_sub(1, Relaxed);
        self.shared.counts.refused_batches.fetch_add(1, Relaxed);
        batch
    }
}

impl Shared {
    /// A batch left the queue.
    pub(crate) fn taken(&self) {
        self.queued.fetch_sub(1, Relaxed);
    }

    /// Keeps a buffer for the next batch.
    pub(crate) fn recycle(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() > SPARE_CAPACITY {
            return;
        }
        if let Ok(mut spares) = self.spares.try_lock()
            && spares.len() < SPARE_BUFFERS
        {
            spares.push(buffer);
        }
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSink").field("driver", &self.shared.driver).field("stats", &self.stats()).finish()
    }
}
