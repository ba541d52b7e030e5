//! Programs that run as long as the one that started them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::control_plane::Arguments;

/// Far above what a start takes on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The parts of a cluster, or of a node, that run, by process.
pub(super) struct Parts {
    /// The program that is every component of Kubernetes.
    program: PathBuf,
    logs: PathBuf,
    /// The node or control plane that they are parts of, before the name of each log.
    of: String,
    running: BTreeMap<i32, String>,
}

impl Parts {
    /// None yet; their logs will be in `logs`, named after `of` as well.
    pub(super) fn new(program: &Path, logs: &Path, of: &str) -> Result<Self> {
        fs::create_dir_all(logs)?;
        let (program, logs) = (program.to_owned(), logs.to_owned());
        Ok(Self { program, logs, of: of.to_owned(), running: BTreeMap::new() })
    }

    /// Starts a component of Kubernetes.
    pub(super) fn component(&mut self, arguments: Arguments) -> Result<()> {
        let name = arguments[0].clone();
        let mut command = Command::new(&self.program);
        self.start(&name, command.args(arguments))
    }

    /// Starts another program.
    pub(super) fn start(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let log = File::create(self.log(name))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        self.running.insert(child.id().cast_signed(), name.to_owned());
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{}{name}.log", self.of))
    }

    /// Polls until `ready`.
    pub(super) fn until(&mut self, what: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + START_TIMEOUT;
        while !ready() {
            self.reap()?;
            if Instant::now() > end {
                bail!("gave up waiting until {what}; see {}", self.logs.display());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Stays until one of them ends, which is an error.
    pub(super) fn stay(&mut self) -> Result<()> {
        loop {
            self.reap()?;
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Takes note of every process that has ended, containers' leavings among them; a part must not end.
    fn reap(&mut self) -> Result<()> {
        loop {
            let pid = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(status) => status.pid(),
                Err(e) => return Err(e.into()),
            };
            if let Some(name) = pid.and_then(|pid| self.running.remove(&pid.as_raw())) {
                bail!("{name} ended by itself: {}", last_lines(&self.log(&name)));
            }
        }
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
