//! Results of a case.

use serde::Serialize;
use sluice_bench::report::{Latency, Report};

/// All of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    pub(super) neighbours: Vec<ClientLatency>,
    /// [`super::case::Case::below`].
    pub(super) below: Option<f64>,
    /// More to say of this case.
    pub(super) notes: Vec<String>,
    pub(super) probes: Probes,
    pub(super) memory: Memory,
    pub(super) stopped: Vec<ProofCount>,
}

/// Results of one of the neighbour's clients.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ClientLatency {
    /// One after the other; never none.
    pub(super) turns: Vec<Round>,
}

/// The same client without what the case is about, then with it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Round {
    pub(super) before: Report,
    pub(super) during: Report,
}

/// Latency of readiness probes in milliseconds: the median and the longest, before the abusers came
/// and beside them.
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
pub(super) struct ProofCount {
    /// A reason code, or what is counted.
    pub(super) what: &'static str,
    pub(super) count: f64,
    /// Below this the case did not come about.
    pub(super) least: f64,
}

impl ClientLatency {
    /// Turns come with the reports of all clients, before and during.
    pub(super) fn by_client(turns: Vec<[Vec<Report>; 2]>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for [before, during] in turns {
            let clients = before.into_iter().zip(during).map(|(before, during)| Round { before, during });
            for (number, round) in clients.enumerate() {
                match all.get_mut(number) {
                    Some(client) => client.turns.push(round),
                    None => all.push(Self { turns: vec![round] }),
                }
            }
        }
        all
    }

    /// `keep-alive` or `per-connection`.
    pub(super) fn mode(&self) -> &str {
        self.turns.first().map_or("", |round| &round.during.mode)
    }

    /// Sum of a figure of the reports beside the abusers.
    pub(super) fn sum(&self, figure: impl Fn(&Report) -> u64) -> u64 {
        self.turns.iter().map(|round| figure(&round.during)).sum()
    }

    /// Median in milliseconds of a figure without and with, and of the ratios of both.
    pub(super) fn compare(&self, figure: impl Fn(&Latency) -> u64 + Copy) -> [f64; 3] {
        let of = |report: fn(&Round) -> &Report| {
            median(self.turns.iter().map(|round| figure(&report(round).latency) as f64 / 1000.0))
        };
        [
            of(|round| &round.before),
            of(|round| &round.during),
            median(self.turns.iter().map(|round| round.ratio(figure))),
        ]
    }

    /// How many times the 99th percentile of each turn is with what it is without.
    pub(super) fn p99_ratios(&self) -> impl Iterator<Item = f64> {
        self.turns.iter().map(|round| round.ratio(|latency| latency.p99_us))
    }
}

impl Round {
    fn ratio(&self, figure: impl Fn(&Latency) -> u64) -> f64 {
        match figure(&self.before.latency) {
            0 => 0.0,
            before => figure(&self.during.latency) as f64 / before as f64,
        }
    }
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Probes {
    pub(super) fn of(mut before: Vec<f64>, mut during: Vec<f64>) -> Self {
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

#[cfg(test)]
mod tests {
    use sluice_bench::report::{Connections, Conversations, Failures};

    use super::*;

    fn report(p99_us: u64) -> Report {
        Report {
            mode: "keep-alive".to_owned(),
            planned: 1,
            sent: 1,
            ok: 1,
            failed: Failures::default(),
            missing: 0,
            witness: None,
            connections: Connections::default(),
            conversations: Conversations::default(),
            latency: Latency { p99_us, ..Latency::default() },
            longest_gap_us: 0,
            seconds: 1.0,
            samples: Vec::new(),
        }
    }

    #[test]
    fn turns_are_compared_pair_by_pair() {
        let turns = [(1_000, 3_000), (10_000, 10_000), (2_000, 9_000)];
        let turns = turns.map(|(before, during)| [vec![report(before)], vec![report(during)]]);
        let all = ClientLatency::by_client(turns.to_vec());
        let [client] = &all[..] else { panic!("{all:?}") };
        assert_eq!(client.compare(|latency| latency.p99_us), [2.0, 9.0, 3.0]);
        assert_eq!(client.compare(|latency| latency.p50_us), [0.0; 3], "no response has no latency");
        assert_eq!((client.mode(), client.sum(|report| report.ok)), ("keep-alive", 3));
    }
}
