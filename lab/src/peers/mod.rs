//! The proxies: Sluice and its peers, how each is configured, started and replaced.

pub(crate) mod haproxy;
pub(crate) mod nginx;
pub(crate) mod resources;
pub(crate) mod sluice;

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Where a proxy runs and what it does: everything that comes in goes to one backend.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// For its configuration, sockets and output; no other proxy uses it.
    pub(crate) dir: PathBuf,
    /// A BPF file system of its own.
    pub(crate) bpffs: PathBuf,
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// Where it forwards to.
    pub(crate) backend: SocketAddr,
    /// The CPU that it is pinned to, if any.
    pub(crate) cpu: Option<usize>,
    pub(crate) role: Role,
}

/// The use that a proxy is put to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// CPU per request is measured: one worker, `/app` is taken away from the path, X-Forwarded-For, -Proto,
    /// -Host and -Port and X-Request-Id are set, and connections are kept for an hour.
    Measured { access_log: bool },
    /// It is replaced under load: two workers, requests are passed on as they come.
    Replaced,
}

impl Role {
    /// Worker processes or threads. Two are as many as the smallest machine has CPUs.
    pub(crate) fn workers(self) -> usize {
        match self {
            Self::Measured { .. } => 1,
            Self::Replaced => 2,
        }
    }

    /// True if it writes an access log.
    pub(crate) fn access_log(self) -> bool {
        matches!(self, Self::Measured { access_log: true })
    }
}

/// A proxy and the way its operators replace it.
pub(crate) trait Proxy {
    /// Starts it; returns once it is said to serve.
    fn start(&mut self) -> Result<()>;

    /// Replaces it; returns once the new one is said to serve. The old one may still be draining where its
    /// operators do not wait for that.
    fn upgrade(&mut self) -> Result<()>;

    /// Ends it in order, with all that are still draining; an error if one of them did not end well.
    fn stop(&mut self) -> Result<()>;
}

/// A call of `program`, pinned to a CPU if one is given.
pub(crate) fn program(program: impl AsRef<OsStr>, cpu: Option<usize>) -> Command {
    let Some(cpu) = cpu else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &cpu.to_string()]).arg(program);
    command
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
