//! nginx, replaced by `nginx -s reload`: the master keeps the listening sockets and starts new workers; the old ones
//! stop accepting, close idle connections and end with their last request.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::proxy::{Proxy, Setup, WORKERS};
use crate::process::{Process, until};

pub(super) struct Nginx {
    setup: Setup,
    master: Option<Process>,
}

impl Nginx {
    pub(super) fn new(setup: Setup) -> Self {
        Self { setup, master: None }
    }

    fn config_path(&self) -> PathBuf {
        self.setup.dir.join("nginx.conf")
    }

    /// As its documentation advises for a proxy: HTTP/1.1 and kept connections to the backend, bodies passed on as
    /// they come.
    fn config(&self) -> String {
        let Setup { dir, listen, backend, .. } = &self.setup;
        let dir = dir.display();
        format!(
            "daemon off;
user root;
worker_processes {WORKERS};
pid {dir}/nginx.pid;
error_log {dir}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    scgi_temp_path {dir}/scgi;
    uwsgi_temp_path {dir}/uwsgi;
    client_max_body_size 0;
    keepalive_requests 1000000;
    upstream backend {{ server {backend}; keepalive 64; }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_request_buffering off;
        }}
    }}
}}
"
        )
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.master.as_mut().context("nginx has not been started")
    }
}

impl Proxy for Nginx {
    fn start(&mut self) -> Result<()> {
        fs::write(self.config_path(), self.config())?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(self.config_path()).arg("-e").arg(self.setup.dir.join("nginx.log"));
        let master = self.master.insert(Process::spawn("nginx", &self.setup.dir, &mut command)?);
        until("nginx has its workers", || {
            master.ensure_running()?;
            Ok((children(master.pid())?.len() >= WORKERS).then_some(()))
        })
    }

    fn upgrade(&mut self) -> Result<()> {
        let config = self.config_path();
        let log = self.setup.dir.join("nginx.log");
        let master = self.running()?;
        let old = children(master.pid())?;
        let status =
            Command::new("nginx").arg("-c").arg(config).arg("-e").arg(log).args(["-s", "reload"]).status()?;
        ensure!(status.success(), "nginx -s reload failed ({status})");
        until("nginx has new workers", || {
            master.ensure_running()?;
            Ok((children(master.pid())?.difference(&old).count() >= WORKERS).then_some(()))
        })
    }

    fn stop(&mut self) -> Result<()> {
        let master = self.running()?;
        master.signal(Signal::SIGQUIT)?;
        master.wait_for_success()
    }
}

/// Processes whose parent is `pid`.
fn children(pid: u32) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has just ended has no file any more.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // proc_pid_stat(5): pid (name) state ppid …; the name may hold spaces and brackets.
        let Some((_, rest)) = stat.rsplit_once(')') else { bail!("{}: {stat}", entry.path().display()) };
        if rest.split_ascii_whitespace().nth(1) == Some(pid.to_string().as_str()) {
            found.insert(child);
        }
    }
    Ok(found)
}
