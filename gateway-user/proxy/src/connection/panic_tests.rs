//! A panic in one connection, seen from the others.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use futures_channel::oneshot;
use gateway_io::Driver;
use gateway_testkit::http::Client;
use gateway_testkit::wait::until;

use crate::ProxyConfig;
use crate::metrics::Counters;
use crate::worker::{WorkerCommand, WorkerHandle, WorkerSpec, start};

fn counters(worker: &WorkerHandle) -> Counters {
    let (reply, mut answer) = oneshot::channel();
    worker.send(WorkerCommand::Metrics { reply }).unwrap();
    until("the metrics", || answer.try_recv().unwrap()).counters
}

fn a_panic_ends_its_connection_only(driver: Driver) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let worker = start(WorkerSpec {
        slot: 7,
        cpu: None,
        driver,
        ring_entries: 256,
        listeners: vec![listener],
        config: Arc::new(ProxyConfig { faults: true, ..ProxyConfig::default() }),
        gauge: Box::new(|_| ()),
        log: Box::new(|_| Ok(())),
        heartbeat: Arc::default(),
        ended: Box::new(|_| ()),
    })
    .unwrap();
    let mut other = Client::connect(address).unwrap();
    assert_eq!(other.get("a", "/").unwrap().reason(), Some("no_listener_for_address"));
    for round in 1..=3 {
        let mut doomed = TcpStream::connect(address).unwrap();
        doomed.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Sluice-Fault: panic routing\r\n\r\n").unwrap();
        // Closed, in order or by a reset, without a byte of a response.
        assert!(!doomed.read(&mut [0]).is_ok_and(|n| n > 0));
        until("the count", || (counters(&worker).panics == round).then_some(()));
        assert_eq!(other.get("a", "/").unwrap().status, 404, "the other connection goes on");
    }
    until("the books to be right", || {
        let now = counters(&worker);
        (now.connections == 1 && now.active_requests == 0).then_some(())
    });
    drop(other);
    worker.join().unwrap();
}

#[test]
fn on_uring() {
    a_panic_ends_its_connection_only(Driver::UringDefer);
}

#[test]
fn on_epoll() {
    a_panic_ends_its_connection_only(Driver::Epoll);
}
