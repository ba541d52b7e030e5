//! Workers: a thread each, with its own runtime, connections, pools and counters.

mod accept;
mod clients;
mod command;
mod descriptors;
mod drain;
mod heartbeat;
mod memory;
mod scarcity;
mod serve;
mod state;

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use gateway_io::{Driver, MailReceiver, MailSender, RuntimeOptions, mailbox, pin_to_cpu, run};

pub use clients::ClientLimit;
pub(crate) use clients::{ClientFull, ClientSlot};
pub use command::{DrainLimits, Drained, PrepareError, WorkerCommand, WorkerSockets};
pub use heartbeat::Heartbeat;
pub use state::Gauge;
pub(crate) use state::Worker;

pub use crate::context::LogSink;
pub use crate::l4::udp::{Adopted, Clients, HandedFlow, HandedOver, MovingFlows};

use crate::ProxyConfig;
use crate::metrics::WorkerMetrics;

/// Start parameters of a worker.
pub struct WorkerSpec {
    /// Its number, for the thread's name.
    pub slot: u16,
    /// The processor it is pinned to.
    pub cpu: Option<usize>,
    /// How its I/O is done.
    pub driver: Driver,
    /// Entries of its ring.
    pub ring_entries: u32,
    /// Sockets to accept from at once and until the worker drains: the steering socket.
    pub listeners: Vec<TcpListener>,
    /// Limits and trust.
    pub config: Arc<ProxyConfig>,
    /// Told the number of open connections.
    pub gauge: Gauge,
    /// Gets the access log.
    pub log: LogSink,
    /// Stamped by the worker's loop, several times a second.
    pub heartbeat: Arc<Heartbeat>,
    /// Told that the worker has ended.
    pub ended: Ended,
}

/// Called by a worker's thread as the last thing it does, also when a panic ends it, but not if it never began: its runtime
/// and all sockets are gone by then. Gets what the worker counted, connections and requests that were open at its end
/// included. Must not panic.
pub type Ended = Box<dyn FnOnce(WorkerMetrics) + Send>;

/// A running worker. Dropping it lets the worker end at once, as a drain of no length.
#[derive(Debug)]
pub struct WorkerHandle {
    slot: u16,
    commands: MailSender<WorkerCommand>,
    thread: JoinHandle<()>,
}

/// Final metrics of a worker, filled when its main task goes.
type FinalMetrics = Rc<RefCell<Option<WorkerMetrics>>>;

/// Tells that the thread is done, however it came to that.
struct ExitNotifier {
    estate: FinalMetrics,
    ended: Option<Ended>,
}

/// The worker has ended; the command comes back.
#[derive(Debug, thiserror::Error)]
#[error("the worker has ended")]
pub struct WorkerGone(
    /// The command that was not delivered.
    pub Box<WorkerCommand>,
);

/// Starts a worker's thread and waits until it accepts.
///
/// # Errors
/// The thread, its runtime or a listening socket cannot be set up.
pub fn start(spec: WorkerSpec) -> io::Result<WorkerHandle> {
    let slot = spec.slot;
    let (commands, inbox) = mailbox();
    let (ready, started) = mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name(format!("sluice-worker-{slot}"))
        .spawn(move || thread_main(spec, inbox, &ready))?;
    match started.recv() {
        Ok(Ok(())) => Ok(WorkerHandle { slot, commands, thread }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other(format!("worker {slot} ended before it was ready"))),
    }
}

fn thread_main(
    mut spec: WorkerSpec,
    inbox: MailReceiver<WorkerCommand>,
    ready: &mpsc::SyncSender<io::Result<()>>,
) {
    let slot = spec.slot;
    let ended = std::mem::replace(&mut spec.ended, Box::new(|_| ()));
    let last_words = ExitNotifier { estate: Rc::default(), ended: Some(ended) };
    let estate = Rc::clone(&last_words.estate);
    let pinned = spec.cpu.map_or(Ok(()), pin_to_cpu);
    let options = RuntimeOptions {
        ring_entries: spec.ring_entries,
        chunk_size: spec.config.buffer_bytes,
        confine: spec.config.confine,
        buffer_limit: spec.config.buffer_limit,
        ..RuntimeOptions::new(spec.driver)
    };
    let result = pinned.and_then(|()| run(&options, || serve::serve(spec, inbox, ready, estate)));
    if let Err(error) = result {
        // Nobody listens any more if the worker was ready already; then the log is told.
        tracing::debug!(slot, %error, "worker did not start");
        let _ = ready.send(Err(error));
    }
}

impl Drop for ExitNotifier {
    fn drop(&mut self) {
        if let (Some(ended), Some(metrics)) = (self.ended.take(), self.estate.take()) {
            ended(metrics);
        }
    }
}

impl WorkerHandle {
    /// The worker's number.
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// Sends a command; never blocks. Commands are carried out in order.
    ///
    /// # Errors
    /// [`WorkerGone`] if the worker has ended.
    pub fn send(&self, command: WorkerCommand) -> Result<(), WorkerGone> {
        self.commands.send(command).map_err(|command| WorkerGone(Box::new(command)))
    }

    /// True if the worker's thread still runs.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits for the worker's thread to end, which it does after a drain.
    ///
    /// # Errors
    /// The thread's panic.
    pub fn join(self) -> thread::Result<()> {
        drop(self.commands);
        self.thread.join()
    }
}
