//! Retries of rules, as clients and backends see them.
#![allow(missing_docs)]

mod attempts;
mod bodies;
mod bounds;
mod http2;
mod model;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use gateway_io::Driver;
use gateway_ir::{Filter, Retry, Timeouts};
use gateway_testkit::http::Response;
use gateway_testkit::wait::until;
use support::Gateway;
use support::backend::{Backend, Request, ok};
use support::ir::{Config, forward, headers};

on_every_driver![
    a_listed_status_is_tried_again,
    the_last_response_is_the_clients,
    another_endpoint_is_asked,
    a_lost_connection_is_tried_again_where_that_is_safe,
    nobody_there_is_tried_again,
    a_short_body_is_sent_again,
    a_kept_connection_serves_on_after_a_retry,
    an_upgrade_is_tried_again_before_it_is_one,
    each_attempt_has_its_time,
    all_attempts_have_the_requests_time,
];

/// Retries without a wait worth telling.
pub(crate) fn retry(codes: &[u16], attempts: u32) -> Retry {
    Retry { codes: codes.to_vec(), attempts, backoff_ms: 1 }
}

pub(crate) fn down(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} Down\r\nContent-Length: 4\r\n\r\ndown").into_bytes()
}

/// The requests that a backend has seen.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Request>>>);

impl Seen {
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn push(&self, request: &Request) -> usize {
        let mut all = self.0.lock().unwrap();
        all.push(request.clone());
        all.len()
    }

    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A backend that responds with this status so many times, then with 200.
pub(crate) fn failing(status: u16, times: usize) -> (Backend, Seen) {
    let seen = Seen::default();
    let own = seen.clone();
    let backend = Backend::answering(move |request| match own.push(request) <= times {
        true => down(status),
        false => ok("up"),
    });
    (backend, seen)
}

fn attempts(gateway: &Gateway) -> (serde_json::Value, serde_json::Value) {
    let line = gateway.log_lines(1).pop().unwrap();
    (line["upstream_attempts"].clone(), line["retry_denied"].clone())
}

fn a_listed_status_is_tried_again(driver: Driver) {
    let (backend, seen) = failing(503, 2);
    let add = vec![Filter::RequestHeaders(headers(&[], &[("x-added", "1")], &[]))];
    let config = Config::default().filtered(forward("/", "app"), add);
    let config = config.endpoints("app", &[backend.address()]).retry(&retry(&[500, 503], 2));
    let gateway = Gateway::start(driver, &config);
    assert_eq!(gateway.get("/one").text(), "up");
    let requests = seen.take();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.header("x-request-id"), requests[0].header("x-request-id"));
        assert_eq!(request.all("x-added").collect::<Vec<_>>(), ["1"], "filters change it once");
    }
    assert_eq!(attempts(&gateway), (3.into(), serde_json::Value::Null));
    let counters = gateway.until("the counts", |counters| counters.retries_succeeded == 1);
    assert_eq!((counters.retries, counters.retries_failed, counters.upstream_retries), (2, 0, 0));
    // Responses that nobody was to see have left their connection in order.
    assert_eq!(backend.accepted(), 1);
}

fn the_last_response_is_the_clients(driver: Driver) {
    let (backend, seen) = failing(500, usize::MAX);
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[500], 2)));
    let response = gateway.get("/");
    assert_eq!(
        (response.status, response.text().as_str(), response.header("x-sluice-reason")),
        (500, "down", None)
    );
    assert_eq!(seen.count(), 3);
    assert_eq!(attempts(&gateway), (3.into(), "attempts".into()));
    gateway.until("a failure", |counters| counters.retries_failed == 1 && counters.retries == 2);
    // Another status than those listed.
    let (other, seen) = failing(503, 1);
    let gateway = Gateway::start(driver, &Config::to(other.address()).retry(&retry(&[500], 2)));
    assert_eq!(gateway.get("/").status, 503);
    assert_eq!((seen.count(), attempts(&gateway)), (1, (1.into(), serde_json::Value::Null)));
}

fn another_endpoint_is_asked(driver: Driver) {
    let backends = [(); 3].map(|()| failing(502, usize::MAX));
    let addresses = backends.each_ref().map(|(backend, _)| backend.address());
    let config = Config::default().rule(forward("/", "app")).endpoints("app", &addresses);
    let gateway = Gateway::start(driver, &config.retry(&retry(&[502], 2)));
    for asked in 1..=5 {
        assert_eq!(gateway.get("/").status, 502);
        assert_eq!(backends.each_ref().map(|(_, seen)| seen.count()), [asked; 3]);
    }
}

/// Closes without a word so many times, on connections of their own.
fn closing(times: usize) -> (Backend, Seen) {
    let seen = Seen::default();
    let own = seen.clone();
    let backend = Backend::start(move |mut exchange| {
        let Some(request) = exchange.request() else { return };
        if own.push(&request) > times {
            let _ = exchange.stream.write_all(&ok("up"));
        }
    });
    (backend, seen)
}

