//! A drain: clients learn of it in two steps, each at a time of its own, and none can hold it up.

use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::worker::{DrainLimits, Drained, WorkerCommand};
use gateway_testkit::http2::Peer;

use crate::on_every_driver;
use crate::support::backend::{Backend, ok};
use crate::support::ir::Config;
use crate::support::{Gateway, block_on};

on_every_driver![
    the_last_stream_is_named_once_the_client_knows,
    connections_are_told_one_after_another,
    who_never_acknowledges_is_cut_at_the_maximum,
];

/// Names no stream (RFC 9113 section 6.8).
const ALL: u32 = 0x7fff_ffff;

/// A backend that responds to nobody before it is opened.
struct Gate {
    backend: Backend,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn closed() -> Self {
        let open = Arc::new((Mutex::new(false), Condvar::new()));
        let own = Arc::clone(&open);
        let backend = Backend::start(move |mut exchange| {
            while exchange.request().is_some() {
                let (is_open, opened) = &*own;
                drop(opened.wait_while(is_open.lock().unwrap(), |open| !*open).unwrap());
                if exchange.stream.write_all(&ok("late")).is_err() {
                    return;
                }
            }
        });
        Self { backend, open }
    }

    fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

fn drain(gateway: &Gateway, max: Duration) -> impl Future<Output = Drained> + use<> {
    let limits = DrainLimits { accept: Duration::ZERO, idle: max, max };
    let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    async { drained.await.unwrap() }
}

fn the_last_stream_is_named_once_the_client_knows(driver: Driver) {
    let gate = Gate::closed();
    let gateway = Gateway::start(driver, &Config::to(gate.backend.address()));
    let mut peer = Peer::connect(gateway.address);
    peer.get(1);
    gateway.until("a request under way", |counters| counters.active_requests == 1);
    peer.until_read();
    peer.answers = false;
    let drained = drain(&gateway, Duration::from_secs(20));
    peer.until_last_streams(1);
    assert_eq!((peer.goaway, peer.last_streams.as_slice()), (Some(0), &[ALL][..]));
    // It was sent before the client knew.
    peer.get(3);
    gateway.until("both under way", |counters| counters.active_requests == 2);
    peer.answer();
    peer.until_last_streams(2);
    assert_eq!((peer.goaway, peer.last_streams.as_slice()), (Some(0), &[ALL, 3][..]));
    gate.open();
    peer.until_closed();
    assert_eq!((peer.responses, peer.resets), (2, 0));
    assert_eq!(block_on(drained).aborted, 0);
}

fn connections_are_told_one_after_another(driver: Driver) {
    const COUNT: usize = 40;
    let gate = Gate::closed();
    let gateway = Gateway::start(driver, &Config::to(gate.backend.address()));
    let mut peers: Vec<_> = (0..COUNT).map(|_| Peer::connect(gateway.address)).collect();
    for peer in &mut peers {
        peer.get(1);
    }
    gateway.until("all under way", |counters| counters.active_requests == COUNT as u64);
    let drained = drain(&gateway, Duration::from_secs(10));
    let told = |peers: &[Peer]| peers.iter().filter(|peer| peer.goaway.is_some()).count();
    let mut seen = Vec::new();
    while told(&peers) < COUNT {
        for peer in &mut peers {
            peer.look(Duration::from_millis(1));
            assert!(!peer.closed, "its stream is under way");
        }
        seen.push(told(&peers));
    }
    seen.retain(|count| *count > 0);
    seen.dedup();
    assert!(seen.len() > 5, "they would all come back at once: {seen:?}");
    gate.open();
    peers.iter_mut().for_each(Peer::until_closed);
    assert!(peers.iter().all(|peer| peer.responses == 1));
    assert_eq!(block_on(drained).aborted, 0);
}

fn who_never_acknowledges_is_cut_at_the_maximum(driver: Driver) {
    let gate = Gate::closed();
    let gateway = Gateway::start(driver, &Config::to(gate.backend.address()));
    let mut peer = Peer::connect(gateway.address);
    peer.get(1);
    gateway.until("a request under way", |counters| counters.active_requests == 1);
    peer.until_read();
    peer.answers = false;
    let drained = drain(&gateway, Duration::from_secs(2));
    peer.until_closed();
    assert_eq!((peer.last_streams.first(), peer.responses), (Some(&ALL), 0));
    assert_eq!(block_on(drained).aborted, 1);
}
