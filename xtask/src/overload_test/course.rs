//! One case: the neighbour alone, the neighbour beside the crowd, and what stays behind.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gateway_testkit::netns::Inside;
use serde::Serialize;
use sluice_bench::report::Report;

use super::case::{Case, Metric, Neighbour, Proof};
use super::neighbour;
use super::stand::Stand;
use crate::load_client::LoadClient;
use crate::metrics::Page;
use crate::proc;
use crate::process::{Process, check_interrupt, until};

/// What every case goes through.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) sluice: PathBuf,
    pub(super) bench: PathBuf,
    /// Of each of the neighbour's two runs.
    pub(super) seconds: u32,
}

/// What a case found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    pub(super) neighbours: Vec<Felt>,
    pub(super) probes: Probes,
    pub(super) memory: Memory,
    pub(super) stopped: Vec<Stopped>,
}

/// What one of the neighbour's clients felt.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Felt {
    pub(super) before: Report,
    pub(super) during: Report,
}

/// What probes of readiness took in milliseconds: the median and the longest, before the crowd came and beside it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Probes {
    pub(super) before_median: f64,
    pub(super) before_longest: f64,
    pub(super) during_median: f64,
    pub(super) during_longest: f64,
}

/// The gateway's resident memory in KiB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory {
    pub(super) before_kib: u64,
    pub(super) peak_kib: u64,
    pub(super) after_kib: u64,
}

/// How far a proof has come.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Stopped {
    /// A reason code, or what is counted.
    pub(super) what: &'static str,
    pub(super) count: f64,
    /// Below this the case did not come about.
    pub(super) least: f64,
}

/// The gateway's numbers while the crowd is there.
struct Watch {
    proofs: &'static [Proof],
    start: Page,
    best: Vec<f64>,
}

/// Probes of the gateway before the crowd comes.
const PROBES: u32 = 20;
/// Between two looks at the gateway's numbers.
const LOOK: Duration = Duration::from_millis(250);
/// Longest wait for memory to be given back once everybody has gone.
const RETURN: Duration = Duration::from_secs(2);
/// Connections that may be left then: the neighbour's own are gone, too.
const FEW: f64 = 10.0;

impl Course {
    pub(super) fn run(&self, case: &Case, inside: &Inside) -> Result<Outcome> {
        let mut stand = Stand::start(case, &self.sluice, &self.bench, inside)?;
        let pid = stand.gateway.pid();
        let before = self.alone(case, &stand)?;
        let probes_before = (0..PROBES).map(|_| stand.probe()).collect::<Result<Vec<_>>>()?;
        let before_kib = proc::rss_kib(pid)?;
        proc::forget_peak(pid)?;
        let mut watch = Watch::begin(case.proofs, stand.numbers.look()?);
        let (mut clients, mut crowds) = self.gather(case, &mut stand)?;
        // Who was gone by then felt nothing of the crowd.
        clients.iter_mut().try_for_each(|client| client.must_run("the crowd was there"))?;
        let mut probes = Vec::new();
        while any_running(&mut clients)? {
            check_interrupt()?;
            probes.push(stand.probe()?);
            watch.look(&stand.numbers.look()?);
            thread::sleep(LOOK);
        }
        watch.look(&stand.numbers.look()?);
        let during = clients.into_iter().map(LoadClient::report).collect::<Result<Vec<_>>>()?;
        let peak_kib = proc::peak_kib(pid)?;
        stand.gateway.must_run()?;
        crowds.iter_mut().try_for_each(Process::must_run).context("before the neighbour's clients ended")?;
        drop(crowds);
        let after_kib = settle(&mut stand, before_kib, peak_kib)?;
        let felt = |(before, during)| Felt { before, during };
        Ok(Outcome {
            neighbours: before.into_iter().zip(during).map(felt).collect(),
            probes: Probes::of(probes_before, probes),
            memory: Memory { before_kib, peak_kib, after_kib },
            stopped: watch.end(),
        })
    }

    fn alone(&self, case: &Case, stand: &Stand) -> Result<Vec<Report>> {
        let clients = self.clients(case, stand, 0)?;
        clients.into_iter().map(LoadClient::report).collect()
    }

