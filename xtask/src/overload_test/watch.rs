//! The gateway's numbers, from before a crowd comes until it has gone.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sluice_bench::report::Report;

use super::case::{Case, Metric, Proof};
use super::outcome::{Felt, Memory, Outcome, Probes, Stopped};
use super::stand::Stand;
use crate::load_client::LoadClient;
use crate::metrics::Page;
use crate::proc;
use crate::process::{check_interrupt, until};

/// Samples of a gateway so far.
pub(super) struct Watch {
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

/// Probes of the gateway before the crowd comes.
const PROBES: u32 = 20;
/// Between two looks at the gateway's numbers.
const LOOK: Duration = Duration::from_millis(250);
/// Longest wait for memory to be given back once everybody has gone.
const RETURN: Duration = Duration::from_secs(2);
/// Connections that may be left then: the neighbour's own are gone, too.
const FEW: f64 = 10.0;

impl Watch {
    /// Before the crowd comes.
    pub(super) fn begin(proofs: &'static [Proof], stand: &mut Stand) -> Result<Self> {
        let probes_before = (0..PROBES).map(|_| stand.probe()).collect::<Result<Vec<_>>>()?;
        let pid = stand.gateway.pid();
        let before_kib = proc::rss_kib(pid)?;
        proc::forget_peak(pid)?;
        let progress = Progress { proofs, start: stand.numbers.look()?, best: vec![0.0; proofs.len()] };
        Ok(Self { progress, before_kib, probes_before, probes: Vec::new() })
    }

    /// Looks until these clients have ended; gives their reports.
    pub(super) fn attend(&mut self, stand: &mut Stand, mut clients: Vec<LoadClient>) -> Result<Vec<Report>> {
        while any_running(&mut clients)? {
            check_interrupt()?;
            self.probes.push(stand.probe()?);
            self.look(stand)?;
            thread::sleep(LOOK);
        }
        self.look(stand)?;
        clients.into_iter().map(LoadClient::report).collect()
    }

    pub(super) fn look(&mut self, stand: &mut Stand) -> Result<()> {
        self.progress.look(&stand.numbers.look()?);
        Ok(())
    }

    /// Everything that was found, once `leave` has sent everybody away.
    pub(super) fn end(
        self,
        stand: &mut Stand,
        case: &Case,
        turns: Vec<[Vec<Report>; 2]>,
        leave: impl FnOnce(),
    ) -> Result<Outcome> {
        let peak_kib = proc::peak_kib(stand.gateway.pid())?;
        stand.gateway.must_run()?;
        leave();
        let after_kib = settle(stand, self.before_kib, peak_kib)?;
        Ok(Outcome {
            neighbours: Felt::by_client(turns),
            below: case.below,
            notes: Vec::new(),
            probes: Probes::of(self.probes_before, self.probes),
            memory: Memory { before_kib: self.before_kib, peak_kib, after_kib },
            stopped: self.progress.stopped().collect(),
        })
    }
}

impl Progress {
    fn look(&mut self, page: &Page) {
        for (proof, best) in self.proofs.iter().zip(&mut self.best) {
            let base = match proof.metric {
                Metric::Peak(_) => 0.0,
                Metric::Counter(_) | Metric::Reason(_) => self.start.sum(proof.metric),
            };
            *best = best.max(page.sum(proof.metric) - base);
        }
    }

    fn stopped(&self) -> impl Iterator<Item = Stopped> {
        let pairs = self.proofs.iter().zip(&self.best);
        pairs.map(|(proof, count)| Stopped { what: proof.label, count: *count, least: proof.least })
    }
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
            progress.look(&page(a, b));
        }
        let counts: Vec<f64> = progress.stopped().map(|stopped| stopped.count).collect();
        assert_eq!(counts, [5.0, 9.0]);
    }
}
