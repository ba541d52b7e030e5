//! The case of regular expressions: half of what the CPUs can do, in turn without them and with them.
//!
//! Both halves are the same requests of the other tenant, once to a host without expressions and once to one
//! with them; how many make up half is found out first. So what differs is how long one of them holds a
//! worker, and not how busy it is.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gateway_testkit::netns::Inside;
use sluice_bench::report::Report;

use super::case::{Abusers, Case, Metric};
use super::expressions;
use super::monitor::Monitor;
use super::outcome::{Outcome, median};
use super::run::Run;
use super::testbed::{OTHER_HOST, Testbed, WORKERS};
use crate::proc;
use crate::process::{Process, check_interrupt, until};

/// Measurements of the neighbour without expressions, and as many with them.
const ROUNDS: u32 = 5;
/// The share of the workers' CPUs that clients, backends and gateway may use together.
const LOAD: f64 = 0.5;
/// The least that is left for the other tenant where the neighbour alone takes nearly as much.
const MIN_LOAD: f64 = 0.2;
/// Tries to find a pace, each with what the last one found.
const CALIBRATION_ROUNDS: u32 = 3;
/// Until clients are at their pace, and how long they are measured then.
const WARMUP: Duration = Duration::from_millis(500);
const MEASURING_TIME: Duration = Duration::from_secs(2);
/// Fewer say little of what one costs: they are measured longer on a slow machine.
const MIN_REQUESTS: f64 = 20.0;

/// The other tenant's clients at their pace.
struct PacedLoad<'a> {
    abusers: &'a Abusers,
    host: &'static str,
    /// Mean time between two requests of each.
    every_ms: u32,
    /// The result of the calibration: requests per second, and CPU time of each in milliseconds.
    rate: f64,
    cost_ms: f64,
}

pub(super) fn run(run: &Run, case: &Case, inside: &Inside) -> Result<Outcome> {
    let mut testbed = Testbed::start(case, &run.sluice, &run.bench, inside)?;
    let mut monitor = Monitor::begin(case.proofs, &mut testbed)?;
    let edit = expressions::install(&mut testbed)?;
    monitor.read(&mut testbed)?;
    let cpus = f64::from(WORKERS);
    let spare = (cpus * LOAD - neighbour_cpus(run, case, &testbed)?).max(cpus * MIN_LOAD);
    let abusers = case.abuser_groups.first().context("a case without abusers")?;
    let without = PacedLoad::calibrate(abusers, OTHER_HOST, 20, spare, &mut testbed)?;
    let with = PacedLoad::calibrate(abusers, expressions::HOST, 4_000, spare, &mut testbed)?;
    let (mut turns, mut busy) = (Vec::new(), [Vec::new(), Vec::new()]);
    for round in 1..=ROUNDS {
        let mut measure = |load: &PacedLoad<'_>, number: u32, busy: &mut Vec<f64>| {
            let clients = load.start(&testbed)?;
            let (reports, share) =
                beside(run, case, &mut testbed, &mut monitor, clients, 2 * round + number)?;
            busy.push(share);
            anyhow::Ok(reports)
        };
        let [busy_without, busy_with] = &mut busy;
        turns.push([measure(&without, 0, busy_without)?, measure(&with, 1, busy_with)?]);
    }
    expressions::remove(&mut testbed)?;
    let mut outcome = monitor.end(&mut testbed, case, turns, || {})?;
    outcome.stopped.push(edit);
    outcome.notes.extend([without.note("without", &busy[0]), with.note("with", &busy[1])]);
    Ok(outcome)
}

/// CPUs that the neighbour takes by itself, with its backend and what the gateway does for it.
fn neighbour_cpus(run: &Run, case: &Case, testbed: &Testbed) -> Result<f64> {
    let clients = run.clients(case, testbed, 0)?;
    thread::sleep(WARMUP);
    let (at, pids) = (Instant::now(), testbed.pids(clients.iter().map(|client| client.pid())));
    let before = proc::cpu_of_all(&pids)?;
    thread::sleep(MEASURING_TIME);
    let used = proc::cpu_of_all(&pids)? - before;
    let cpus = used.as_secs_f64() / at.elapsed().as_secs_f64();
    clients.into_iter().try_for_each(|client| client.report().map(drop))?;
    Ok(cpus)
}

/// Measures the neighbour beside these clients; says how busy the machine was as well.
fn beside(
    run: &Run,
    case: &Case,
    testbed: &mut Testbed,
    monitor: &mut Monitor,
    mut others: Process,
    number: u32,
) -> Result<(Vec<Report>, f64)> {
    thread::sleep(WARMUP);
    let (busy, total) = proc::machine()?;
    let clients = run.clients(case, testbed, number)?;
    let reports = monitor.observe(testbed, clients)?;
    let (busy, total) = proc::machine().map(|(later, all)| (later - busy, all - total))?;
    others.ensure_running().context("before the neighbour's clients ended")?;
    Ok((reports, busy.as_secs_f64() / total.as_secs_f64()))
}

impl<'a> PacedLoad<'a> {
    /// Finds the pace at which clients of `host` and all that is done for them take so many CPUs;
    /// `every_ms` is a guess.
    fn calibrate(
        abusers: &'a Abusers,
        host: &'static str,
        every_ms: u32,
        cpus: f64,
        testbed: &mut Testbed,
    ) -> Result<Self> {
        let mut load = Self { abusers, host, every_ms, rate: 0.0, cost_ms: 0.0 };
        for _ in 0..CALIBRATION_ROUNDS {
            check_interrupt()?;
            load.measure(testbed)?;
            let each = f64::from(abusers.connections) * 1e3;
            let wanted = each / (cpus / load.cost_ms * 1e3);
            // The rest of the time it waits for its response.
            let response_ms = (each / load.rate - f64::from(load.every_ms)).clamp(0.0, wanted / 2.0);
            load.every_ms = (wanted - response_ms).round().max(1.0) as u32;
        }
        Ok(load)
    }

    fn measure(&mut self, testbed: &mut Testbed) -> Result<()> {
        let clients = self.start(testbed)?;
        thread::sleep(WARMUP);
        let (at, pids) = (Instant::now(), testbed.pids([clients.pid()]));
        let ended = Metric::Counter("sluice_requests_total");
        let (before, requests) = (proc::cpu_of_all(&pids)?, ended.sum_in(&testbed.metrics.read()?));
        thread::sleep(MEASURING_TIME);
        let requests = until(&format!("{MIN_REQUESTS} requests for {} have ended", self.host), || {
            let ended = ended.sum_in(&testbed.metrics.read()?) - requests;
            Ok((ended >= MIN_REQUESTS).then_some(ended))
        })?;
        let used = proc::cpu_of_all(&pids)? - before;
        self.rate = requests / at.elapsed().as_secs_f64();
        self.cost_ms = used.as_secs_f64() * 1e3 / requests;
        Ok(())
    }

    fn start(&self, testbed: &Testbed) -> Result<Process> {
        testbed.start_asking(self.abusers, self.host, self.every_ms, &expressions::field())
    }

    fn note(&self, which: &str, busy: &[f64]) -> String {
        let busy = median(busy.iter().copied()) * 100.0;
        format!(
            "{which} the expressions the machine was {busy:.0} % busy: {:.0} requests of the tenant per second, {:.2} ms \
             of CPU time each",
            self.rate, self.cost_ms
        )
    }
}
