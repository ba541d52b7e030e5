//! The figures for people.

use sluice_bench::report::Report;

use super::Finding;
use super::course::{Felt, Memory, Outcome, Probes};

const HEADS: [&str; 14] = [
    "case",
    "neighbour",
    "sent",
    "failed",
    "p50 ms",
    "during",
    "p99 ms",
    "during",
    "max ms",
    "during",
    "RSS MiB",
    "peak",
    "after",
    "what stopped the crowd",
];

/// Columns of words; the others are figures and stand right.
const WORDS: [usize; 3] = [0, 1, 13];
/// Failures that are shown one by one for each client.
const SHOWN: usize = 3;

/// One line for each of the neighbour's clients in each case.
pub(super) fn print(findings: &[Finding]) {
    let mut rows = vec![HEADS.map(str::to_owned)];
    for finding in findings {
        let Some(outcome) = &finding.outcome else { continue };
        let clients = outcome.neighbours.iter().enumerate();
        rows.extend(clients.map(|(number, felt)| row(finding.case, outcome, felt, number == 0)));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    println!();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            match WORDS.contains(&column) {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            }
        });
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    println!();
    findings.iter().for_each(print_notes);
}

/// What is the same for all clients of a case stands on its `first` line only.
fn row(case: &str, outcome: &Outcome, felt: &Felt, first: bool) -> [String; 14] {
    let (before, during) = (&felt.before, &felt.during);
    let once = |text: String| if first { text } else { String::new() };
    let Memory { before_kib, peak_kib, after_kib } = outcome.memory;
    [
        once(case.to_owned()),
        during.mode.clone(),
        during.sent.to_string(),
        during.lost().to_string(),
        millis(before.latency.p50_us),
        millis(during.latency.p50_us),
        millis(before.latency.p99_us),
        millis(during.latency.p99_us),
        millis(before.latency.max_us),
        millis(during.latency.max_us),
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

fn millis(micros: u64) -> String {
    format!("{:.1}", micros as f64 / 1000.0)
}

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

fn print_notes(finding: &Finding) {
    if let Some(error) = &finding.error {
        println!("{}: no result: {error}", finding.case);
    }
    let Some(outcome) = &finding.outcome else { return };
    let Probes { before_median, before_longest, during_median, during_longest } = outcome.probes;
    println!(
        "{}: probes took {before_median:.1} ms at the median and {before_longest:.1} at most before, \
         {during_median:.1} and {during_longest:.1} beside the crowd",
        finding.case
    );
    for felt in &outcome.neighbours {
        print_failures(finding.case, "before", &felt.before);
        print_failures(finding.case, "during", &felt.during);
    }
}

fn print_failures(case: &str, when: &str, report: &Report) {
    for sample in report.samples.iter().take(SHOWN) {
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
