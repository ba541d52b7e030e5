//! The case of regular expressions: half of what the CPUs can do, in turn without them and with them.
//!
//! Both halves are the same requests of the other tenant, once to a host without expressions and once to one with them; how
//! many make up half is found out first. So what differs is how long one of them holds a worker, and not how busy it is.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gateway_testkit::netns::Inside;
use sluice_bench::report::Report;

use super::case::{Case, Crowd, Metric};
use super::course::Course;
use super::expressions;
use super::outcome::{Outcome, median};
use super::stand::{OTHER_HOST, Stand, WORKERS};
use super::watch::Watch;
use crate::proc;
use crate::process::{Process, check_interrupt, until};

/// How often the neighbour is judged without and with.
const TURNS: u32 = 5;
/// The share of the workers' CPUs that clients, backends and gateway may use together.
const LOAD: f64 = 0.5;
/// The least that is left for the other tenant where the neighbour alone takes nearly as much.
const LEAST_LOAD: f64 = 0.2;
/// Tries to find a pace, each with what the last one found.
const TRIES: u32 = 3;
/// Until clients are at their pace, and how long they are measured then.
const START: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(2);
/// Fewer say little of what one costs: they are measured longer on a slow machine.
const LEAST_REQUESTS: f64 = 20.0;

/// The other tenant's clients at their pace.
struct Load<'a> {
    crowd: &'a Crowd,
    host: &'static str,
    /// Mean time between two requests of each.
    every_ms: u32,
    /// The result of the calibration: requests per second, and CPU time of each in milliseconds.
    rate: f64,
    cost_ms: f64,
}

pub(super) fn run(course: &Course, case: &Case, inside: &Inside) -> Result<Outcome> {
    let mut stand = Stand::start(case, &course.sluice, &course.bench, inside)?;
    let mut watch = Watch::begin(case.proofs, &mut stand)?;
    let edit = expressions::bring(&mut stand)?;
    watch.look(&mut stand)?;
    let cpus = f64::from(WORKERS);
    let spare = (cpus * LOAD - neighbours(course, case, &stand)?).max(cpus * LEAST_LOAD);
    let crowd = case.crowds.first().context("a case without a crowd")?;
    let without = Load::find(crowd, OTHER_HOST, 20, spare, &mut stand)?;
    let with = Load::find(crowd, expressions::HOST, 4_000, spare, &mut stand)?;
    let (mut turns, mut busy) = (Vec::new(), [Vec::new(), Vec::new()]);
    for turn in 1..=TURNS {
        let mut judge = |load: &Load<'_>, number: u32, busy: &mut Vec<f64>| {
            let clients = load.start(&stand)?;
            let (reports, share) = beside(course, case, &mut stand, &mut watch, clients, 2 * turn + number)?;
            busy.push(share);
            anyhow::Ok(reports)
        };
        let [busy_without, busy_with] = &mut busy;
        turns.push([judge(&without, 0, busy_without)?, judge(&with, 1, busy_with)?]);
    }
    expressions::remove(&mut stand)?;
    let mut outcome = watch.end(&mut stand, case, turns, || {})?;
    outcome.stopped.push(edit);
    outcome.notes.extend([without.note("without", &busy[0]), with.note("with", &busy[1])]);
    Ok(outcome)
}

/// CPUs that the neighbour takes by itself, with its backend and what the gateway does for it.
fn neighbours(course: &Course, case: &Case, stand: &Stand) -> Result<f64> {
    let clients = course.clients(case, stand, 0)?;
    thread::sleep(START);
    let (at, pids) = (Instant::now(), stand.pids(clients.iter().map(|client| client.pid())));
    let before = proc::cpu_of_all(&pids)?;
    thread::sleep(MEASURED);
    let used = proc::cpu_of_all(&pids)? - before;
    let cpus = used.as_secs_f64() / at.elapsed().as_secs_f64();
    clients.into_iter().try_for_each(|client| client.report().map(drop))?;
    Ok(cpus)
}

/// Judges the neighbour beside these clients; says how busy the machine was as well.
fn beside(
    course: &Course,
    case: &Case,
    stand: &mut Stand,
    watch: &mut Watch,
    mut others: Process,
    run: u32,
) -> Result<(Vec<Report>, f64)> {
    thread::sleep(START);
    let (busy, total) = proc::machine()?;
    let clients = course.clients(case, stand, run)?;
    let reports = watch.attend(stand, clients)?;
    let (busy, total) = proc::machine().map(|(later, all)| (later - busy, all - total))?;
    others.must_run().context("before the neighbour's clients ended")?;
    Ok((reports, busy.as_secs_f64() / total.as_secs_f64()))
}

impl<'a> Load<'a> {
    /// Finds the pace at which clients of `host` and all that is done for them take so many CPUs; `every_ms` is a guess.
    fn find(
        crowd: &'a Crowd,
        host: &'static str,
        every_ms: u32,
        cpus: f64,
        stand: &mut Stand,
    ) -> Result<Self> {
        let mut load = Self { crowd, host, every_ms, rate: 0.0, cost_ms: 0.0 };
        for _ in 0..TRIES {
            check_interrupt()?;
            load.measure(stand)?;
            let each = f64::from(crowd.connections) * 1e3;
            let wanted = each / (cpus / load.cost_ms * 1e3);
            // The rest of the time it waits for its response.
            let answered = (each / load.rate - f64::from(load.every_ms)).clamp(0.0, wanted / 2.0);
            load.every_ms = (wanted - answered).round().max(1.0) as u32;
        }
        Ok(load)
    }

    fn measure(&mut self, stand: &mut Stand) -> Result<()> {
        let clients = self.start(stand)?;
        thread::sleep(START);
        let (at, pids) = (Instant::now(), stand.pids([clients.pid()]));
        let ended = Metric::Counter("sluice_requests_total");
        let (before, requests) = (proc::cpu_of_all(&pids)?, stand.numbers.look()?.sum(ended));
        thread::sleep(MEASURED);
        let requests = until(&format!("{LEAST_REQUESTS} requests for {} have ended", self.host), || {
            let ended = stand.numbers.look()?.sum(ended) - requests;
            Ok((ended >= LEAST_REQUESTS).then_some(ended))
        })?;
        let used = proc::cpu_of_all(&pids)? - before;
        self.rate = requests / at.elapsed().as_secs_f64();
        self.cost_ms = used.as_secs_f64() * 1e3 / requests;
        Ok(())
    }

    fn start(&self, stand: &Stand) -> Result<Process> {
        stand.start_asking(self.crowd, self.host, self.every_ms, &expressions::field())
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
