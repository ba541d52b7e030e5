//! Connections that were quiet for so long that their worker keeps only what it needs to notice them.

mod support;

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::ProxyConfig;
use gateway_proxy::worker::{DrainLimits, WorkerCommand};
use gateway_testkit::http::Client;
use gateway_testkit::wait::WAIT_TIMEOUT;
use support::backend::{Backend, ok};
use support::ir::Config;
use support::{Gateway, block_on};

on_every_driver![
    requests_around_the_moment_of_quiet_are_answered,
    a_head_may_begin_on_a_quiet_connection_and_end_later,
    a_quiet_connection_is_closed_when_its_time_is_up,
    a_drain_ends_quiet_connections,
    clients_that_leave_quietly_are_forgotten,
];

/// Longer than it takes a connection to be quiet: a second and some ticks.
const QUIET: Duration = Duration::from_millis(1300);

const REQUEST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";

fn echo() -> Backend {
    Backend::answering(|request| ok(request.body.clone()))
}

fn ask(client: &mut Client, body: &str) {
    client.send(format!("{REQUEST}{body}")).unwrap();
    let answer = client.response().unwrap();
    assert_eq!((answer.status, &*answer.text()), (200, body));
}

fn crowd(gateway: &Gateway, count: usize) -> Vec<Client> {
    let mut crowd: Vec<_> = (0..count).map(|_| gateway.connect()).collect();
    crowd.iter_mut().for_each(|client| ask(client, "once"));
    crowd
}

fn is_closed(client: &mut Client) -> bool {
    client.stream().read(&mut [0]).is_ok_and(|count| count == 0)
}

/// Each client asks at a time of its own: before, in and after the tick in which its connection is found to be quiet.
fn requests_around_the_moment_of_quiet_are_answered(driver: Driver) {
    let backend = echo();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    thread::scope(|scope| {
        for (number, mut client) in crowd(&gateway, 120).into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..3 {
                    thread::sleep(Duration::from_millis(940 + (number as u64 * 7 + round * 13) % 240));
                    ask(&mut client, &format!("{:04}", number as u64 * 10 + round));
                }
            });
        }
    });
    assert_eq!(gateway.metrics().counters.panics, 0);
}

fn a_head_may_begin_on_a_quiet_connection_and_end_later(driver: Driver) {
    let backend = echo();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut crowd = crowd(&gateway, 20);
    thread::sleep(QUIET);
    let (begin, end) = REQUEST.split_at(9);
    crowd.iter_mut().for_each(|client| client.stream().write_all(begin.as_bytes()).unwrap());
    // In the middle of a head, and again of a body, the connection is as quiet.
    thread::sleep(QUIET);
    crowd.iter_mut().for_each(|client| client.stream().write_all(end.as_bytes()).unwrap());
    thread::sleep(QUIET);
    for client in &mut crowd {
        client.send("last").unwrap();
        assert_eq!(client.response().unwrap().text(), "last");
    }
}

fn a_quiet_connection_is_closed_when_its_time_is_up(driver: Driver) {
    let backend = echo();
    let mut proxy = ProxyConfig::default();
    proxy.timeouts.client_idle = 2 * QUIET;
    proxy.timeouts.client_header = 2 * QUIET;
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let mut crowd = crowd(&gateway, 20);
    let mut silent: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    assert!(crowd.iter_mut().chain(&mut silent).all(is_closed));
    gateway.until("the books to be empty", |counters| counters.connections == 0);
}

fn a_drain_ends_quiet_connections(driver: Driver) {
    let backend = echo();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut crowd = crowd(&gateway, 20);
    thread::sleep(QUIET);
    let (begun, rest) = crowd.split_at_mut(1);
    begun[0].stream().write_all(REQUEST.as_bytes()).unwrap();
    gateway.until("its request", |counters| counters.active_requests == 1);
    let limits = DrainLimits { accept: Duration::ZERO, idle: Duration::ZERO, max: WAIT_TIMEOUT };
    let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    assert!(rest.iter_mut().all(is_closed), "without a request under way");
    begun[0].send("last").unwrap();
    assert_eq!(begun[0].response().unwrap().text(), "last", "a request under way is finished");
    assert_eq!(block_on(drained).unwrap().aborted, 0);
}

fn clients_that_leave_quietly_are_forgotten(driver: Driver) {
    let backend = echo();
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let crowd = crowd(&gateway, 50);
    thread::sleep(QUIET);
    assert_eq!(gateway.metrics().counters.connections, 50);
    drop(crowd);
    gateway.until("the books to be empty", |counters| counters.connections == 0);
}
