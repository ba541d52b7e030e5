//! The figures: medians with their spread, ratios, and whether the bars are met.

use std::time::Duration;

use serde::Serialize;

use super::contender::Contender;
use super::scenario::Scenario;
use super::stand::Turn;

/// A figure over several turns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// One contender in one scenario.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) contender: &'static str,
    pub(super) requests_per_second: Spread,
    /// Microseconds of CPU time per request, user and system.
    pub(super) cpu_us: Spread,
    pub(super) p50_us: Spread,
    pub(super) p99_us: Spread,
    pub(super) resident_kib: Spread,
    /// Requests that failed, over all turns.
    pub(super) failed: u64,
    /// Sluice's CPU per request over this one's, turn by turn.
    pub(super) sluice_over_this: Option<Spread>,
}

/// A bar and what was seen.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
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
    pub(super) bars: Vec<Verdict>,
}

/// Resident memory of idle connections.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Idle {
    pub(super) contender: &'static str,
    pub(super) connections: usize,
    pub(super) bytes_per_connection: f64,
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

impl Section {
    /// From the turns of each contender, in their order; the n-th turns of all followed each other.
    pub(super) fn new(scenario: &Scenario, turns: &[(Contender, Vec<Turn>)]) -> Self {
        let of =
            |contender| turns.iter().find(|(who, _)| *who == contender).map(|(_, turns)| turns.as_slice());
        let sluice = of(Contender::Sluice);
        let lines = turns.iter().map(|(who, turns)| line(*who, turns, sluice)).collect::<Vec<Line>>();
        let ratio = |contender| {
            let ratios = ratios(sluice?, of(contender)?);
            Some(Spread::of(ratios).median)
        };
        let bars = scenario.bars.iter().filter_map(|bar| {
            let seen = bar.of.iter().map(|contender| ratio(*contender)).collect::<Option<Vec<f64>>>()?;
            // Over the cheapest of them is the highest ratio.
            let seen = seen.into_iter().max_by(f64::total_cmp)?;
            let times = bar.of.iter().map(|contender| contender.name()).collect::<Vec<_>>().join(" and ");
            Some(Verdict { at_most: bar.times, times, seen, met: seen <= bar.times })
        });
        Self { scenario: scenario.name, bars: bars.collect(), lines }
    }

    pub(super) fn print(&self) {
        println!("\n{}", self.scenario);
        println!(
            "  {:<18}{:>10}{:>28}{:>9}{:>10}{:>9}{:>8}  sluice ÷ this",
            "", "req/s", "CPU µs/req (spread)", "p50 µs", "p99 µs", "RSS MiB", "failed"
        );
        for line in &self.lines {
            let cpu = line.cpu_us;
            let ratio = line.sluice_over_this.map_or(String::new(), |ratio| {
                format!("{:.3} ({:.3}–{:.3})", ratio.median, ratio.least, ratio.most)
            });
            println!(
                "  {:<18}{:>10.0}{:>28}{:>9.0}{:>10.0}{:>9.1}{:>8}  {ratio}",
                line.contender,
                line.requests_per_second.median,
                format!("{:.2} ({:.2}–{:.2})", cpu.median, cpu.least, cpu.most),
                line.p50_us.median,
                line.p99_us.median,
                line.resident_kib.median / 1024.0,
                line.failed,
            );
        }
        for bar in &self.bars {
            let verdict = if bar.met { "met" } else { "MISSED" };
            println!("  bar: ≤ {:.2} × {}: {:.3}, {verdict}", bar.at_most, bar.times, bar.seen);
        }
    }
}

fn line(who: Contender, turns: &[Turn], sluice: Option<&[Turn]>) -> Line {
    let spread = |figure: fn(&Turn) -> f64| Spread::of(turns.iter().map(figure));
    Line {
        contender: who.name(),
        requests_per_second: spread(|turn| turn.answer.per_second),
        cpu_us: spread(|turn| micros(turn.cpu)),
        p50_us: spread(|turn| micros(turn.answer.p50)),
        p99_us: spread(|turn| micros(turn.answer.p99)),
        resident_kib: spread(|turn| turn.resident_kib as f64),
        failed: turns.iter().map(|turn| turn.answer.failed).sum(),
        sluice_over_this: sluice
            .filter(|_| who != Contender::Sluice)
            .map(|sluice| Spread::of(ratios(sluice, turns))),
    }
}

/// Turn by turn: neighbours share the machine's weather.
fn ratios(ours: &[Turn], theirs: &[Turn]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(our, their)| our.cpu.as_secs_f64() / their.cpu.as_secs_f64()).collect()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scenario::SCENARIOS;
    use crate::bench::wrk::Answer;

    fn turn(cpu_us: u64) -> Turn {
        let (cpu, answer) = (Duration::from_micros(cpu_us), Answer { requests: 1, ..Answer::default() });
        Turn { cpu, answer, resident_kib: 1 }
    }

    #[test]
    fn bars_are_held_against_medians_of_pairs() {
        let of = |cpu: [u64; 3]| cpu.map(turn).to_vec();
        let turns = [
            (Contender::Sluice, of([90, 50, 91])),
            (Contender::Nginx, of([100, 100, 100])),
            (Contender::Haproxy, of([100, 50, 101])),
        ];
        let section = Section::new(&SCENARIOS[0], &turns);
        let seen: Vec<_> = section.bars.iter().map(|bar| (bar.times.as_str(), bar.seen, bar.met)).collect();
        assert_eq!(seen.len(), 2, "the floor did not run");
        assert_eq!(seen[0], ("nginx", 0.90, true));
        assert_eq!((seen[1].0, seen[1].2), ("haproxy", false));
        assert_eq!(section.lines[0].cpu_us, Spread { median: 90.0, least: 50.0, most: 91.0 });
        let even = Spread::of([4.0, 1.0, 2.0, 3.0]);
        assert_eq!((even.median, even.least, even.most), (2.5, 1.0, 4.0));
    }
}
