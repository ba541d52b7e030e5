//! Who is measured: the same reverse proxy in four programs, and how each is told to be it.
//!
//! Each takes `/app…/` away from the path, sets X-Forwarded-For, -Proto, -Host and -Port and X-Request-Id (but for the
//! floor), keeps backend connections, and works on one thread.

mod haproxy;
mod nginx;
mod sluice;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// A program in a set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Sluice,
    /// Sluice with one route for everything, in a scenario where it has many.
    SluiceOneRoute,
    /// Another build of Sluice, or the same with other settings.
    SluiceBeside,
    Nginx,
    Haproxy,
    Floor,
}

/// Where it runs and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// For its configuration and output.
    pub(super) dir: PathBuf,
    pub(super) bpffs: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) backend: SocketAddr,
    pub(super) cpu: usize,
    pub(super) log: bool,
    pub(super) many: bool,
}

/// Our programs, built.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) sluice: Variant,
    pub(super) beside: Option<Variant>,
    pub(super) floor: PathBuf,
    pub(super) bench: PathBuf,
}

/// A build of Sluice and what it is told beside what all are.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    pub(super) program: PathBuf,
    pub(super) flags: Vec<String>,
}

impl Target {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sluice => "sluice",
            Self::SluiceOneRoute => "sluice, one route",
            Self::SluiceBeside => "sluice, beside",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Floor => "floor",
        }
    }

    /// Writes its configuration and gives the call that starts it, pinned to the set-up's CPU.
    pub(super) fn command(self, setup: &Setup, programs: &Programs) -> Result<Command> {
        let mut words = vec!["--cpu-list".to_owned(), setup.cpu.to_string()];
        words.extend(match self {
            Self::Sluice => sluice::call(setup, &programs.sluice, setup.many)?,
            Self::SluiceOneRoute => sluice::call(setup, &programs.sluice, false)?,
            Self::SluiceBeside => {
                sluice::call(setup, programs.beside.as_ref().context("--beside")?, setup.many)?
            }
            Self::Nginx => nginx::call(setup)?,
            Self::Haproxy => haproxy::call(setup)?,
            Self::Floor => vec![
                path(&programs.floor),
                format!("--listen={}", setup.listen),
                format!("--backend={}", setup.backend),
                "--strip=/app".to_owned(),
            ],
        });
        let mut command = Command::new("taskset");
        command.args(words);
        Ok(command)
    }
}

/// nginx as everybody's backend: small answers from memory, large ones from the page cache.
pub(super) fn backend(dir: &Path, listen: SocketAddr, cpu: usize) -> Result<Command> {
    let root = dir.join("files");
    fs::create_dir_all(&root)?;
    for (name, bytes) in [("100", 100), ("10k", 10 << 10), ("1m", 1 << 20)] {
        fs::write(root.join(name), "x".repeat(bytes))?;
    }
    let config = dir.join("backend.conf");
    let files = path(&root);
    let text = format!(
        "daemon off;
worker_processes 1;
pid {dir}/backend.pid;
error_log {dir}/backend.log warn;
worker_rlimit_nofile 19000;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {dir}/b1;
    proxy_temp_path {dir}/b2;
    fastcgi_temp_path {dir}/b3;
    scgi_temp_path {dir}/b4;
    uwsgi_temp_path {dir}/b5;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16;
    server {{
        listen {listen} backlog=4096;
        root {files};
        location ~ ^/([0-9]/)?100$ {{ return 200 \"{small}\"; }}
    }}
}}
",
        dir = path(dir),
        small = "x".repeat(100),
    );
    write(&config, &text)?;
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &cpu.to_string(), "nginx", "-e"]).arg(dir.join("backend.log"));
    command.arg("-c").arg(config);
    Ok(command)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{}", path.display()))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
