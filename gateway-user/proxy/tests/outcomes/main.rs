//! The outcome of a request for every stage that its response may have reached and every fault that may end it there, held to a
//! recorded table: status and completeness of the response, what becomes of both connections, attempts, and the logged reason.
//!
//! `UPDATE_GOLDEN=1 cargo test -p gateway-proxy --test outcomes` writes `vectors.txt`; read the difference before you commit it.

#[path = "../support/mod.rs"]
mod support;

mod backend;
mod case;
mod client;
mod run;

use std::fmt::Write as _;
use std::path::Path;

use gateway_io::Driver;

use case::{Case, Fault, Outcome, cases};

const HEADER: &str = "\
# request: get, old (GET of HTTP/1.0), post (no body), put (body sent whole), part (PUT, half of its body sent)
# lease: fresh or reused connection to the backend
# stage: what the backend has sent when the fault comes; length, chunked and until-close are half of a body so framed
# -> status, response (none, cut, whole), client and backend connection afterwards, attempts, logged reason
";

fn table(driver: Driver) -> String {
    let mut table = HEADER.to_owned();
    let runner = run::Runner::new(driver);
    let cases: Vec<Case> = cases().collect();
    // A drain ends its gateway, so each has one of its own.
    let together = |one: &Case, next: &Case| one.fault == next.fault && one.fault != Fault::DrainMax;
    for cases in cases.chunk_by(together) {
        for (case, outcome) in cases.iter().zip(runner.run(cases)) {
            let Case { request, lease, stage, fault } = case;
            let Outcome { status, response, client, backend, attempts, reason } = outcome;
            let case = format!("{request:<5} {lease:<6} {stage:<11} {fault}");
            let _ = writeln!(
                table,
                "{case:<51} -> {status:<3} {response:<5} {client:<6} {backend:<6} {attempts} {reason}"
            );
        }
    }
    table
}

fn holds(driver: Driver) {
    let file = Path::new("tests/outcomes/vectors.txt").to_owned();
    let table = table(driver);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &table).unwrap();
        return;
    }
    let recorded = std::fs::read_to_string(&file).unwrap();
    let differing: Vec<String> = recorded
        .lines()
        .zip(table.lines())
        .filter(|(recorded, seen)| recorded != seen)
        .map(|(recorded, seen)| format!("- {recorded}\n+ {seen}"))
        .collect();
    assert!(differing.is_empty(), "outcomes differ from those recorded:\n{}", differing.join("\n"));
    assert_eq!(recorded.lines().count(), table.lines().count());
}

#[test]
fn uring() {
    holds(Driver::UringDefer);
}

#[test]
fn epoll() {
    holds(Driver::Epoll);
}
