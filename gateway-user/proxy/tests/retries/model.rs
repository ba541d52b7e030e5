//! Any schedule of a backend's failures against a model of what the client gets and how often the backend is asked.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use gateway_io::Driver;
use gateway_ir::Retry;
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};

use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::backend::Backend;
use crate::support::ir::{Config, forward};

on_every_driver![clients_and_backends_see_what_the_model_says,];

/// A backend's way with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Respond(u16),
    /// Closes without a word.
    Close,
    /// Closes within the head.
    Break,
}

#[derive(Clone, Debug)]
struct Case {
    codes: Vec<u16>,
    attempts: u32,
    method: &'static str,
    body: usize,
    deeds: Vec<Deed>,
}

fn case() -> impl Strategy<Value = Case> {
    let statuses = || prop::sample::select(vec![200, 404, 429, 500, 502, 503, 504]);
    let deed =
        prop_oneof![5 => statuses().prop_map(Deed::Respond), 1 => Just(Deed::Close), 1 => Just(Deed::Break)];
    let codes = prop::collection::btree_set(prop::sample::select(vec![429, 500, 502, 503, 504]), 0..4);
    let method = prop::sample::select(vec!["GET", "PUT", "DELETE", "POST", "PATCH"]);
    let body = prop::sample::select(vec![0, 1, 30_000, 70_000]);
    (codes, 1..5_u32, method, body, prop::collection::vec(deed, 8)).prop_map(
        |(codes, attempts, method, body, deeds)| {
            let body = if method == "GET" { 0 } else { body };
            Case { codes: codes.into_iter().collect(), attempts, method, body, deeds }
        },
    )
}

/// The status that the client gets, and the number of requests that backends get.
fn model(case: &Case) -> (u16, usize) {
    let mut asked = 0;
    loop {
        let deed = case.deeds[asked];
        asked += 1;
        let (status, wanted) = match deed {
            Deed::Respond(status) => (status, case.codes.contains(&status)),
            Deed::Close | Deed::Break => (502, !matches!(case.method, "POST" | "PATCH")),
        };
        if !wanted || asked > case.attempts as usize || case.body > 64 * 1024 {
            return (status, asked);
        }
    }
}

/// Deeds to come, and the endpoints that have been asked, in order.
#[derive(Default)]
struct Script {
    deeds: VecDeque<Deed>,
    asked: Vec<usize>,
}

fn backend(number: usize, script: &Arc<Mutex<Script>>) -> Backend {
    let script = Arc::clone(script);
    Backend::start(move |mut exchange| {
        if exchange.request().is_none() {
            return;
        }
        let deed = {
            let mut script = script.lock().unwrap();
            script.asked.push(number);
            script.deeds.pop_front().unwrap_or(Deed::Close)
        };
        // Each request has a connection of its own: a stale one would be tried again at no charge.
        let response = match deed {
            Deed::Respond(status) => {
                format!("HTTP/1.1 {status} As Scripted\r\nConnection: close\r\nContent-Length: 3\r\n\r\nyes")
            }
            Deed::Close => return,
            Deed::Break => "HTTP/1.1 200 OK\r\nContent-".to_owned(),
        };
        let _ = exchange.stream.write_all(response.as_bytes());
    })
}

fn clients_and_backends_see_what_the_model_says(driver: Driver) {
    let script = Arc::<Mutex<Script>>::default();
    let backends: Vec<_> = (0..3).map(|number| backend(number, &script)).collect();
    let addresses: Vec<SocketAddr> = backends.iter().map(Backend::address).collect();
    let config = Config::default().rule(forward("/", "app")).endpoints("app", &addresses);
    let mut runner =
        TestRunner::new(RunnerConfig { cases: 60, failure_persistence: None, ..RunnerConfig::default() });
    let checked = runner.run(&case(), |case| {
        *script.lock().unwrap() = Script { deeds: case.deeds.iter().copied().collect(), asked: Vec::new() };
        let retry = Retry { codes: case.codes.clone(), attempts: case.attempts, backoff_ms: 0 };
        // A worker of its own: what retries the one before has had is not this one's.
        let gateway = Gateway::start(driver, &config.clone().retry(&retry));
        let length =
            if case.method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", case.body) };
        let response = gateway.raw(format!(
            "{} / HTTP/1.1\r\nHost: a\r\n{length}\r\n{}",
            case.method,
            "x".repeat(case.body)
        ));
        let asked = script.lock().unwrap().asked.clone();
        prop_assert_eq!((response.status, asked.len()), model(&case));
        // The first three go to three endpoints.
        let mut first: Vec<_> = asked.iter().take(3).collect();
        first.sort_unstable();
        first.dedup();
        prop_assert_eq!(first.len(), asked.len().min(3));
        Ok(())
    });
    checked.unwrap();
}
