//! Costs that retries may have: content that is kept, requests that a failing backend gets, clients that have left.

use gateway_io::Driver;
use gateway_ir::Retry;
use gateway_proxy::ProxyConfig;
use gateway_testkit::wait::until;

use crate::support::Gateway;
use crate::support::ir::Config;
use crate::{attempts, failing, on_every_driver, retry};

on_every_driver![
    a_long_body_is_sent_once,
    there_is_no_room_for_bodies,
    retries_of_a_backend_that_is_down_have_a_budget,
    a_client_that_leaves_ends_the_wait,
];

fn post(bytes: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes))
}

fn a_long_body_is_sent_once(driver: Driver) {
    let (backend, seen) = failing(503, usize::MAX);
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[503], 2)));
    assert_eq!(gateway.raw(post(70_000)).status, 503);
    assert_eq!((seen.count(), attempts(&gateway)), (1, (1.into(), "body".into())));
    gateway.until("one that is not kept", |counters| counters.retries_not_kept == 1);
}

fn there_is_no_room_for_bodies(driver: Driver) {
    let (backend, seen) = failing(503, usize::MAX);
    // A namespace has 1/64 of it: 32 KiB.
    let limits = ProxyConfig { buffer_limit: 2 * 1024 * 1024, ..ProxyConfig::default() };
    let config = Config::to(backend.address()).retry(&retry(&[503], 1));
    let gateway = Gateway::with(driver, &config, limits);
    assert_eq!(gateway.raw(post(40_000)).status, 503);
    assert_eq!(seen.count(), 1, "no room");
    // Content that was kept meanwhile is given back.
    for asked in [3, 5, 7] {
        assert_eq!(gateway.raw(post(30_000)).status, 503);
        assert_eq!(seen.count(), asked);
    }
}

fn retries_of_a_backend_that_is_down_have_a_budget(driver: Driver) {
    let (backend, seen) = failing(503, usize::MAX);
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[503], 5)));
    let requests = 120;
    let mut clients: Vec<_> = (0..40).map(|_| gateway.connect()).collect();
    for _ in 0..3 {
        clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap());
        clients.iter_mut().for_each(|client| assert_eq!(client.response().unwrap().status, 503));
    }
    let counters = gateway.until("the counts", |counters| counters.requests == requests);
    assert_eq!(seen.count() as u64, requests + counters.retries);
    assert!(counters.retries_over_budget > 0, "{counters:?}");
    assert!(counters.retries >= requests / 5, "a fifth is always allowed: {counters:?}");
}

fn a_client_that_leaves_ends_the_wait(driver: Driver) {
    let (backend, seen) = failing(503, usize::MAX);
    let slow = Retry { backoff_ms: 30_000, ..retry(&[503], 3) };
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&slow));
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), post(10)] {
        let before = seen.count();
        let mut client = gateway.connect();
        client.send(request).unwrap();
        until("an attempt", || (seen.count() > before).then_some(()));
        drop(client);
        gateway.until("nothing under way", |counters| {
            counters.active_requests == 0 && counters.connections == 0
        });
        assert_eq!(seen.count(), before + 1);
    }
}
