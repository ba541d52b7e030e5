//! The compiler thread: waits for changes, takes them from their source, reconciles.
//!
//! It is apart from the control thread so that probes are served while many routes compile.

mod compiler;
mod plane;
mod schedule;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use crate::expressions::Builder;
use crate::kept::KeptKeys;
use crate::publish::Workers;
use crate::reconcile::{Distributor, NodeReconciler, Reconciler};
use crate::source::file::WriteDelays;
use crate::source::kube::Cluster;
use crate::steer::Steer;
use plane::{OfResources, Plane, ResourcePlane};

/// Interval at which the source is looked at though no event came.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Delay before what did not work is tried again; then twice that, and so on, up to `POLL_INTERVAL` (decision
/// 069). A port that a killed process had is free within milliseconds.
const RETRY_DELAY: Duration = Duration::from_millis(20);
/// Under a stream of events the source is read after so many quiet times at the latest, and as long again as
/// it took last: a stream that does not end must leave time for others.
const MOST_QUIET_TIMES: u32 = 20;

/// Commands that wake the thread.
#[derive(Debug)]
enum Wake {
    /// Something changed in the source.
    Changed,
    /// Read again, whatever seems to have changed; told once what was read is live or refused.
    Reload(oneshot::Sender<()>),
    /// A new worker has a dead one's place.
    Adopt(usize),
    /// Change nothing until `Resume`; told once that holds.
    Hold(oneshot::Sender<()>),
    /// Go on.
    Resume,
    /// From now on keep last good versions on disk, and take off addresses that nobody has any more.
    Keep,
    /// Gateways may have other addresses.
    Assigned,
    /// Expressions that an edit waited for are built.
    Built,
    /// End.
    Stop,
}

/// The source of the configuration.
#[derive(Clone, Debug)]
pub enum SourceOptions {
    /// Files.
    Directory(DirectoryOptions),
    /// An API server.
    Cluster(Cluster),
}

/// A directory, and the delays after its changes.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// The directory.
    pub path: PathBuf,
    /// Times for which a changed file has to stay as it is. Their `quiet` is the quiet time after any event,
    /// too.
    pub delays: WriteDelays,
    /// File in which last good versions outlive the process, if any.
    pub last_good: Option<PathBuf>,
    /// Private keys in it.
    pub keys: KeptKeys,
}

/// The running thread. Dropping it does not stop it; [`Engine::stop`] does.
#[derive(Debug)]
pub struct Engine<E> {
    wake: Sender<Wake>,
    thread: JoinHandle<E>,
}

impl<S: Steer + Send + 'static> Engine<S> {
    /// Starts the thread; the source is read at once.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start<W: Workers + Send + 'static>(
        options: SourceOptions,
        reconciler: Reconciler<W, S>,
    ) -> io::Result<Self> {
        Self::start_with(options, reconciler, || (), || ())
    }

    /// The same, where the thread does something before all else, and so does the one that builds
    /// expressions.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with<W: Workers + Send + 'static>(
        options: SourceOptions,
        reconciler: Reconciler<W, S>,
        first: impl FnOnce() + Send + 'static,
        builder_first: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        Self::of_resources(options, reconciler, first, builder_first)
    }

    /// Starts the thread of a node, which acts on what its reconciler receives; [`Engine::waker`] tells it of news.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_node<W: Workers + Send + 'static>(
        reconciler: NodeReconciler<W, S>,
        first: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        Self::spawn(first, move |_| (reconciler, Duration::ZERO, false))
    }
}

impl Engine<()> {
    /// Starts the thread of a controller; the source is read at once.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start_controller(
        options: SourceOptions,
        distributor: Distributor,
        first: impl FnOnce() + Send + 'static,
        builder_first: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        Self::of_resources(options, distributor, first, builder_first)
    }
}

