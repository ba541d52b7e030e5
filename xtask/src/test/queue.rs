//! Test binaries beside each other.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{io, thread};

use anyhow::{Context as _, Result, bail};

use super::binaries::Binary;
use super::count::Count;
use super::pairs::{Pair, VARIABLE};

/// Binaries that run at the same time on other pairs than the usual one. Each test has a network namespace of its own, and
/// most of them wait most of the time. Those that run once have no neighbour: gateways of two of them, such as of
/// `takeover`, want more rings than one user may have locked memory for.
const BESIDE: usize = 2;

/// Those that take minutes, the longest first: none of them is left over at the end.
const LONG: [&str; 8] =
    ["takeover", "overload", "http2", "helper", "address_moves", "cluster", "gateway_control", "operators"];

/// A binary to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job<'a> {
    pub(super) binary: &'a Binary,
    /// Steering and I/O of the whole gateway, for a binary that leaves them to the environment.
    pub(super) pair: Pair,
    /// True if it runs on another pair than the usual one, and is counted there.
    pub(super) again: bool,
}

/// Runs them and counts by pair, what runs once by none. The output of a binary comes in one piece when it has ended.
pub(super) fn run(mut jobs: Vec<Job<'_>>, filter: Option<&str>) -> Result<BTreeMap<Option<Pair>, Count>> {
    jobs.sort_by_key(|job| LONG.iter().position(|name| *name == job.binary.name).unwrap_or(LONG.len()));
    let (again, once): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.again);
    let counts = Mutex::new(BTreeMap::new());
    run_beside(1, once, &counts, filter)?;
    run_beside(BESIDE, again, &counts, filter)?;
    Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs so many at the same time.
fn run_beside(
    beside: usize,
    jobs: Vec<Job<'_>>,
    counts: &Mutex<BTreeMap<Option<Pair>, Count>>,
    filter: Option<&str>,
) -> Result<()> {
    let waiting = Mutex::new(VecDeque::from(jobs));
    let worker = || -> Result<()> {
        loop {
            let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(job) = job else { return Ok(()) };
            let count = job.run(filter)?;
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.entry(job.again.then_some(job.pair)).or_default().merge(count);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..beside).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(done) => done,
            Err(_) => bail!("a thread that ran tests panicked"),
        })
    })
}

impl Job<'_> {
    fn run(self, filter: Option<&str>) -> Result<Count> {
        let Self { binary, pair, again } = self;
        let mut command = Command::new(&binary.executable);
        // As cargo does.
        command.current_dir(&binary.package).env("CARGO_MANIFEST_DIR", &binary.package);
        command.env(VARIABLE, pair.name()).args(filter).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("starting {}", binary.executable.display()))?;
        let (text, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let mut count = Count::default();
        text.lines().for_each(|line| count.add(line));
        let what = match again {
            true => format!("{} over {}", binary.source.display(), pair.name()),
            false => binary.source.display().to_string(),
        };
        let mut terminal = io::stdout().lock();
        writeln!(terminal, "\n     Running {what}\n{errors}{text}")?;
        if !output.status.success() && count.failed == 0 {
            // It ended without counting: killed, or never began.
            count.failed = 1;
            writeln!(terminal, "{what}: {}", output.status)?;
        }
        Ok(count)
    }
}
