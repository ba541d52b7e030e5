//! Which kernel interface a worker drives, and the probe that chooses it.

use std::{fmt, io, thread};

use iou6::{IoUring, Probe as OpcodeProbe, opcode};

/// A way to drive I/O, in the order they are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Driver {
    /// io_uring with `SINGLE_ISSUER | DEFER_TASKRUN` (Linux 6.1): completions run when the worker waits for them.
    UringDefer,
    /// io_uring with `COOP_TASKRUN | TASKRUN_FLAG` (Linux 5.19): completions interrupt nothing.
    UringCoop,
    /// io_uring without flags (Linux 5.7).
    UringPlain,
    /// Readiness by epoll: for kernels and seccomp profiles that refuse io_uring.
    Epoll,
}

/// What the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IoMode {
    /// The best driver that works here.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// epoll, io_uring not even tried.
    Epoll,
}

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The first driver that works.
    pub driver: Driver,
    /// The drivers before it, each with the reason it was refused.
    pub refused: Vec<(Driver, String)>,
}

/// No driver allowed by the mode works.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "io_uring is not usable here ({}); choose the io mode auto or epoll, or allow io_uring (kernel.io_uring_disabled, seccomp profile)",
    list(refused)
)]
pub struct ProbeError {
    /// Every driver tried, with the reason it was refused.
    pub refused: Vec<(Driver, String)>,
}

fn list(refused: &[(Driver, String)]) -> String {
    refused.iter().map(|(driver, why)| format!("{driver}: {why}")).collect::<Vec<_>>().join("; ")
}

impl Driver {
    /// All of them, best first.
    pub const ALL: [Driver; 4] = [Driver::UringDefer, Driver::UringCoop, Driver::UringPlain, Driver::Epoll];

    /// Stable name for logs, status and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Driver::UringDefer => "uring-defer",
            Driver::UringCoop => "uring-coop",
            Driver::UringPlain => "uring-plain",
            Driver::Epoll => "epoll",
        }
    }

    /// Whether it is one of the rings.
    #[must_use]
    pub const fn is_uring(self) -> bool {
        !matches!(self, Driver::Epoll)
    }

    /// The ring's flags. monoio takes io-uring 0.6's builder.
    pub(crate) fn ring_builder(self) -> iou6::Builder {
        let mut builder = IoUring::builder();
        match self {
            Driver::UringDefer => {
                builder.setup_single_issuer().setup_defer_taskrun();
            }
            Driver::UringCoop => {
                builder.setup_coop_taskrun().setup_taskrun_flag();
            }
            Driver::UringPlain | Driver::Epoll => {}
        }
        builder
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Finds the best driver `mode` allows, by building the very ring a worker would build (`ring_entries` submission
/// entries) and passing an operation through it. Each try runs in a thread of its own that ends before the answer:
/// a single-issuer ring belongs to the thread that built it.
///
/// # Errors
/// Mode `Uring` and no ring works. The other modes always find a driver.
pub fn probe(mode: IoMode, ring_entries: u32) -> Result<Probe, ProbeError> {
    let mut refused = Vec::new();
    if mode != IoMode::Epoll {
        for driver in Driver::ALL.into_iter().filter(|driver| driver.is_uring()) {
            match try_ring(driver, ring_entries.max(MIN_ENTRIES)) {
                Ok(()) => return Ok(Probe { driver, refused }),
                Err(error) => refused.push((driver, error.to_string())),
            }
        }
    }
    if mode == IoMode::Uring {
        return Err(ProbeError { refused });
    }
    Ok(Probe { driver: Driver::Epoll, refused })
}

/// Builds `driver`'s ring in a scratch thread and uses it.
pub(crate) fn try_ring(driver: Driver, entries: u32) -> io::Result<()> {
    let body = move || check_ring(driver, entries);
    let scratch = thread::Builder::new().name("ring-probe".to_owned()).spawn(body)?;
    scratch.join().unwrap_or_else(|_| Err(io::Error::other("the probing thread panicked")))
}

fn check_ring(driver: Driver, entries: u32) -> io::Result<()> {
    let step = |what: &str, error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
    let mut ring: IoUring =
        driver.ring_builder().build(entries).map_err(|error| step("io_uring_setup", error))?;
    // Without NODROP completions are lost when the queue overflows; without FAST_POLL every receive that has to
    // wait would block a kernel thread.
    if !ring.params().is_feature_nodrop() || !ring.params().is_feature_fast_poll() {
        return Err(io::Error::other("the kernel's io_uring is too old (Linux 5.7 or newer needed)"));
    }
    let mut known = OpcodeProbe::new();
    ring.submitter().register_probe(&mut known).map_err(|error| step("io_uring_register", error))?;
    for (code, name) in NEEDED {
        if !known.is_supported(code) {
            return Err(io::Error::other(format!("the kernel's io_uring lacks {name}")));
        }
    }
    // monoio ignores a failing io_uring_enter and would spin, so it must be known to work.
    // SAFETY: a no-op refers to no memory.
    unsafe { ring.submission().push(&opcode::Nop::new().build()) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1).map_err(|error| step("io_uring_enter", error))?;
    match ring.completion().next() {
        Some(done) if done.result() >= 0 => Ok(()),
        Some(done) => Err(step("no-op", io::Error::from_raw_os_error(-done.result()))),
        None => Err(io::Error::other("the ring completed nothing")),
    }
}

/// The runtime makes no smaller ring.
const MIN_ENTRIES: u32 = 256;

/// Operations the workers use.
const NEEDED: [(u8, &str); 9] = [
    (opcode::Recv::CODE, "IORING_OP_RECV"),
    (opcode::Send::CODE, "IORING_OP_SEND"),
    (opcode::Writev::CODE, "IORING_OP_WRITEV"),
    (opcode::Read::CODE, "IORING_OP_READ"),
    (opcode::PollAdd::CODE, "IORING_OP_POLL_ADD"),
    (opcode::AsyncCancel::CODE, "IORING_OP_ASYNC_CANCEL"),
    (opcode::Connect::CODE, "IORING_OP_CONNECT"),
    (opcode::Close::CODE, "IORING_OP_CLOSE"),
    (opcode::Timeout::CODE, "IORING_OP_TIMEOUT"),
];
