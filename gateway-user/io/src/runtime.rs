//! The worker's runtime: built, run and torn down in the calling thread.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use crate::{
    confine::{Role, Unlisted, confine, ring},
    driver::Driver,
    kernel, pool,
    task::{self, Tasks},
    timers::TimerTable,
};

/// Settings of a worker's runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// The driver, as found by [`probe`](crate::probe).
    pub driver: Driver,
    /// Submission entries of the ring (at least 256; the kernel rounds up to a power of two and makes twice
    /// as many completion entries). With epoll: events taken per wait.
    pub ring_entries: u32,
    /// Bytes of one chunk, the most that one receive takes.
    pub chunk_size: usize,
    /// Number of idle chunks that a worker keeps for reuse.
    pub idle_chunks: usize,
    /// Bytes of buffers that [`buffer_level`](crate::buffer_level) is measured against. Receives that begin
    /// beyond it hold a chunk only once something has come.
    pub buffer_limit: usize,
    /// Granularity of deadlines and of [`now`](crate::now), 50 ms by default.
    pub tick: Duration,
    /// A receive without data for this long, 1 s by default, gives its chunk back and waits for
    /// readiness instead.
    pub quiet_after: Duration,
    /// Treatment of other system calls, once the driver is built and the thread is restricted to those that a
    /// worker needs; `None` leaves it unrestricted.
    pub confine: Option<Unlisted>,
}

impl RuntimeOptions {
    /// Options for `driver` with defaults for the rest: 4096 entries, 1024 idle chunks of 16 KiB, no
    /// limit, 50 ms, 1 s.
    #[must_use]
    pub const fn new(driver: Driver) -> RuntimeOptions {
        RuntimeOptions {
            driver,
            ring_entries: 4096,
            chunk_size: pool::DEFAULT_CHUNK_SIZE,
            idle_chunks: pool::DEFAULT_IDLE_BUFFERS,
            buffer_limit: usize::MAX,
            tick: Duration::from_millis(50),
            quiet_after: Duration::from_secs(1),
            confine: None,
        }
    }
}

/// State that everything on a worker's thread shares.
pub(crate) struct Worker {
    pub(crate) driver: Driver,
    pub(crate) quiet_after: Duration,
    pub(crate) timers: Rc<TimerTable>,
    pub(crate) tasks: Tasks,
    pub(crate) stopping: Cell<bool>,
}

thread_local! {
    static WORKER: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

/// The calling thread's worker, if it runs one.
pub(crate) fn current_worker() -> Option<Rc<Worker>> {
    WORKER.try_with(|worker| worker.borrow().clone()).ok().flatten()
}

/// The calling thread's worker.
///
/// # Errors
/// The thread runs no runtime.
pub(crate) fn worker() -> io::Result<Rc<Worker>> {
    current_worker()
        .ok_or_else(|| io::Error::other("this thread runs no worker; call it inside gateway_io::run"))
}

/// Runs `main` to its end on a runtime of the calling thread, then ends every spawned task and waits (at most
/// one second) until the kernel holds no memory of theirs.
///
/// The runtime is built here because a ring must be built by the thread that uses it: with single-issuer
/// flags, completions of a ring that moved to another thread never arrive.
///
/// # Errors
/// The thread runs a worker already, or the driver cannot be built (see [`probe`](crate::probe)).
pub fn run<M, F>(options: &RuntimeOptions, main: M) -> io::Result<F::Output>
where
    M: FnOnce() -> F,
    F: Future,
{
    if WORKER.with(|worker| worker.borrow().is_some()) {
        return Err(io::Error::other("this thread runs a worker already"));
    }
    match options.driver {
        Driver::Epoll => {
            let builder = RuntimeBuilder::<LegacyDriver>::new().with_entries(options.ring_entries);
            let runtime = builder.enable_timer().build()?;
            confine_worker(options)?;
            Ok(drive(runtime, options, main))
        }
        driver => {
            let restricted = options.confine == Some(Unlisted::Fails);
            let runtime = ring::build(driver, restricted, |rings| {
                let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(options.ring_entries);
                builder.uring_builder(rings).enable_timer().build()
            })?;
            confine_worker(options)?;
            Ok(drive(runtime, options, main))
        }
    }
}

/// After the driver is built: a worker makes no second ring.
fn confine_worker(options: &RuntimeOptions) -> io::Result<()> {
    options.confine.map_or(Ok(()), |unlisted| confine(Role::Worker(options.driver), unlisted))
}

fn drive<D, M, F>(mut runtime: Runtime<D>, options: &RuntimeOptions, main: M) -> F::Output
where
    D: monoio::Driver,
    M: FnOnce() -> F,
    F: Future,
{
    pool::configure(options.chunk_size, options.idle_chunks, options.buffer_limit);
    let worker = Rc::new(Worker {
        driver: options.driver,
        quiet_after: options.quiet_after,
        timers: TimerTable::new(options.tick),
        tasks: Tasks::default(),
        stopping: Cell::new(false),
    });
    WORKER.with(|slot| slot.replace(Some(Rc::clone(&worker))));
    kernel::set_ring_alive(true);
    let main_task = Rc::new(RefCell::new(None));
    // Declared after `runtime`, so dropped before it, also when a panic comes through.
    let _leave = Leave { worker: Rc::clone(&worker), main_task: Rc::clone(&main_task) };
    runtime.block_on(async move {
        task::spawn(sweeper(Rc::clone(&worker.timers)));
        main_task.replace(Some(Box::pin(main())));
        let output = poll_fn(|cx| match main_task.borrow_mut().as_mut() {
            Some(future) => future.as_mut().poll(cx),
            // Taken only by `Leave`, after which nothing is polled.
            None => Poll::Pending,
        })
        .await;
        main_task.take();
        wind_down(&worker).await;
        output
    })
}

/// The one timer: wakes every tick and tells what came due.
async fn sweeper(timers: Rc<TimerTable>) {
    loop {
        monoio::time::sleep(timers.tick()).await;
        timers.run();
    }
}

/// Ends all tasks, then lets the ring run until it has completed or cancelled what they left behind.
async fn wind_down(worker: &Worker) {
    worker.stopping.set(true);
    worker.tasks.end_all();
    for _ in 0..1000 {
        if kernel::lent() == 0 {
            break;
        }
        monoio::time::sleep(Duration::from_millis(1)).await;
    }
    // Two more turns: polls without memory are cancelled in the first, sockets they held are
    // closed in the second.
    for _ in 0..2 {
        monoio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Leaves the thread as it was before the runtime, whichever way it ended.
struct Leave<F> {
    worker: Rc<Worker>,
    /// monoio makes a task of the future that it blocks on, and leaks it when a panic comes through.
    main_task: Rc<RefCell<Option<Pin<Box<F>>>>>,
}

impl<F> Drop for Leave<F> {
    fn drop(&mut self) {
        self.worker.stopping.set(true);
        // The main future first, so that it sees what its tasks had when they ended.
        let main = self.main_task.try_borrow_mut().ok().and_then(|mut main| main.take());
        drop(main);
        self.worker.tasks.end_all();
        // Memory that the kernel still holds now is leaked rather than freed under it.
        kernel::set_ring_alive(false);
        let _ = WORKER.try_with(|slot| slot.replace(None));
    }
}
