//! Versions that are broken, as a rolling update meets them: what serves must serve on, and no probe may call the new one
//! ready.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gateway_testkit::http;
use nix::sys::signal::Signal;

use super::{METRICS, Sluice};
use crate::process::{Process, check_interrupt, until};

/// The way in which a version is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Broken {
    /// It ends at once.
    Exits,
    /// It hangs before it asks for sockets.
    HangsBefore,
    /// It hangs once it has them.
    HangsAfter,
}

/// The limit of a process that serves for its successor's start, shortened where it is built with faults.
pub(super) const SHORT_LIMIT: &str = "takeover:ready=10000";
/// Longer than that limit as it is.
const GIVEN_UP_TIMEOUT: Duration = Duration::from_secs(200);
/// Time for which a version that hangs is probed. A kubelet that took it for ready would need less.
const PROBED: Duration = Duration::from_secs(6);
/// Time between two probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

impl Broken {
    /// As the command line and the results spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exits => "exits",
            Self::HangsBefore => "hangs-before",
            Self::HangsAfter => "hangs-after",
        }
    }

    /// The word of SLUICE_FAULT that makes a version so.
    pub(crate) fn fault(self) -> &'static str {
        match self {
            Self::Exits => "ends",
            Self::HangsBefore => "takeover:asking",
            Self::HangsAfter => "takeover:received",
        }
    }
}

impl Sluice {
    /// Tries to replace the process that serves by `program`, built with faults, which is broken.
    pub(super) fn try_broken(&mut self, how: Broken, program: &Path) -> Result<()> {
        let socket = self.setup.dir.join(format!("probe-{}", self.started + 1));
        let given_up = timeouts()?;
        let mut pod = self.launch_with(Some(program), |command| {
            command.env("SLUICE_FAULT", how.fault()).arg("--probe-socket").arg(&socket);
        })?;
        match how {
            Broken::Exits => {
                let status = pod.serving.wait()?;
                ensure!(!status.success(), "the version that is broken has ended well");
                must_not_be_ready(program, &socket)?;
            }
            Broken::HangsBefore | Broken::HangsAfter => {
                hangs(&mut pod.serving)?;
                let end = Instant::now() + PROBED;
                while Instant::now() < end {
                    must_not_be_ready(program, &socket)?;
                    pod.serving.ensure_running()?;
                    thread::sleep(PROBE_INTERVAL);
                }
                if how == Broken::HangsAfter {
                    self.wait_until_given_up(given_up)?;
                    must_not_be_ready(program, &socket)?;
                }
                // As the kubelet does with one that is not alive.
                pod.serving.signal(Signal::SIGKILL)?;
                pod.serving.wait()?;
            }
        }
        pod.end_others()?;
        let live = self.live.as_mut().context("sluice has not been started")?;
        live.serving.ensure_running().context("the process that served")
    }

    /// Waits until the process that serves has given up one that hangs, by its time limit.
    fn wait_until_given_up(&mut self, before: f64) -> Result<()> {
        let end = Instant::now() + GIVEN_UP_TIMEOUT;
        while timeouts()? <= before {
            check_interrupt()?;
            ensure!(Instant::now() < end, "the one that serves has not given up the one that hangs");
            thread::sleep(PROBE_INTERVAL);
        }
        Ok(())
    }
}

/// Waits until the fault has stopped it.
fn hangs(process: &mut Process) -> Result<()> {
    until("the version that is broken hangs", || {
        process.ensure_running()?;
        Ok(process.stderr().contains("injected: stopped").then_some(()))
    })
}

/// Asks as the kubelet does.
fn must_not_be_ready(program: &Path, socket: &Path) -> Result<()> {
    let probe = Command::new(program).args(["probe", "ready", "--socket"]).arg(socket).output()?;
    match probe.status.code() {
        Some(1) => Ok(()),
        _ => bail!(
            "a version that is broken passes for ready: {}{}",
            String::from_utf8_lossy(&probe.stdout),
            String::from_utf8_lossy(&probe.stderr)
        ),
    }
}

/// Successors that the process which serves has given up for their time.
fn timeouts() -> Result<f64> {
    let metrics: SocketAddr = METRICS.parse()?;
    let page = http::get(metrics, "localhost", "/metrics").context("metrics")?.text();
    let line = page.lines().find(|line| {
        line.starts_with("sluice_takeover_failures_total{") && line.contains("reason=\"timeout\"")
    });
    let count = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    count.context("metrics have no sluice_takeover_failures_total{reason=\"timeout\"}")
}
