//! HAProxy, replaced by a new process with `-sf OLD`: the new one binds, then tells the old one to finish.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::proxy::{Proxy, Setup, WORKERS};
use crate::process::{Process, until};

/// How the new process comes to its listening sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    /// Binds its own beside the old ones (SO_REUSEPORT).
    Rebind,
    /// Receives the old ones (`-x`), and idle connections are kept until their next answer: what its documentation
    /// advises for reloads that clients do not notice.
    PassSockets,
}

pub(super) struct Haproxy {
    setup: Setup,
    reload: Reload,
    live: Option<Process>,
    draining: Vec<Process>,
    started: u32,
}

impl Haproxy {
    pub(super) fn new(setup: Setup, reload: Reload) -> Self {
        Self { setup, reload, live: None, draining: Vec::new(), started: 0 }
    }

    fn config_path(&self) -> PathBuf {
        self.setup.dir.join("haproxy.cfg")
    }

    fn socket(&self) -> PathBuf {
        self.setup.dir.join("haproxy.sock")
    }

    fn config(&self) -> String {
        let Setup { listen, backend, .. } = &self.setup;
        let socket = self.socket();
        let socket = socket.display();
        let (expose, idle) = match self.reload {
            Reload::Rebind => ("", ""),
            Reload::PassSockets => (" expose-fd listeners", "    option idle-close-on-response\n"),
        };
        format!(
            "global
    maxconn 4096
    nbthread {WORKERS}
    stats socket {socket} mode 600 level admin{expose}
defaults
    mode http
{idle}    timeout connect 5s
    timeout client 75s
    timeout server 60s
    timeout http-keep-alive 75s
frontend in
    bind {listen} backlog 4096
    default_backend out
backend out
    server one {backend}
"
        )
    }

    /// Starts a process and waits until it is the one that answers at the control socket.
    fn launch(&mut self, more: &[String]) -> Result<Process> {
        self.started += 1;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(self.config_path()).args(more);
        let mut process =
            Process::spawn(&format!("haproxy-{}", self.started), &self.setup.dir, &mut command)?;
        let socket = self.socket();
        until("the new haproxy serves", || {
            process.ensure_running()?;
            Ok((answering_pid(&socket) == Some(process.pid())).then_some(()))
        })?;
        Ok(process)
    }
}

impl Proxy for Haproxy {
    fn start(&mut self) -> Result<()> {
        fs::write(self.config_path(), self.config())?;
        self.live = Some(self.launch(&[])?);
        Ok(())
    }

    fn upgrade(&mut self) -> Result<()> {
        let old = self.live.take().context("haproxy has not been started")?;
        let mut more = vec!["-sf".to_owned(), old.pid().to_string()];
        if self.reload == Reload::PassSockets {
            more.extend(["-x".to_owned(), self.socket().display().to_string()]);
        }
        self.draining.push(old);
        self.live = Some(self.launch(&more)?);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(live) = self.live.take() {
            live.signal(Signal::SIGUSR1)?;
            self.draining.push(live);
        }
        self.draining.iter_mut().try_for_each(Process::wait_for_success)
    }
}

fn answering_pid(socket: &Path) -> Option<u32> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"show info\n").ok()?;
    let mut info = String::new();
    stream.read_to_string(&mut info).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid: "))?.trim().parse().ok()
}