    /// Starts the neighbour's clients and the crowd, in the case's order.
    fn gather(&self, case: &Case, stand: &mut Stand) -> Result<(Vec<LoadClient>, Vec<Process>)> {
        let Neighbour::Inside(connections) = case.neighbour else {
            let crowds = come(case, stand)?;
            return Ok((self.clients(case, stand, 1)?, crowds));
        };
        let clients = self.clients(case, stand, 1)?;
        until("the neighbour is inside", || {
            let open = stand.numbers.look()?.sum(Metric::Peak("sluice_connections"));
            Ok((open >= f64::from(connections)).then_some(()))
        })?;
        let crowds = come(case, stand)?;
        Ok((clients, crowds))
    }

    fn clients(&self, case: &Case, stand: &Stand, run: u32) -> Result<Vec<LoadClient>> {
        neighbour::start(case.neighbour, stand.bench(), stand.dir(), self.seconds, run)
    }
}

/// Starts the crowd and waits until all of it has been there.
fn come(case: &Case, stand: &Stand) -> Result<Vec<Process>> {
    let mut crowds = Vec::new();
    for (number, crowd) in case.crowds.iter().enumerate() {
        crowds.push(stand.start_crowd(number, crowd)?);
    }
    until("the crowd is there", || {
        crowds.iter_mut().try_for_each(Process::must_run)?;
        Ok(crowds.iter().all(|crowd| crowd.output().contains("there")).then_some(()))
    })?;
    Ok(crowds)
}

fn any_running(clients: &mut [LoadClient]) -> Result<bool> {
    let running = clients.iter_mut().map(LoadClient::is_running).collect::<Result<Vec<_>>>()?;
    Ok(running.contains(&true))
}

/// Memory once everybody has gone and most of what came on top was given back, or after a while.
fn settle(stand: &mut Stand, before_kib: u64, peak_kib: u64) -> Result<u64> {
    until("everybody has gone", || {
        let open = stand.numbers.look()?.sum(Metric::Peak("sluice_connections"));
        Ok((open < FEW).then_some(()))
    })
    .context("after the crowd's end")?;
    let (end, bound) = (Instant::now() + RETURN, before_kib + peak_kib.saturating_sub(before_kib) / 4);
    loop {
        check_interrupt()?;
        let now = proc::rss_kib(stand.gateway.pid())?;
        if now <= bound || Instant::now() > end {
            return Ok(now);
        }
        thread::sleep(LOOK);
    }
}

impl Probes {
    fn of(mut before: Vec<f64>, mut during: Vec<f64>) -> Self {
        before.sort_by(f64::total_cmp);
        during.sort_by(f64::total_cmp);
        let median = |sorted: &[f64]| sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        let longest = |sorted: &[f64]| sorted.last().copied().unwrap_or_default();
        Self {
            before_median: median(&before),
            before_longest: longest(&before),
            during_median: median(&during),
            during_longest: longest(&during),
        }
    }
}

impl Watch {
    fn begin(proofs: &'static [Proof], start: Page) -> Self {
        Self { proofs, start, best: vec![0.0; proofs.len()] }
    }

    fn look(&mut self, page: &Page) {
        for (proof, best) in self.proofs.iter().zip(&mut self.best) {
            let base = match proof.metric {
                Metric::Peak(_) => 0.0,
                Metric::Counter(_) | Metric::Reason(_) => self.start.sum(proof.metric),
            };
            *best = best.max(page.sum(proof.metric) - base);
        }
    }

    fn end(self) -> Vec<Stopped> {
        let pairs = self.proofs.iter().zip(self.best);
        pairs.map(|(proof, count)| Stopped { what: proof.label, count, least: proof.least }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_count_from_the_start_and_gauges_show_their_peak() {
        const PROOFS: &[Proof] = &[
            Proof { label: "grown", metric: Metric::Counter("a_total"), least: 1.0 },
            Proof { label: "high", metric: Metric::Peak("b"), least: 1.0 },
        ];
        let page = |a, b| Page::from(format!("a_total {a}\nb {b}\n"));
        let mut watch = Watch::begin(PROOFS, page(10, 7));
        for (a, b) in [(12, 9), (15, 3)] {
            watch.look(&page(a, b));
        }
        let counts: Vec<f64> = watch.end().iter().map(|stopped| stopped.count).collect();
        assert_eq!(counts, [5.0, 9.0]);
    }
}
