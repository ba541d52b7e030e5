//! A gateway and its backend, in a network namespace of their own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use gateway_testkit::http;
use gateway_testkit::netns::Inside;
use gateway_testkit::tls::SelfSigned;

use super::backend::Backend;
use crate::process::{Process, until};

/// The host of every URL; the system's own name for this machine, so that clients send a server name.
pub(super) const HOST: &str = "localhost";
/// The ports of resources.yaml.
pub(super) const HTTP: u16 = 8080;
pub(super) const HTTPS: u16 = 8443;
pub(super) const HTTPS_OF_ONE_NAME: u16 = 8444;

const BACKEND: &str = "127.0.0.1:9000";
const HEALTH: &str = "127.0.0.1:15021";
const RESOURCES: &str = include_str!("resources.yaml");

/// Everything that runs but clients. The gateway ends first: its connections to the backend end with it.
pub(super) struct Testbed {
    gateway: Process,
    pub(super) backend: Backend,
    dir: PathBuf,
}

impl Testbed {
    pub(super) fn start(sluice: &Path, inside: &Inside) -> Result<Self> {
        let dir = inside.scratch().path().to_owned();
        let backend = Backend::start(BACKEND.parse()?)?;
        let config = dir.join("config");
        fs::create_dir_all(&config)?;
        let certificate = SelfSigned::new(&[HOST, "www.example.test", "127.0.0.1"]);
        fs::write(config.join("all.yaml"), RESOURCES)?;
        fs::write(config.join("secret.yaml"), certificate.secret("clients", "certificate"))?;
        let mut command = Command::new(sluice);
        command.arg("run").arg(&config).arg("--state-dir").arg(dir.join("state"));
        command.arg("--bpffs").arg(inside.bpffs()).args(["--workers", "2", "--drain-min", "0s"]);
        command.args(["--health-address", HEALTH, "--metrics-address", "off", "--access-log", "off"]);
        let mut gateway = Process::spawn("sluice", &dir, &mut command)?;
        let health: SocketAddr = HEALTH.parse()?;
        until("sluice is ready", || {
            gateway.ensure_running()?;
            let ready =
                http::get(health, HOST, "/healthz/ready").is_ok_and(|response| response.status == 200);
            Ok(ready.then_some(()))
        })?;
        Ok(Self { gateway, backend, dir })
    }

    /// Where clients find files and leave some.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// An error if the gateway has ended.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        self.gateway.ensure_running()
    }
}
