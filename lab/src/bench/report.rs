//! The figures: medians with their spread, ratios, and whether the bars are met.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::load::LoadReport;
use super::scenario::Scenario;
use super::target::Target;
use super::testbed::Measurement;
use crate::bars::{Against, Bar};
use crate::table;

/// A figure over several turns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// One target in one scenario.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    #[serde(rename = "contender")]
    pub(super) target: &'static str,
    pub(super) requests_per_second: Spread,
    /// Microseconds of CPU time per request, user and system.
    pub(super) cpu_us: Spread,
    /// Where the load tells them.
    pub(super) p50_us: Option<Spread>,
    pub(super) p99_us: Option<Spread>,
    pub(super) resident_kib: Spread,
    /// Requests that failed, over all turns.
    pub(super) failed: u64,
    /// Sluice's CPU per request over this one's, turn by turn.
    pub(super) sluice_over_this: Option<Spread>,
}

/// A bar and what was seen.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BarResult {
    pub(super) at_most: f64,
    pub(super) times: String,
    pub(super) seen: f64,
    pub(super) met: bool,
}

/// One scenario.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Section {
    pub(super) scenario: &'static str,
    pub(super) lines: Vec<Line>,
    pub(super) bars: Vec<BarResult>,
}

/// Resident memory of idle connections.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Idle {
    pub(super) scenario: &'static str,
    #[serde(rename = "contender")]
    pub(super) target: &'static str,
    pub(super) connections: usize,
    pub(super) bytes_per_connection: f64,
    /// Of Sluice, if there is a bar.
    pub(super) at_most: Option<f64>,
}

impl Idle {
    pub(super) fn is_met(&self) -> bool {
        self.at_most.is_none_or(|most| self.bytes_per_connection <= most)
    }
}

impl Spread {
    /// Of at least one value.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let half = values.len() / 2;
        let median = if values.len().is_multiple_of(2) && half > 0 {
            f64::midpoint(at(half - 1), at(half))
        } else {
            at(half)
        };
        Self { median, least: at(0), most: at(values.len().saturating_sub(1)) }
    }
}

/// Headers of the table of a scenario.
const HEADERS: [&str; 8] =
    ["", "req/s", "CPU µs/req (spread)", "p50 µs", "p99 µs", "RSS MiB", "failed", "sluice ÷ this"];

impl Line {
    fn row(&self) -> Vec<String> {
        let cpu = self.cpu_us;
        let latency =
            |time: Option<Spread>| time.map_or("–".to_owned(), |time| format!("{:.0}", time.median));
        let ratio = self.sluice_over_this.map_or(String::new(), |ratio| {
            format!("{:.3} ({:.3}–{:.3})", ratio.median, ratio.least, ratio.most)
        });
        vec![
            self.target.to_owned(),
            format!("{:.0}", self.requests_per_second.median),
            format!("{:.2} ({:.2}–{:.2})", cpu.median, cpu.least, cpu.most),
            latency(self.p50_us),
            latency(self.p99_us),
            format!("{:.1}", self.resident_kib.median / 1024.0),
            self.failed.to_string(),
            ratio,
        ]
    }
}

impl Section {
    /// From the turns of each target, in their order; the n-th turns of all followed each other.
    pub(super) fn new(
        scenario: &Scenario,
        bars: &BTreeMap<Against, Bar>,
        turns: &[(Target, Vec<Measurement>)],
    ) -> Self {
        let of = |target| turns.iter().find(|(who, _)| *who == target).map(|(_, turns)| turns.as_slice());
        let sluice = of(Target::Sluice);
        let lines = turns.iter().map(|(who, turns)| line(*who, turns, sluice)).collect::<Vec<Line>>();
        let ratio = |target| {
            let ratios = ratios(sluice?, of(target)?);
            Some(Spread::of(ratios).median)
        };
        let bars = bars.iter().filter_map(|(against, bar)| {
            let of = against.targets();
            let seen = of.iter().map(|target| ratio(*target)).collect::<Option<Vec<f64>>>()?;
            // Over the cheapest of them is the highest ratio.
            let seen = seen.into_iter().max_by(f64::total_cmp)?;
            let times = of.iter().map(|target| target.name()).collect::<Vec<_>>().join(" and ");
            let at_most = bar.figure();
            Some(BarResult { at_most, times, seen, met: seen <= at_most })
        });
        Self { scenario: scenario.name, bars: bars.collect(), lines }
    }

    pub(super) fn print(&self) {
        println!("\n{}", self.scenario);
        println!("{}", table::render(HEADERS, &[0, HEADERS.len() - 1], self.lines.iter().map(Line::row)));
        for bar in &self.bars {
            let verdict = if bar.met { "met" } else { "MISSED" };
            println!("  bar: ≤ {:.2} × {}: {:.3}, {verdict}", bar.at_most, bar.times, bar.seen);
        }
    }
}

fn line(who: Target, turns: &[Measurement], sluice: Option<&[Measurement]>) -> Line {
    let spread = |figure: fn(&Measurement) -> f64| Spread::of(turns.iter().map(figure));
    let latency = |figure: fn(&LoadReport) -> Option<f64>| {
        let figures: Option<Vec<f64>> = turns.iter().map(|turn| figure(&turn.load)).collect();
        figures.map(Spread::of)
    };
    Line {
        target: who.name(),
        requests_per_second: spread(|measurement| measurement.load.per_second),
        cpu_us: spread(|measurement| micros(measurement.cpu)),
        p50_us: latency(|load| load.p50_us),
        p99_us: latency(|load| load.p99_us),
        resident_kib: spread(|measurement| measurement.resident_kib as f64),
        failed: turns.iter().map(|measurement| measurement.load.failed).sum(),
        sluice_over_this: sluice
            .filter(|_| who != Target::Sluice)
            .map(|sluice| Spread::of(ratios(sluice, turns))),
    }
}

/// Turn by turn: turns that follow each other meet the same load of the machine.
fn ratios(ours: &[Measurement], theirs: &[Measurement]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(our, their)| our.cpu.as_secs_f64() / their.cpu.as_secs_f64()).collect()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::Bars;
    use crate::bench::scenarios::SCENARIOS;

    fn measurement(cpu_us: u64) -> Measurement {
        let (cpu, load) =
            (Duration::from_micros(cpu_us), LoadReport { requests: 1, ..LoadReport::default() });
        Measurement { cpu, load, resident_kib: 1 }
    }

    #[test]
    fn bars_are_held_against_medians_of_pairs() {
        let of = |cpu: [u64; 3]| cpu.map(measurement).to_vec();
        let turns = [
            (Target::Sluice, of([90, 50, 91])),
            (Target::Nginx, of([100, 100, 100])),
            (Target::Haproxy, of([100, 50, 101])),
        ];
        let bars = Bars::read().unwrap();
        let scenario = &SCENARIOS[0];
        let section = Section::new(scenario, bars.of_scenario(scenario.name).unwrap(), &turns);
        let seen: Vec<_> = section.bars.iter().map(|bar| (bar.times.as_str(), bar.seen, bar.met)).collect();
        assert_eq!(seen.len(), 2, "the floor did not run");
        assert_eq!(seen[0], ("nginx", 0.90, true));
        assert_eq!((seen[1].0, seen[1].2), ("haproxy", false));
        assert_eq!(section.lines[0].cpu_us, Spread { median: 90.0, least: 50.0, most: 91.0 });
        let even = Spread::of([4.0, 1.0, 2.0, 3.0]);
        assert_eq!((even.median, even.least, even.most), (2.5, 1.0, 4.0));
    }
}