impl<E: Send + 'static> Engine<E> {
    fn of_resources<R: OfResources<End = E> + Send + 'static>(
        options: SourceOptions,
        mut reconciler: R,
        first: impl FnOnce() + Send + 'static,
        builder_first: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        Self::spawn_with(first, move |wake| {
            let built = wake.clone();
            reconciler.build_by(Builder::start(builder_first, move || drop(built.send(Wake::Built)))?);
            Ok(move || ResourcePlane::open(options, reconciler, wake))
        })
    }

    fn spawn<P: Plane<End = E>>(
        first: impl FnOnce() + Send + 'static,
        open: impl FnOnce(Sender<Wake>) -> (P, Duration, bool) + Send + 'static,
    ) -> io::Result<Self> {
        Self::spawn_with(first, move |wake| Ok(move || open(wake)))
    }

    /// Starts the thread with a plane that `prepare` makes: its first half here, its second on the thread.
    fn spawn_with<P: Plane<End = E>, O: FnOnce() -> (P, Duration, bool) + Send + 'static>(
        first: impl FnOnce() + Send + 'static,
        prepare: impl FnOnce(Sender<Wake>) -> io::Result<O>,
    ) -> io::Result<Self> {
        let (wake, wakes) = channel();
        let open = prepare(wake.clone())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("sluice-compile".to_owned()).spawn(move || {
            first();
            let (plane, debounce, first_waits) = open();
            let mut compiler = Compiler {
                plane,
                debounce,
                first_waits,
                wakes,
                idle: BTreeSet::new(),
                asked: Vec::new(),
                took: Duration::ZERO,
                ended: None,
                runtime,
            };
            compiler.run();
            compiler.plane.end()
        })?;
        Ok(Self { wake, thread })
    }

    /// Has the source read again, as SIGHUP asks for. The future is ready once what was read is live, or
    /// refused (the [`View`](crate::view::View) says which), and fails if the thread ends before that.
    pub fn reload(&self) -> oneshot::Receiver<()> {
        let (done, applied) = oneshot::channel();
        // Fails only if the thread has ended, and then nothing is left to reload.
        let _ = self.wake.send(Wake::Reload(done));
        applied
    }

    /// True if the thread has ended without being asked: it panicked.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Has a worker that took a dead one's place given what is live, and then its sockets. On this thread, so
    /// that it does not cross a publication.
    pub fn adopt(&self, worker: usize) {
        let _ = self.wake.send(Wake::Adopt(worker));
    }

    /// Has nothing made live any more until [`Engine::resume`]; ready once what is under way is done. Changes
    /// that come meanwhile are made live then.
    pub async fn hold(&self) {
        let (holds, held) = oneshot::channel();
        let _ = self.wake.send(Wake::Hold(holds));
        // An error says that the thread has ended: it changes nothing either.
        let _ = held.await;
    }

    /// Ends a [`hold`](Self::hold).
    pub fn resume(&self) {
        let _ = self.wake.send(Wake::Resume);
    }

    /// Has last good versions kept on disk from now on: before that another process may be the one that does.
    pub fn keep(&self) {
        let _ = self.wake.send(Wake::Keep);
    }

    /// Callback for a change of Gateways' addresses.
    pub fn assigner(&self) -> impl Fn() + Send + use<E> {
        let wake = self.wake.clone();
        move || drop(wake.send(Wake::Assigned))
    }

    /// Callback for news.
    pub fn waker(&self) -> impl Fn() + Send + Sync + use<E> {
        let wake = self.wake.clone();
        move || drop(wake.send(Wake::Changed))
    }

    /// Ends the thread after what it is doing; what is live stays so. Gives the steering back, or `None` if
    /// the thread had panicked.
    pub fn stop(self) -> Option<E> {
        let _ = self.wake.send(Wake::Stop);
        self.thread.join().ok()
    }
}

struct Compiler<P> {
    plane: P,
    /// Quiet time after an event.
    debounce: Duration,
    /// True if the first event after a longer pause waits for it too.
    first_waits: bool,
    wakes: Receiver<Wake>,
    /// Successors of dead workers that could not be given anything to serve.
    idle: BTreeSet<usize>,
    /// Callers of a reload whose expressions are not built yet.
    asked: Vec<oneshot::Sender<()>>,
    /// Time that it took to go through what was new last.
    took: Duration,
    /// When that ended.
    ended: Option<Instant>,
    runtime: tokio::runtime::Runtime,
}
