//! Connections that do not come to a handshake, or stop being what a connection was opened for.

#[path = "http2/client.rs"]
mod client;
mod support;

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use client::{ask, get, secured as over_http_2};
use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::http::Client;
use gateway_testkit::tls::{self as testkit, SelfSigned, Versions};
use gateway_testkit::wait::until;
use support::Gateway;
use support::backend::{Backend, ok};
use support::ir::{Config, tls};

on_every_driver! {
    the_protocol_is_chosen_by_alpn,
    a_request_for_another_listener_is_misdirected_over_http_2_too,
    a_handshake_has_its_time,
    who_goes_away_is_counted,
    a_connection_serves_the_protocol_it_was_opened_for,
    the_crowd_over_the_limit_is_told_so_in_the_words_of_tls,
}

fn secured(identity: &SelfSigned, backend: &Backend) -> Config {
    Config { tls: Some(tls(identity)), ..Config::to(backend.address()) }
}

fn the_protocol_is_chosen_by_alpn(driver: Driver) {
    let (identity, backend) = (SelfSigned::new(&["a.example"]), Backend::answering(|_| ok("hello")));
    let config = secured(&identity, &backend);
    let gateway = Gateway::start(driver, &config);
    let client = testkit::client(&[&identity], Versions::New);
    let chosen = |gateway: &Gateway, offered: &[&[u8]]| {
        let offering = testkit::offering(&client, offered);
        let connected = testkit::connect(gateway.address, "a.example", &offering);
        connected.map(|client| client.stream().conn.alpn_protocol().map(<[u8]>::to_vec))
    };
    let (h2, http_1) = (&b"h2"[..], &b"http/1.1"[..]);
    for offered in [&[h2, http_1][..], &[http_1, h2], &[h2]] {
        assert_eq!(chosen(&gateway, offered).unwrap().as_deref(), Some(h2));
    }
    assert_eq!(chosen(&gateway, &[http_1]).unwrap().as_deref(), Some(http_1));
    assert_eq!(chosen(&gateway, &[]).unwrap(), None);
    over_http_2(&gateway, "a.example", &identity, |mut client| async move {
        for _ in 0..3 {
            assert_eq!(ask(&mut client, get("/")).await.unwrap().text(), "hello");
        }
    });
    let line = gateway.log_lines(3).remove(0);
    assert_eq!((&line["protocol"], &line["response_code"]), (&"HTTP/2".into(), &200.into()));
    let old = ProxyConfig { http2: false, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &config, old);
    assert_eq!(chosen(&gateway, &[h2, http_1]).unwrap().as_deref(), Some(http_1));
    assert!(chosen(&gateway, &[h2]).is_err());
}

/// Browsers use a connection for every name that its certificate covers.
fn a_request_for_another_listener_is_misdirected_over_http_2_too(driver: Driver) {
    let identity = SelfSigned::new(&["a.example", "b.example", "c.example"]);
    let backend = Backend::answering(|_| ok("hello"));
    let hosts = vec![("a.example", tls(&identity)), ("b.example", tls(&identity))];
    let gateway = Gateway::start(driver, &Config { hosts, ..Config::to(backend.address()) });
    over_http_2(&gateway, "a.example", &identity, |mut client| async move {
        for (host, wanted) in [
            ("a.example", (200, None)),
            ("b.example", (421, Some("misdirected_request"))),
            ("c.example", (404, Some("no_listener_for_host"))),
            ("a.example", (200, None)),
        ] {
            let request = http::Request::get(format!("https://{host}/")).body(()).unwrap();
            let response = ask(&mut client, request).await.unwrap();
            assert_eq!((response.status.as_u16(), response.header("x-sluice-reason")), wanted, "{host}");
        }
    });
    over_http_2(&gateway, "b.example", &identity, |mut client| async move {
        let request = http::Request::get("https://b.example/").body(()).unwrap();
        assert_eq!(ask(&mut client, request).await.unwrap().status, 200);
    });
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