fn a_lost_connection_is_tried_again_where_that_is_safe(driver: Driver) {
    let (backend, seen) = closing(1);
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[], 1)));
    assert_eq!(gateway.get("/").text(), "up");
    assert_eq!(seen.count(), 2);
    let (backend, seen) = closing(1);
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[502, 503], 1)));
    let post = gateway.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((post.status, post.header("x-sluice-reason")), (502, Some("upstream_reset")));
    assert_eq!((seen.count(), attempts(&gateway)), (1, (1.into(), "method".into())));
    gateway.until("one that is unsafe", |counters| counters.retries_unsafe == 1);
}

fn nobody_there_is_tried_again(driver: Driver) {
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(driver, &Config::to(address).retry(&retry(&[], 3)));
    let post = gateway.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((post.status, post.header("x-sluice-reason")), (503, Some("upstream_connect_failed")));
    let counters = gateway.until("the counts", |counters| counters.retries_failed == 1);
    assert_eq!((counters.retries, counters.upstream_connect_failures), (3, 4));
    assert_eq!(attempts(&gateway), (4.into(), "attempts".into()));
}

fn a_short_body_is_sent_again(driver: Driver) {
    let (backend, seen) = failing(503, 2);
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[503], 2)));
    let body = "x".repeat(60_000);
    let length = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(gateway.raw(length).text(), "up");
    let chunked =
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n";
    assert_eq!(seen.take().iter().map(|one| one.body.len()).collect::<Vec<_>>(), [60_000; 3]);
    assert_eq!(gateway.raw(chunked).text(), "up");
    let bodies: Vec<_> = seen.take().into_iter().map(|one| one.body).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| body == b"abcde"));
}

fn a_kept_connection_serves_on_after_a_retry(driver: Driver) {
    let (backend, seen) = failing(503, 1);
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[503], 1)));
    let mut client = gateway.connect();
    client
        .send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert_eq!([(); 2].map(|()| client.response().unwrap().text()), ["up", "up"]);
    assert_eq!(client.get("a", "/c").unwrap().text(), "up");
    let targets: Vec<_> = seen.take().into_iter().map(|one| one.target).collect();
    assert_eq!(targets, ["/a", "/a", "/b", "/c"]);
}

fn an_upgrade_is_tried_again_before_it_is_one(driver: Driver) {
    let seen = Seen::default();
    let own = seen.clone();
    let backend = Backend::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if own.push(&request) == 1 {
                let _ = exchange.stream.write_all(&down(503));
                continue;
            }
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            let _ = exchange.stream.write_all(head.as_bytes());
            let _ = exchange.byte();
            return;
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[503], 1)));
    let response = gateway.raw(
        "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    assert_eq!((response.status, seen.count()), (101, 2));
}

/// A backend that is silent so many times, each on a connection of its own.
fn silent(times: usize) -> (Backend, Seen) {
    let seen = Seen::default();
    let own = seen.clone();
    let backend = Backend::start(move |mut exchange| {
        let Some(request) = exchange.request() else { return };
        match own.push(&request) > times {
            true => drop(exchange.stream.write_all(&ok("up"))),
            false => drop(exchange.byte()),
        }
    });
    (backend, seen)
}

fn timed(backend: &Backend, timeouts: Timeouts, attempts: u32) -> Config {
    Config::to(backend.address()).timeouts(timeouts).retry(&retry(&[503], attempts))
}

fn each_attempt_has_its_time(driver: Driver) {
    let timeouts = Timeouts { request_ms: None, backend_request_ms: Some(100) };
    let (backend, seen) = silent(2);
    let gateway = Gateway::start(driver, &timed(&backend, timeouts, 2));
    assert_eq!(gateway.get("/").text(), "up");
    assert_eq!(seen.count(), 3);
    let (backend, seen) = silent(usize::MAX);
    let gateway = Gateway::start(driver, &timed(&backend, timeouts, 1));
    let told = |response: &Response| (response.status, response.header("x-sluice-reason").map(str::to_owned));
    assert_eq!(told(&gateway.get("/")), (504, Some("backend_request_timeout".to_owned())));
    assert_eq!(seen.count(), 2);
    let post = gateway.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(told(&post), (504, Some("backend_request_timeout".to_owned())));
    assert_eq!(seen.count(), 3, "it may have been processed");
}

fn all_attempts_have_the_requests_time(driver: Driver) {
    let timeouts = Timeouts { request_ms: Some(400), backend_request_ms: Some(150) };
    let (backend, seen) = silent(usize::MAX);
    let gateway = Gateway::start(driver, &timed(&backend, timeouts, 10));
    let response = gateway.get("/");
    assert_eq!((response.status, response.header("x-sluice-reason")), (504, Some("request_timeout")));
    let count = seen.count();
    assert!((2..=3).contains(&count), "{count} attempts");
    until("the end of the last attempt", || (gateway.metrics().counters.active_requests == 0).then_some(()));
    // A wait that would end too late is not begun.
    let (backend, seen) = failing(503, usize::MAX);
    let timeouts = Timeouts { request_ms: Some(60_000), backend_request_ms: None };
    let config = Config::to(backend.address()).timeouts(timeouts);
    let gateway = Gateway::start(driver, &config.retry(&Retry { backoff_ms: 60_000, ..retry(&[503], 3) }));
    let response = gateway.get("/");
    assert_eq!(attempts(&gateway), (1.into(), "time".into()));
    assert_eq!((response.status, response.header("x-sluice-reason")), (504, Some("request_timeout")));
    assert_eq!(seen.count(), 1);
}
