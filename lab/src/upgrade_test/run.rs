//! One proxy's run: start, load, upgrades, end.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gateway_testkit::netns::Inside;
use serde::Serialize;
use sluice_bench::report::Report;

use super::clients::Share;
use super::target::Target;
use crate::load_client::LoadClient;
use crate::peers::programs::Programs;
use crate::peers::sluice::Broken;
use crate::peers::{Proxy, Role, Setup};
use crate::process::check_interrupt;
use crate::testbed::{BACKEND_ADDRESS, LISTEN_ADDRESS, start_backend, start_echo, wait_for_response};
use crate::wrk::{self, WrkReport};

/// The steps that every proxy goes through.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) bench: PathBuf,
    /// Present if Sluice takes part.
    pub(super) sluice: Option<PathBuf>,
    /// Program of another version of Sluice that takes turns with it.
    pub(super) before: Option<PathBuf>,
    pub(super) peers: Programs,
    pub(super) upgrades: u32,
    /// Versions of Sluice that are broken, by a program that has faults.
    pub(super) broken: Option<(PathBuf, Vec<Broken>)>,
    pub(super) clients: Vec<Share>,
    pub(super) wrk_connections: u32,
}

/// When an upgrade was asked for, and how long it took until it was said to be done, or its version to be broken.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Upgrade {
    /// Milliseconds since the clients were started.
    at_ms: u64,
    took_ms: u64,
    /// The way in which the new version was broken, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<&'static str>,
}

/// Results of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    pub(super) upgrades: Vec<Upgrade>,
    /// Upgrades that were done while every client was still sending.
    pub(super) under_load: u32,
    pub(super) clients: Vec<Report>,
    pub(super) wrk: Option<WrkReport>,
}

/// A path that the backend serves.
const PATH: &str = "/download/1";

/// Longer than any run; wrk is stopped when the clients are done.
const WRK_SLACK: Duration = Duration::from_secs(3600);

impl Outcome {
    /// Over all clients, and wrk: it always has a request under way, so that a connection which
    /// breaks takes one along.
    pub(super) fn lost(&self) -> u64 {
        let wrk = self.wrk.map_or(0, |wrk| wrk.lost());
        self.clients.iter().map(Report::lost).sum::<u64>() + wrk
    }
}

impl Run {
    /// How long the clients send.
    pub(super) fn length(&self) -> Duration {
        self.clients.iter().map(Share::length).max().unwrap_or_default()
    }

    /// Attempts with versions that are broken, then upgrades: a rollout goes on after the ones that failed.
    fn steps(&self) -> Vec<Option<(Broken, &Path)>> {
        let broken =
            self.broken.iter().flat_map(|(program, all)| all.iter().map(|how| (*how, program.as_path())));
        let upgrades = (0..self.upgrades).map(|_| None);
        broken.map(Some).chain(upgrades).collect()
    }

    pub(super) fn run(&self, target: Target, inside: &Inside) -> Result<Outcome> {
        let setup = Setup {
            dir: inside.scratch().path().to_owned(),
            listen: LISTEN_ADDRESS.parse()?,
            backend: BACKEND_ADDRESS.parse()?,
            bpffs: inside.bpffs().to_owned(),
            cpu: None,
            role: Role::Replaced,
            peers: self.peers.clone(),
        };
        self.peers.enter(inside)?;
        let mut backend = start_backend(&self.bench, &setup.dir, "backend", BACKEND_ADDRESS, &[])?;
        let echo = start_echo(&self.bench, &setup.dir)?;
        let mut proxy = target.proxy(setup.clone(), self.sluice.as_deref(), self.before.as_deref())?;
        proxy.start()?;
        wait_for_response(&mut backend, setup.listen, "bench.example", PATH)?;
        let outcome = self.load(&setup, proxy.as_mut(), target)?;
        backend.ensure_running()?;
        for mut echo in echo {
            echo.ensure_running()?;
        }
        proxy.stop().context("at the end")?;
        Ok(outcome)
    }

    fn load(&self, setup: &Setup, proxy: &mut dyn Proxy, target: Target) -> Result<Outcome> {
        let wrk = match self.wrk_connections {
            0 => None,
            n => Some(wrk::start(setup.listen, &setup.dir, n, self.length() + WRK_SLACK)?),
        };
        let start = Instant::now();
        let shares = self.clients.iter().filter(|share| target.serves(share.mode())).enumerate();
        let mut clients: Vec<LoadClient> =
            shares.map(|(tag, share)| share.start(&self.bench, setup, tag)).collect::<Result<_>>()?;
        let mut upgrades = Vec::new();
        let mut under_load = 0;
        let steps = self.steps();
        for (n, broken) in (1..).zip(&steps) {
            sleep_until(start + self.length() * n / (steps.len() as u32 + 1))?;
            let at = start.elapsed();
            match broken {
                Some((how, program)) => {
                    let tried = proxy.try_broken(*how, program);
                    tried.with_context(|| format!("a version that {}", how.name()))?;
                }
                None => proxy.upgrade().with_context(|| format!("upgrade {n}"))?,
            }
            let took = start.elapsed() - at;
            let broken = broken.map(|(how, _)| how.name());
            upgrades.push(Upgrade { at_ms: millis(at), took_ms: millis(took), broken });
            if clients.iter_mut().map(LoadClient::is_running).collect::<Result<Vec<_>>>()?.iter().all(|r| *r)
            {
                under_load += 1;
            }
        }
        let clients = clients.into_iter().map(LoadClient::report).collect::<Result<_>>()?;
        let wrk = wrk.map(wrk::finish).transpose()?;
        Ok(Outcome { upgrades, under_load, clients, wrk })
    }
}

fn sleep_until(moment: Instant) -> Result<()> {
    loop {
        check_interrupt()?;
        match moment.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return Ok(()),
            left => thread::sleep(left.min(Duration::from_millis(100))),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
