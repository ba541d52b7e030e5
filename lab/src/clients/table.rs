//! The findings for people: a table for each transport, with a line for each case and a column
//! for each client.

use super::case::CASES;
use super::result::{CaseResult, ClientStatus};
use super::transport::Transport;
use crate::table;

/// A cell of a case that a client has no way to make, or was not to make.
const NO_CELL: &str = "·";

pub(super) fn print(statuses: &[ClientStatus], results: &[CaseResult]) {
    println!("\n{}", clients(statuses).join("\n"));
    for transport in Transport::ALL {
        let (headers, rows) = rows(transport.name(), results);
        if !rows.is_empty() {
            println!("\n{}", table::render(headers, &[0], rows));
        }
    }
    println!(
        "\ncells: tries in which the client saw the whole response, of all tries; {NO_CELL} not a case of this client"
    );
    let lost = lost(results);
    if !lost.is_empty() {
        println!("\nlost:\n{}", lost.join("\n"));
    }
}

/// Each client with its version.
fn clients(statuses: &[ClientStatus]) -> Vec<String> {
    let line = |status: &ClientStatus| match &status.version {
        Some(version) => format!("{:<12} {version}", status.client),
        None => format!("{:<12} not installed ({})", status.client, status.source),
    };
    statuses.iter().map(line).collect()
}

/// The table of a transport: its headers, and a row for each case and size.
fn rows<'a>(transport: &'a str, results: &[CaseResult]) -> (Vec<&'a str>, Vec<Vec<String>>) {
    let results: Vec<&CaseResult> = results.iter().filter(|result| result.transport == transport).collect();
    let mut clients: Vec<&str> = results.iter().map(|result| result.client).collect();
    clients.dedup();
    let mut sizes: Vec<usize> = results.iter().map(|result| result.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let headers = [transport].into_iter().chain(clients.iter().copied()).collect();
    let mut rows = Vec::new();
    for case in CASES {
        for size in &sizes {
            let own: Vec<_> = results.iter().filter(|f| (f.case, f.size) == (case.name, *size)).collect();
            if own.is_empty() {
                continue;
            }
            let cell = |client: &&str| match own.iter().find(|result| result.client == *client) {
                Some(CaseResult { seen, tries, .. }) => format!("{seen}/{tries}"),
                None => NO_CELL.to_owned(),
            };
            rows.push([name(case.name, *size)].into_iter().chain(clients.iter().map(cell)).collect());
        }
    }
    (headers, rows)
}

fn name(case: &str, size: usize) -> String {
    match size {
        0 => case.to_owned(),
        _ => format!("{case} {}", megabytes(size)),
    }
}

fn megabytes(size: usize) -> String {
    format!("{} MB", size as f64 / 1e6)
}

/// A line for each finding that lost something, with the errors by name.
fn lost(results: &[CaseResult]) -> Vec<String> {
    let lost = results.iter().filter(|result| !result.passed());
    let line = |result: &CaseResult| {
        let errors = result.errors.iter().map(|(error, count)| format!("{count} × {error}"));
        let errors = errors.collect::<Vec<_>>().join(", ");
        let CaseResult { client, case, transport, size, tries, seen, .. } = result;
        format!("{client} {} over {transport}: {} of {tries}: {errors}", name(case, *size), tries - seen)
    };
    lost.map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn result(client: &'static str, case: &'static str, size: usize, seen: u32) -> CaseResult {
        let errors = BTreeMap::from([("EPIPE".to_owned(), 3 - seen)]);
        CaseResult { client, case, transport: "clear text", size, tries: 3, seen, errors }
    }

    #[test]
    fn a_table_has_a_row_for_each_size_and_no_cell_for_what_was_not_done() {
        let results = [
            result("curl", "get", 0, 3),
            result("curl", "download", 5_000_000, 1),
            result("nc", "get", 0, 0),
        ];
        let (headers, cells) = rows("clear text", &results);
        assert_eq!(headers, ["clear text", "curl", "nc"]);
        assert_eq!(cells, [["get", "3/3", "0/3"], ["download 5 MB", "1/3", NO_CELL]]);
        assert!(rows("TLS 1.2", &results).1.is_empty());
    }

    #[test]
    fn a_client_that_is_not_there_is_said_to_be_so_and_has_no_cell() {
        let absent = ClientStatus { client: "java", version: None, source: "apt: jdk", named: false };
        assert_eq!(clients(&[absent]), ["java         not installed (apt: jdk)"]);
        let (headers, _) = rows("clear text", &[result("curl", "get", 0, 3)]);
        assert_eq!(headers, ["clear text", "curl"]);
    }

    #[test]
    fn losses_are_listed_with_the_names_of_their_errors() {
        let results = [result("curl", "get", 0, 3), result("go", "post-404", 500_000, 1)];
        assert_eq!(lost(&results), ["go post-404 0.5 MB over clear text: 2 of 3: 2 × EPIPE"]);
    }
}
