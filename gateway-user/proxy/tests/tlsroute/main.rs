//! Connections of TLS listeners: found by the server name in their ClientHello, passed through or secured here.

#[path = "../support/mod.rs"]
mod support;

#[path = "../tcp/peer.rs"]
#[allow(dead_code)] // a part of it is used
mod peer;

mod hello;
mod passthrough;
mod policy;
mod refused;
mod terminate;

use std::io;

use gateway_io::Driver;
use gateway_proxy::metrics::SeriesKey;
use gateway_testkit::tls::{self as testkit, SelfSigned, Versions};
use gateway_testkit::wait::until;

use hello::tls_echo;
use peer::{echo, is_reset};
use support::Gateway;
use support::backend::{Backend, ok};
use support::ir::{Config, tls};

on_every_driver![every_use_of_tls_is_on_one_port, a_listener_may_change_its_use,];

/// Connections by the reason for which they ended, as the metrics have them.
pub(crate) fn counted(gateway: &Gateway, reason: Option<&str>) -> u64 {
    let metrics = gateway.metrics();
    let here = metrics.series.sorted().into_iter();
    let here = here.filter(|(key, _)| key.scheme == SeriesKey::TCP && key.reason == reason);
    here.map(|(_, series)| series.duration.count()).sum()
}

/// Waits until a handshake has failed for this reason.
pub(crate) fn until_failed(gateway: &Gateway, reason: &str) {
    until(reason, || {
        gateway.metrics().tls_failures.each().any(|(code, count)| code == reason && count > 0).then_some(())
    });
}

/// Asserts that a client's handshake ended with a reset, and no alert.
#[track_caller]
pub(crate) fn was_reset<T>(outcome: io::Result<T>) {
    match outcome {
        Err(error) if is_reset(&error) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was served"),
    }
}

fn every_use_of_tls_is_on_one_port(driver: Driver) {
    let [web, ended, passed] = ["a.example", "b.example", "c.example"].map(|name| SelfSigned::new(&[name]));
    let backend = Backend::answering(|_| ok("hello"));
    let config = Config { hosts: vec![("a.example", tls(&web))], ..Config::to(backend.address()) }
        .terminate("b.example", &ended, &[echo()])
        .passthrough("c.example", &[tls_echo(&passed, &[])])
        .passthrough("*.c.example", &[tls_echo(&SelfSigned::new(&["x.c.example"]), &[])]);
    let gateway = Gateway::start(driver, &config);
    let client = testkit::client(&[&web, &ended, &passed], Versions::New);
    let client = testkit::offering(&client, &[b"http/1.1"]);
    for _ in 0..3 {
        let mut requests = testkit::connect(gateway.address, "a.example", &client).unwrap();
        assert_eq!(requests.get("a.example", "/").unwrap().text(), "hello");
        // A request for a host of a TLS listener is to come by a connection for that.
        assert_eq!(requests.get("b.example", "/").unwrap().status, 421);
        let mut ended = testkit::connect(gateway.address, "b.example", &client).unwrap();
        ended.send("whatever").unwrap();
        let mut ended = ended.into_stream();
        let mut back = [0; 8];
        io::Read::read_exact(&mut ended, &mut back).unwrap();
        assert_eq!(&back, b"whatever");
        let passed = testkit::connect(gateway.address, "c.example", &client).unwrap();
        let mut said = [0; 10];
        io::Read::read_exact(&mut passed.into_stream(), &mut said).unwrap();
        assert_eq!(&said, b"c.example\n");
        // Another certificate, which this client does not trust: another listener's backend.
        let other = testkit::connect(gateway.address, "x.c.example", &client).unwrap_err();
        assert!(other.to_string().contains("certificate"), "{other}");
        // None is for this name, and there is TLS here to say so in.
        let unknown = testkit::connect(gateway.address, "d.example", &client).unwrap_err();
        assert!(unknown.to_string().contains("UnrecognisedName"), "{unknown}");
    }
    assert_eq!(gateway.metrics().counters.tls_handshakes, 6, "of two listeners");
}

fn a_listener_may_change_its_use(driver: Driver) {
    let (here, there) = (SelfSigned::new(&["a.example"]), SelfSigned::new(&["a.example"]));
    let passing = Config::default().passthrough("a.example", &[tls_echo(&there, &[])]);
    let mut gateway = Gateway::start(driver, &passing);
    let shown = |gateway: &Gateway| {
        let client = testkit::client(&[&here, &there], Versions::New);
        testkit::shown(&testkit::connect(gateway.address, "a.example", &client).unwrap()).unwrap()
    };
    assert_eq!(shown(&gateway), there.der());
    gateway.publish(&Config::default().terminate("a.example", &here, &[echo()]), vec![], vec![]);
    assert_eq!(shown(&gateway), here.der());
    gateway.publish(&passing, vec![], vec![]);
    assert_eq!(shown(&gateway), there.der());
}
