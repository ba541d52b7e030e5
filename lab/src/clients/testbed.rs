//! A gateway and its backend, in a network namespace of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use gateway_testkit::netns::Inside;
use gateway_testkit::tls::SelfSigned;

use super::backend::Backend;
use crate::peers::sluice::{self, HEALTH};
use crate::process::Process;
use crate::testbed::BACKEND_ADDRESS;

/// The host of every URL; the system's own name for this machine, so that clients send a server name.
pub(crate) const HOST: &str = "localhost";
/// The ports of resources.yaml.
pub(crate) const HTTP: u16 = 8080;
pub(crate) const HTTPS: u16 = 8443;
pub(super) const HTTPS_OF_ONE_NAME: u16 = 8444;

const RESOURCES: &str = include_str!("resources.yaml");

/// Everything that runs but clients. The gateway ends first: its connections to the backend end with it.
pub(crate) struct Testbed {
    gateway: Process,
    pub(super) backend: Backend,
    certificate: SelfSigned,
    dir: PathBuf,
}

impl Testbed {
    pub(crate) fn start(program: &Path, inside: &Inside) -> Result<Self> {
        Self::with(program, inside, 2, &[])
    }

    /// The same with as many workers, and more flags for the gateway.
    pub(crate) fn with(program: &Path, inside: &Inside, workers: u32, flags: &[&str]) -> Result<Self> {
        let dir = inside.scratch().path().to_owned();
        let backend = Backend::start(BACKEND_ADDRESS.parse()?)?;
        sluice::write_config(&dir, RESOURCES)?;
        let certificate = SelfSigned::new(&[HOST, "www.example.test", "127.0.0.1"]);
        let secret = certificate.secret("clients", "certificate");
        fs::write(sluice::config_dir(&dir).join("secret.yaml"), secret)?;
        let mut command = sluice::run(Command::new(program), &dir, inside.bpffs());
        command.args(["--workers", &workers.to_string(), "--drain-min", "0s"]);
        command.args(["--health-address", HEALTH, "--metrics-address", "off", "--access-log", "off"]);
        command.args(flags);
        let mut gateway = Process::spawn("sluice", &dir, &mut command)?;
        sluice::wait_until_ready(&mut gateway)?;
        Ok(Self { gateway, backend, certificate, dir })
    }

    /// Where clients find files and leave some.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The certificate of every listener.
    pub(crate) fn certificate(&self) -> &SelfSigned {
        &self.certificate
    }

    /// The gateway's process.
    pub(crate) fn pid(&self) -> u32 {
        self.gateway.pid()
    }

    /// An error if the gateway has ended.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        self.gateway.ensure_running()
    }
}
