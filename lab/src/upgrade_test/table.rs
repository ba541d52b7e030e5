//! The figures for people.

use sluice_bench::report::Report;

use super::TargetResult;
use crate::table;

const HEADERS: [&str; 15] = [
    "proxy", "variant", "client", "upgrades", "sent", "ok", "refused", "reset", "closed", "timeout", "wrong",
    "missing", "twice", "p99 ms", "max ms",
];

/// Columns of words; the others are figures.
const TEXT_COLUMNS: [usize; 3] = [0, 1, 2];

/// Failures that are shown one by one for each client.
const SHOWN_FAILURES: usize = 3;

pub(super) fn print(results: &[TargetResult]) {
    let mut rows = Vec::new();
    for result in results {
        let Some(outcome) = &result.outcome else { continue };
        rows.extend(outcome.clients.iter().map(|report| row(result, outcome.under_load, report)));
    }
    println!("\n{}\n", table::render(HEADERS, &TEXT_COLUMNS, rows));
    results.iter().for_each(print_notes);
}

fn row(result: &TargetResult, upgrades: u32, report: &Report) -> Vec<String> {
    let failed = &report.failed;
    vec![
        result.proxy.clone(),
        result.variant.clone(),
        report.mode.clone(),
        upgrades.to_string(),
        report.sent.to_string(),
        report.ok.to_string(),
        failed.refused.to_string(),
        failed.reset.to_string(),
        failed.closed_early.to_string(),
        failed.timeout.to_string(),
        failed.wrong.to_string(),
        report.missing.to_string(),
        report.duplicated().to_string(),
        millis(report.latency.p99_us),
        millis(report.latency.max_us),
    ]
}

fn millis(micros: u64) -> String {
    format!("{:.1}", micros as f64 / 1000.0)
}

fn print_notes(result: &TargetResult) {
    let name = format!("{} {}", result.proxy, result.variant);
    if let Some(error) = &result.error {
        println!("{name}: no result: {error}");
    }
    let Some(outcome) = &result.outcome else { return };
    if let Some(wrk) = &outcome.wrk {
        println!("{name}: wrk beside it: {} requests, {} lost", wrk.requests, wrk.lost());
    }
    for report in &outcome.clients {
        if report.failed.local > 0 {
            println!("{name}: {}: {} requests failed in the client itself", report.mode, report.failed.local);
        }
        for sample in report.samples.iter().take(SHOWN_FAILURES) {
            println!("{name}: {}: at {} ms: {}", report.mode, sample.at_ms, sample.detail);
        }
    }
}
