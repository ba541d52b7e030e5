//! The outcomes recorded over sockets (`tests/outcomes/vectors.txt`), reproduced without one.

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_io::{Driver, RuntimeOptions, run};
use gateway_ir::Timeouts as RuleTimeouts;

use super::case::{Case, Fault, Outcome as Columns, cases};
use super::wire::ScriptWire;
use super::{connection, ir, serve};
use crate::exchange::wire::Release;
use crate::exchange::{Ended, Outcome, Scratch};
use crate::h1::persistence::would_look_whole;
use crate::observe::record::RequestRecord;
use crate::{ProxyConfig, Timeouts};

const RECORDED: &str = include_str!("../../../tests/outcomes/vectors.txt");

/// A limit short enough to wait for.
const SHORT: Duration = Duration::from_millis(2);

/// The limits that a fault needs.
fn limits(fault: Fault) -> (ir::Config, ProxyConfig) {
    let (mut timeouts, mut rule) = (Timeouts::default(), RuleTimeouts::default());
    match fault {
        Fault::BackendSilent => timeouts.response_header = SHORT,
        Fault::RequestTimeout => rule.request_ms = Some(SHORT.as_millis() as u64),
        Fault::BackendRequestTimeout => rule.backend_request_ms = Some(SHORT.as_millis() as u64),
        _ => {}
    }
    let config = ir::Config::to(([203, 0, 113, 5], 80).into()).timeouts(rule);
    (config, ProxyConfig { timeouts, ..ProxyConfig::default() })
}

async fn play(case: Case) -> Columns {
    let (config, proxy) = limits(case.fault);
    let info = connection(&config, proxy);
    let mut wire = ScriptWire::new(case, Rc::clone(&info.control));
    let mut scratch = Scratch::default();
    let (ended, record) = serve(&info, &mut wire, &mut scratch).await;
    columns(&wire, &ended, &record)
}

/// The end of an exchange as a client and a backend on HTTP/1.1 see it.
fn columns(wire: &ScriptWire, ended: &Ended, record: &RequestRecord) -> Columns {
    let case = wire.case;
    assert!(wire.begun, "{case:?} reaches its backend");
    let meta = wire.meta();
    let request_read = meta.framing.is_empty() || ended.request_read;
    let (status, response, client, reason) = match &ended.outcome {
        Outcome::Done => {
            let kept = wire.keep_alive && request_read && !wire.is_half_closed();
            (record.status, "whole", ["closed", "kept"][usize::from(kept)], None)
        }
        Outcome::Upgraded(_) => panic!("{case:?} changes protocols"),
        Outcome::Left(_) => panic!("{case:?} is left"),
        Outcome::LocalReply(reply) => {
            let kept = request_read && meta.keep_alive && !reply.reason.ends_connection();
            (reply.status, "whole", ["closed", "kept"][usize::from(kept)], Some(reply.reason))
        }
        Outcome::Reset(reason) => {
            let begun = record.status != 0;
            let reset = would_look_whole(begun, wire.until_close, *reason);
            let response = if begun { "cut" } else { "none" };
            (record.status, response, ["closed", "reset"][usize::from(reset)], Some(*reason))
        }
    };
    let status = if status == 0 { "-".to_owned() } else { status.to_string() };
    let kept = matches!(wire.released, Some(Release::Shared | Release::Private));
    let backend = match case.fault {
        // With the process.
        Fault::DrainMax if !kept => "gone",
        _ => ["closed", "kept"][usize::from(kept)],
    };
    let mut columns = match case.fault {
        // Whatever was sent to it.
        Fault::ClientReset => Columns::new("-".to_owned(), "none", "gone", backend, wire.attempts),
        _ => Columns::new(status, response, client, backend, wire.attempts),
    };
    columns.reason = reason.map_or("-", |reason| reason.code()).to_owned();
    columns
}

#[test]
fn recorded_outcomes_are_reproduced_without_sockets() {
    let table = Arc::new(Mutex::new(String::new()));
    let rows = Arc::clone(&table);
    let options = RuntimeOptions { tick: Duration::from_millis(1), ..RuntimeOptions::new(Driver::Epoll) };
    run(&options, || async move {
        for case in cases() {
            let Columns { status, response, client, backend, attempts, reason } = play(case).await;
            let Case { request, lease, stage, fault } = case;
            let case = format!("{request:<5} {lease:<6} {stage:<11} {fault}");
            let _ = writeln!(
                rows.lock().unwrap(),
                "{case:<51} -> {status:<3} {response:<5} {client:<6} {backend:<6} {attempts} {reason}"
            );
        }
    })
    .unwrap();
    let table = table.lock().unwrap();
    let recorded: Vec<&str> = RECORDED.lines().filter(|line| !line.starts_with('#')).collect();
    let differing: Vec<String> = recorded
        .iter()
        .zip(table.lines())
        .filter(|(recorded, seen)| *recorded != seen)
        .map(|(recorded, seen)| format!("- {recorded}\n+ {seen}"))
        .collect();
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    assert_eq!(recorded.len(), table.lines().count());
}
