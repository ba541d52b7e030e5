//! The kernel interface that a worker drives, and the probe that chooses it.

use std::{fmt, io, thread};

use iou6::{IoUring, Probe as OpcodeProbe, opcode};

/// A way to drive I/O, in the order they are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Driver {
    /// io_uring with `SINGLE_ISSUER | DEFER_TASKRUN` (Linux 6.1): completions run when the worker
    /// waits for them.
    UringDefer,
    /// io_uring with `COOP_TASKRUN | TASKRUN_FLAG` (Linux 5.19): completions interrupt nothing.
    UringCoop,
    /// io_uring without flags (Linux 5.7).
    UringPlain,
    /// Readiness by epoll: for kernels and seccomp profiles that refuse io_uring.
    Epoll,
}

/// The operator's choice of drivers.
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

/// Result of the probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The first driver that works.
    pub driver: Driver,
    /// The drivers before it, each with the reason it was refused; the last reason ends with what to
    /// do about them.
    pub refused: Vec<(Driver, String)>,
}

/// No driver allowed by the mode works.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("io_uring is not usable here ({}), or choose the io mode auto or epoll", list(refused))]
pub struct ProbeError {
    /// Every driver tried, with the reason it was refused; the last reason ends with what to do about them.
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

    /// True if it is one of the rings.
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

/// Finds the best driver `mode` allows, by building the very rings that so many workers would build
/// (`ring_entries` submission entries each), all at the same time, and passing an operation through one. Each
/// try runs in a thread of its own that ends before the response: a single-issuer ring belongs to the thread
/// that built it.
///
/// # Errors
/// Mode `Uring` and no ring works. The other modes always find a driver.
pub fn probe(mode: IoMode, ring_entries: u32, workers: usize) -> Result<Probe, ProbeError> {
    let mut refused = Vec::new();
    let mut works = None;
    if mode != IoMode::Epoll {
        for driver in Driver::ALL.into_iter().filter(|driver| driver.is_uring()) {
            match try_rings(driver, ring_entries.max(MIN_ENTRIES), workers) {
                Ok(()) => {
                    works = Some(driver);
                    break;
                }
                Err(error) => refused.push((driver, error)),
            }
        }
    }
    let advice = refused.last().map(|(_, error)| advice(works.is_some(), error.kind()));
    let mut refused: Vec<_> = refused.into_iter().map(|(driver, why)| (driver, why.to_string())).collect();
    if let (Some(advice), Some((_, last))) = (advice, refused.last_mut()) {
        last.push_str("; ");
        last.push_str(advice);
    }
    match (works, mode) {
        (Some(driver), _) => Ok(Probe { driver, refused }),
        (None, IoMode::Uring) => Err(ProbeError { refused }),
        (None, _) => Ok(Probe { driver: Driver::Epoll, refused }),
    }
}

/// Advice for a better driver; `works` is true if a ring can be built at all.
fn advice(works: bool, why: io::ErrorKind) -> &'static str {
    match why {
        io::ErrorKind::PermissionDenied => {
            "allow io_uring (kernel.io_uring_disabled=0, and a seccomp profile that permits its system calls)"
        }
        io::ErrorKind::OutOfMemory => {
            "raise the limit of locked memory (LimitMEMLOCK), or lower --ring-entries or --workers"
        }
        _ if works => "Linux 6.1 or later has uring-defer, which costs the least CPU",
        _ => "io_uring takes Linux 5.7 or later, and is best from 6.1 on",
    }
}

/// Builds one ring of `driver` in a scratch thread and uses it.
pub(crate) fn try_ring(driver: Driver, entries: u32) -> io::Result<()> {
    try_rings(driver, entries, 1)
}

fn try_rings(driver: Driver, entries: u32, count: usize) -> io::Result<()> {
    let body = move || {
        let mut rings = Vec::with_capacity(count);
        // Memory may do for one ring and not for all of them.
        for number in 1..=count {
            let ring = driver.ring_builder().build(entries).map_err(|error| match number {
                1 => step("io_uring_setup", &error),
                _ => step(&format!("ring {number} of {count}: io_uring_setup"), &error),
            })?;
            rings.push(ring);
        }
        rings.first_mut().map_or(Ok(()), check_ring)
    };
    let scratch = thread::Builder::new().name("ring-probe".to_owned()).spawn(body)?;
    scratch.join().unwrap_or_else(|_| Err(io::Error::other("the probing thread panicked")))
}

fn step(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn check_ring(ring: &mut IoUring) -> io::Result<()> {
    // Without NODROP completions are lost when the queue overflows; without FAST_POLL every receive that has
    // to wait would block a kernel thread.
    if !ring.params().is_feature_nodrop() || !ring.params().is_feature_fast_poll() {
        return Err(io::Error::other("the kernel's io_uring is too old"));
    }
    let mut known = OpcodeProbe::new();
    ring.submitter().register_probe(&mut known).map_err(|error| step("io_uring_register", &error))?;
    for (code, name) in NEEDED {
        if !known.is_supported(code) {
            return Err(io::Error::other(format!("the kernel's io_uring lacks {name}")));
        }
    }
    // monoio ignores a failing io_uring_enter and would spin, so it must be known to work.
    // SAFETY: a no-op refers to no memory.
    unsafe { ring.submission().push(&opcode::Nop::new().build()) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1).map_err(|error| step("io_uring_enter", &error))?;
    match ring.completion().next() {
        Some(done) if done.result() >= 0 => Ok(()),
        Some(done) => Err(step("no-op", &io::Error::from_raw_os_error(-done.result()))),
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
