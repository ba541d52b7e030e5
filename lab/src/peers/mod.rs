//! The proxies: Sluice and its peers, how each is configured, started and replaced.

pub(crate) mod caddy;
pub(crate) mod envoy;
pub(crate) mod file_server;
pub(crate) mod haproxy;
pub(crate) mod nginx;
pub(crate) mod programs;
pub(crate) mod resources;
mod sid;
pub(crate) mod sluice;
mod wheel;

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use programs::Programs;
use sluice::Broken;

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
    /// Where peers are called from.
    pub(crate) peers: Programs,
}

/// The use that a proxy is put to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// CPU per request is measured: one worker, `/app` is taken away from the path, X-Forwarded-For, -Proto,
    /// -Host and -Port and X-Request-Id are set, and connections are kept for an hour.
    Measured(Traffic),
    /// It is replaced under load: two workers, requests are passed on as they come.
    Replaced,
}

/// The clients and the backend of a proxy that is measured, as its configuration names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// It writes an access log.
    pub(crate) access_log: bool,
    /// Clients speak TLS 1.3 or 1.2; the files are [`Setup::certificate`] and [`Setup::key`].
    pub(crate) tls: bool,
    /// Clients speak HTTP/2.
    pub(crate) http2: bool,
    /// The backend speaks HTTP/2 in clear text.
    pub(crate) backend_http2: bool,
    /// Clients open WebSockets.
    pub(crate) websocket: bool,
    /// Passed on as it is, to the backend that clients speak with: no path is changed, no field set.
    pub(crate) pass: Option<Pass>,
    /// The backend speaks TLS 1.3, with the certificate of [`Setup::certificate`].
    pub(crate) backend_tls: Option<BackendTls>,
}

/// Traffic that is passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Connections.
    Tcp,
    /// Connections over TLS between client and backend, by the server name [`resources::SERVER_NAME`].
    Sni,
    /// Datagrams.
    Udp,
}

/// Connections over TLS to the backend, by what it allows. Keys are agreed on by X25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackendTls {
    /// They are kept.
    Kept,
    /// Each request has one of its own, whose handshake resumes a session.
    Resumed,
    /// Each request has one of its own with a full handshake.
    Full,
}

impl Traffic {
    /// HTTP/1.1 on both sides and no log.
    pub(crate) const PLAIN: Self = Self {
        access_log: false,
        tls: false,
        http2: false,
        backend_http2: false,
        websocket: false,
        pass: None,
        backend_tls: None,
    };
}

impl Traffic {
    /// True if clients speak TLS, with the proxy or with its backend.
    pub(crate) fn is_secured(self) -> bool {
        self.tls || self.pass == Some(Pass::Sni)
    }
}

impl Setup {
    /// A file with the certificate of whoever terminates TLS, in PEM.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.join("tls.crt")
    }

    /// A file with its key.
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.join("tls.key")
    }
}

impl Role {
    /// Worker processes or threads. Two are as many as the smallest machine has CPUs.
    pub(crate) fn workers(self) -> usize {
        match self {
            Self::Measured(_) => 1,
            Self::Replaced => 2,
        }
    }

    /// Its traffic; where it is replaced, HTTP/1.1 in clear text.
    pub(crate) fn traffic(self) -> Traffic {
        match self {
            Self::Measured(traffic) => traffic,
            Self::Replaced => Traffic::PLAIN,
        }
    }
}

/// A proxy and the way its operators replace it.
pub(crate) trait Proxy {
    /// Starts it; returns once it is said to serve.
    fn start(&mut self) -> Result<()>;

    /// Replaces it; returns once the new one is said to serve. The old one may still be draining where its
    /// operators do not wait for that.
    fn upgrade(&mut self) -> Result<()>;

    /// Has an operator try to replace it by a version that is broken; returns once that one is gone.
    fn try_broken(&mut self, how: Broken, _program: &Path) -> Result<()> {
        bail!("--broken {}: only sluice has such versions", how.name())
    }

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
