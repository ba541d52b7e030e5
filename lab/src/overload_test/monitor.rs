//! The gateway's metrics, from before the abusers come until they have gone.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sluice_bench::report::Report;

use super::case::{Case, Metric, Proof};
use super::outcome::{ClientLatency, Memory, Outcome, Probes, ProofCount};
use super::testbed::Testbed;
use crate::bars::Bars;
use crate::load_client::LoadClient;
use crate::metrics::Page;
use crate::proc;
use crate::process::{check_interrupt, until};

/// Samples of a gateway so far.
pub(super) struct Monitor {
    progress: Progress,
    before_kib: u64,
    probes_before: Vec<f64>,
    probes: Vec<f64>,
}

/// How far the proofs have come.
struct Progress {
    proofs: &'static [Proof],
    start: Page,
    best: Vec<f64>,
}

/// Probes of the gateway before the abusers come.
const PROBES: u32 = 20;
/// Between two readings of the gateway's metrics.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Longest wait for memory to be given back once everybody has gone.
const MEMORY_RETURN_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that may be left then: the neighbour's own are gone, too.
const FEW_CONNECTIONS: f64 = 10.0;

impl Monitor {
    /// Before the abusers come.
    pub(super) fn begin(proofs: &'static [Proof], testbed: &mut Testbed) -> Result<Self> {
        let probes_before = (0..PROBES).map(|_| testbed.probe()).collect::<Result<Vec<_>>>()?;
        let pid = testbed.gateway.pid();
        let before_kib = proc::rss_kib(pid)?;
        proc::forget_peak(pid)?;
        let progress = Progress { proofs, start: testbed.metrics.read()?, best: vec![0.0; proofs.len()] };
        Ok(Self { progress, before_kib, probes_before, probes: Vec::new() })
    }

    /// Looks until these clients have ended; gives their reports.
    pub(super) fn observe(
        &mut self,
        testbed: &mut Testbed,
        mut clients: Vec<LoadClient>,
    ) -> Result<Vec<Report>> {
        while any_running(&mut clients)? {
            check_interrupt()?;
            self.probes.push(testbed.probe()?);
            self.read(testbed)?;
            thread::sleep(POLL_INTERVAL);
        }
        self.read(testbed)?;
        clients.into_iter().map(LoadClient::report).collect()
    }

    pub(super) fn read(&mut self, testbed: &mut Testbed) -> Result<()> {
        self.progress.read(&testbed.metrics.read()?);
        Ok(())
    }

    /// Everything that was found, once `leave` has sent everybody away.
    pub(super) fn end(
        self,
        testbed: &mut Testbed,
        case: &Case,
        turns: Vec<[Vec<Report>; 2]>,
        leave: impl FnOnce(),
    ) -> Result<Outcome> {
        let below = case.below.map(|bar| anyhow::Ok(bar(&Bars::read()?.overload).figure())).transpose()?;
        let peak_kib = proc::peak_kib(testbed.gateway.pid())?;
        testbed.gateway.ensure_running()?;
        leave();
        let after_kib = wait_for_memory(testbed, self.before_kib, peak_kib)?;
        Ok(Outcome {
            neighbours: ClientLatency::by_client(turns),
            below,
            notes: Vec::new(),
            probes: Probes::of(self.probes_before, self.probes),
            memory: Memory { before_kib: self.before_kib, peak_kib, after_kib },
            stopped: self.progress.stopped().collect(),
        })
    }
}

impl Progress {
    fn read(&mut self, page: &Page) {
        for (proof, best) in self.proofs.iter().zip(&mut self.best) {
            let base = match proof.metric {
                Metric::Peak(_) => 0.0,
                Metric::Counter(_) | Metric::Reason(_) => proof.metric.sum_in(&self.start),
            };
            *best = best.max(proof.metric.sum_in(page) - base);
        }
    }

    fn stopped(&self) -> impl Iterator<Item = ProofCount> {
        let pairs = self.proofs.iter().zip(&self.best);
        pairs.map(|(proof, count)| ProofCount { what: proof.label, count: *count, least: proof.least })
    }
}

fn any_running(clients: &mut [LoadClient]) -> Result<bool> {
    let running = clients.iter_mut().map(LoadClient::is_running).collect::<Result<Vec<_>>>()?;
    Ok(running.contains(&true))
}

/// Memory once everybody has gone and most of what came on top was given back, or after a while.
fn wait_for_memory(testbed: &mut Testbed, before_kib: u64, peak_kib: u64) -> Result<u64> {
    until("everybody has gone", || {
        let open = Metric::Peak("sluice_connections").sum_in(&testbed.metrics.read()?);
        Ok((open < FEW_CONNECTIONS).then_some(()))
    })
    .context("after the abusers' end")?;
    let (end, bound) =
        (Instant::now() + MEMORY_RETURN_TIMEOUT, before_kib + peak_kib.saturating_sub(before_kib) / 4);
    loop {
        check_interrupt()?;
        let now = proc::rss_kib(testbed.gateway.pid())?;
        if now <= bound || Instant::now() > end {
            return Ok(now);
        }
        thread::sleep(POLL_INTERVAL);
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
        let mut progress = Progress { proofs: PROOFS, start: page(10, 7), best: vec![0.0; 2] };
        for (a, b) in [(12, 9), (15, 3)] {
            progress.read(&page(a, b));
        }
        let counts: Vec<f64> = progress.stopped().map(|stopped| stopped.count).collect();
        assert_eq!(counts, [5.0, 9.0]);
    }
}
