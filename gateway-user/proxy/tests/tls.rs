//! Connections that do not come to a handshake, or stop being what a connection was opened for.

mod support;

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::http::Client;
use gateway_testkit::tls::{self as testkit, SelfSigned, Versions};
use gateway_testkit::wait::until;
use support::Gateway;
use support::backend::{Backend, ok};
use support::ir::{Config, tls};

on_every_driver! {
    a_handshake_has_its_time,
    who_goes_away_is_counted,
    a_connection_serves_the_protocol_it_was_opened_for,
    the_crowd_over_the_limit_is_told_so_in_the_words_of_tls,
}

fn secured(identity: &SelfSigned, backend: &Backend) -> Config {
    Config { tls: Some(tls(identity)), ..Config::to(backend.address()) }
}

fn until_failed(gateway: &Gateway, reason: &str) {
    until(reason, || {
        gateway.metrics().tls_failures.each().any(|(code, count)| code == reason && count == 1).then_some(())
    });
}

fn a_handshake_has_its_time(driver: Driver) {
    let (identity, backend) = (SelfSigned::new(&["a.example"]), Backend::answering(|_| ok("hello")));
    let timeouts = Timeouts { tls_handshake: Duration::from_millis(100), ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &secured(&identity, &backend), proxy);
    let mut slow = gateway.connect();
    // A record that goes on.
    slow.send([22, 3, 1, 2, 0, 1]).unwrap();
    assert!(slow.at_end().unwrap());
    until_failed(&gateway, "timeout");
}

fn who_goes_away_is_counted(driver: Driver) {
    let (identity, backend) = (SelfSigned::new(&["a.example"]), Backend::answering(|_| ok("hello")));
    let gateway = Gateway::start(driver, &secured(&identity, &backend));
    let mut gone = TcpStream::connect(gateway.address).unwrap();
    gone.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    drop(gone);
    until_failed(&gateway, "client_closed");
    let mut odd = gateway.connect();
    odd.send([22, 3, 1, 0, 4, 2, 0, 0, 0]).unwrap();
    // decode_error, in the clear.
    assert_eq!(odd.rest().unwrap(), [21, 3, 3, 0, 2, 2, 50]);
    until_failed(&gateway, "bad_client_hello");
}

fn a_connection_serves_the_protocol_it_was_opened_for(driver: Driver) {
    let (identity, backend) = (SelfSigned::new(&["a.example"]), Backend::answering(|_| ok("hello")));
    let (clear, secured) = (Config::to(backend.address()), secured(&identity, &backend));
    let client = testkit::client(&[&identity], Versions::New);
    let mut gateway = Gateway::start(driver, &clear);
    let mut old = gateway.connect();
    assert_eq!(old.get("a.example", "/").unwrap().status, 200);
    gateway.publish(&secured, vec![], vec![]);
    let answer = old.get("a.example", "/").unwrap();
    assert_eq!((answer.status, answer.reason()), (404, Some("no_listener_for_address")), "in the clear");
    let mut new = testkit::connect(gateway.address, "a.example", &client).unwrap();
    assert_eq!(new.get("a.example", "/").unwrap().status, 200);
    gateway.publish(&clear, vec![], vec![]);
    let answer = new.get("a.example", "/").unwrap();
    assert_eq!((answer.status, answer.reason()), (404, Some("no_listener_for_address")), "over TLS");
}

fn the_crowd_over_the_limit_is_told_so_in_the_words_of_tls(driver: Driver) {
    let (identity, backend) = (SelfSigned::new(&["a.example"]), Backend::answering(|_| ok("hello")));
    let proxy = ProxyConfig { max_connections: 1, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &secured(&identity, &backend), proxy);
    let client = testkit::client(&[&identity], Versions::New);
    let mut first = testkit::connect(gateway.address, "a.example", &client).unwrap();
    assert_eq!(first.get("a.example", "/").unwrap().status, 200);
    // Whose request it is decides, and that is known once it has come.
    let mut second = testkit::connect(gateway.address, "a.example", &client).unwrap();
    let answer = second.get("a.example", "/").unwrap();
    assert_eq!((answer.status, answer.reason()), (503, Some("overload_connections")));
    drop(second);
    gateway.until("the refusal", |counters| counters.overloaded == 1);
    // Not a byte of clear text to who says nothing: that would be no response to who speaks TLS.
    let mut third = Client::connect(gateway.address).unwrap();
    assert_eq!(third.rest().unwrap(), b"");
    gateway.until("the refusal", |counters| counters.overloaded == 2);
}
