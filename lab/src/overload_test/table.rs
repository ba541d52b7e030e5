//! The figures for people.

use sluice_bench::report::Report;

use super::CaseResult;
use super::outcome::{ClientLatency, Memory, Outcome, Probes};
use crate::table;

const COLUMNS: usize = 16;
const HEADERS: [&str; COLUMNS] = [
    "case",
    "neighbour",
    "sent",
    "failed",
    "p50 ms",
    "during",
    "ratio",
    "p99 ms",
    "during",
    "ratio",
    "max ms",
    "during",
    "RSS MiB",
    "peak",
    "after",
    "what stopped the crowd",
];

/// Columns of words; the others are figures.
const TEXT_COLUMNS: [usize; 3] = [0, 1, COLUMNS - 1];
/// Failures that are shown one by one for each client.
const SHOWN_FAILURES: usize = 3;

/// One line for each of the neighbour's clients in each case.
pub(super) fn print(results: &[CaseResult]) {
    let mut rows = Vec::new();
    for result in results {
        let Some(outcome) = &result.outcome else { continue };
        let clients = outcome.neighbours.iter().enumerate();
        rows.extend(clients.map(|(number, client)| row(result.case, outcome, client, number == 0)));
    }
    println!("\n{}\n", table::render(HEADERS, &TEXT_COLUMNS, rows));
    results.iter().for_each(print_notes);
}

/// Columns that are the same for all clients of a case are on its `first` line only. Of several turns it
/// has the medians.
fn row(case: &str, outcome: &Outcome, client: &ClientLatency, first: bool) -> Vec<String> {
    let once = |text: String| if first { text } else { String::new() };
    let Memory { before_kib, peak_kib, after_kib } = outcome.memory;
    let figure = |value: f64| format!("{value:.1}");
    let [p50, p50_during, p50_ratio] = client.compare(|latency| latency.p50_us).map(figure);
    let [p99, p99_during, p99_ratio] = client.compare(|latency| latency.p99_us).map(figure);
    let [max, max_during, _] = client.compare(|latency| latency.max_us).map(figure);
    vec![
        once(case.to_owned()),
        client.mode().to_owned(),
        client.sum(|report| report.sent).to_string(),
        client.sum(Report::lost).to_string(),
        p50,
        p50_during,
        p50_ratio,
        p99,
        p99_during,
        p99_ratio,
        max,
        max_during,
        once(mib(before_kib)),
        once(mib(peak_kib)),
        once(mib(after_kib)),
        once(stopped(outcome)),
    ]
}

fn stopped(outcome: &Outcome) -> String {
    let counts = outcome.stopped.iter().map(|stopped| format!("{} {}", stopped.what, grouped(stopped.count)));
    counts.collect::<Vec<_>>().join(", ")
}

/// A whole number with a comma before each three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

fn print_notes(result: &CaseResult) {
    if let Some(error) = &result.error {
        println!("{}: no result: {error}", result.case);
    }
    let Some(outcome) = &result.outcome else { return };
    let Probes { before_median, before_longest, during_median, during_longest } = outcome.probes;
    println!(
        "{}: probes took {before_median:.1} ms at the median and {before_longest:.1} at most before, \
         {during_median:.1} and {during_longest:.1} beside the abusers",
        result.case
    );
    outcome.notes.iter().for_each(|note| println!("{}: {note}", result.case));
    for client in &outcome.neighbours {
        let ratios = client.p99_ratios().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>();
        if ratios.len() > 1 {
            println!("{}: {} p99 ratios by turn: {}", result.case, client.mode(), ratios.join(", "));
        }
        for round in &client.turns {
            print_failures(result.case, "before", &round.before);
            print_failures(result.case, "during", &round.during);
        }
    }
}

fn print_failures(case: &str, when: &str, report: &Report) {
    for sample in report.samples.iter().take(SHOWN_FAILURES) {
        println!("{case}: {} {when}: at {} ms: {}", report.mode, sample.at_ms, sample.detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_groups_of_three() {
        let texts = [0.0, 12.0, 999.0, 1000.0, 1_234_567.0].map(grouped);
        assert_eq!(texts, ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
