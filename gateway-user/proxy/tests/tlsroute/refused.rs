//! Connections that come to no backend, each with its reason.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use gateway_io::Driver;
use gateway_ir::{ListenerTls, Serve};
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::tls::{self as testkit, SelfSigned, Versions};

use crate::hello::{hello, in_records, tls_echo};
use crate::peer::{Peer, echo, is_reset};
use crate::support::Gateway;
use crate::support::ir::{Config, TlsListener, tls};
use crate::{counted, on_every_driver, until_failed, was_reset};

on_every_driver![
    a_name_without_a_route_is_reset,
    a_name_without_a_listener_is_reset_where_all_tls_is_passed_on,
    a_name_without_a_listener_is_told_so_where_tls_ends,
    a_connection_without_a_name_needs_a_listener_for_that,
    what_is_no_hello_is_told_so,
    a_hello_has_its_time_and_its_size,
    the_maximum_of_connections_holds,
    a_drain_resets_it_at_last,
];

/// A listener without a route.
fn empty(hostname: Option<&'static str>, serve: Serve, tls: ListenerTls) -> TlsListener {
    TlsListener { hostname, serve, tls, backends: Vec::new() }
}

fn ask(gateway: &Gateway, name: &str) -> std::io::Result<testkit::TlsClient> {
    testkit::connect(gateway.address, name, &testkit::client(&[], Versions::New))
}

fn a_name_without_a_route_is_reset(driver: Driver) {
    let identity = SelfSigned::new(&["b.example"]);
    let mut config = Config::default();
    config.tls_listeners.push(empty(Some("*.a.example"), Serve::TlsPassthrough, ListenerTls::default()));
    config.tls_listeners.push(empty(Some("b.example"), Serve::TlsTerminate, tls(&identity)));
    let gateway = Gateway::start(driver, &config);
    for (number, name) in [(1, "x.a.example"), (2, "b.example")] {
        was_reset(ask(&gateway, name));
        let line = gateway.log_lines(number).remove(number - 1);
        assert_eq!((&line["reason"], &line["tls_server_name"]), (&"no_route_for_host".into(), &name.into()));
        assert_eq!(counted(&gateway, Some("no_route_for_host")), number as u64);
    }
    assert_eq!(gateway.metrics().counters.tls_handshakes, 0);
}

fn a_name_without_a_listener_is_reset_where_all_tls_is_passed_on(driver: Driver) {
    let gateway = Gateway::start(driver, &Config::default().passthrough("a.example", &[echo()]));
    was_reset(ask(&gateway, "b.example"));
    let line = gateway.log_lines(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["tls_server_name"]),
        (&"no_listener_for_host".into(), &"b.example".into())
    );
    assert_eq!(counted(&gateway, Some("no_listener_for_host")), 1);
    until_failed(&gateway, "unrecognized_name");
}

fn a_name_without_a_listener_is_told_so_where_tls_ends(driver: Driver) {
    let identity = SelfSigned::new(&["a.example"]);
    let config =
        Config::default().terminate("a.example", &identity, &[echo()]).passthrough("b.example", &[echo()]);
    let gateway = Gateway::start(driver, &config);
    let error = ask(&gateway, "c.example").unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    until_failed(&gateway, "unrecognized_name");
}

fn a_connection_without_a_name_needs_a_listener_for_that(driver: Driver) {
    // A client that asks for an address names no server.
    let nameless = "127.0.0.1";
    let (identity, other) = (SelfSigned::new(&["a.example"]), SelfSigned::new(&["b.example"]));
    let backend = tls_echo(&identity, &[]);
    let config = Config::default().passthrough("a.example", &[backend]);
    let gateway = Gateway::start(driver, &config);
    was_reset(ask(&gateway, nameless));
    assert_eq!(gateway.log_lines(1)[0]["tls_server_name"], serde_json::Value::Null);

    // Marked for that, or without a hostname: then they are the client's, whose complaint is about the certificate.
    let mut marked = config.clone().terminate("b.example", &other, &[echo()]);
    marked.tls_listeners[0].tls.is_default = true;
    let mut without = config;
    without.tls_listeners[0].hostname = None;
    for config in [marked, without] {
        let gateway = Gateway::start(driver, &config);
        let error = ask(&gateway, nameless).unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

fn what_is_no_hello_is_told_so(driver: Driver) {
    let gateway = Gateway::start(driver, &Config::default().passthrough("a.example", &[echo()]));
    let mut odd = Peer::connect(gateway.address);
    odd.write([22, 3, 1, 0, 4, 2, 0, 0, 0]);
    // decode_error, in the clear.
    assert_eq!(odd.rest().unwrap(), [21, 3, 3, 0, 2, 2, 50]);
    until_failed(&gateway, "bad_client_hello");
    let mut web = Peer::connect(gateway.address);
    web.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert!(web.rest().unwrap().starts_with(b"HTTP/1.1 400 "));
    until_failed(&gateway, "not_tls");
    let mut other = Peer::connect(gateway.address);
    other.write(b"\0\0\0\x08\x04\xd2\x16\x2f");
    assert_eq!(other.rest().unwrap(), b"");
    assert_eq!(counted(&gateway, None), 0);
}

fn a_hello_has_its_time_and_its_size(driver: Driver) {
    let timeouts = Timeouts { tls_handshake: Duration::from_millis(200), ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let config = Config::default().passthrough("a.example", &[echo()]);
    let gateway = Gateway::with(driver, &config, proxy);
    let mut slow = Peer::connect(gateway.address);
    let whole = hello("a.example");
    slow.write(&whole[..whole.len() - 1]);
    assert_eq!(slow.rest().unwrap(), b"");
    until_failed(&gateway, "timeout");

    let gateway = Gateway::start(driver, &config);
    let mut long = Peer::connect(gateway.address);
    // A message of 16 MiB, as its first four bytes say.
    long.write([22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]);
    assert_eq!(long.rest().unwrap(), [21, 3, 3, 0, 2, 2, 50]);
    // One that is short, in more records than it has room for.
    let mut padded = whole.clone();
    let bytes = (whole.len() - 9 + 12_000).to_be_bytes();
    padded[6..9].copy_from_slice(&bytes[bytes.len() - 3..]);
    padded.resize(whole.len() + 12_000, 0);
    let mut many = Peer::connect(gateway.address);
    // It may be refused before all of it is sent.
    let _ = many.0.write_all(&in_records(&padded, 1));
    let said = many.rest().unwrap_or_default();
    assert!(said.is_empty() || said == [21, 3, 3, 0, 2, 2, 50], "{said:?}");
    until_failed(&gateway, "bad_client_hello");
}

fn the_maximum_of_connections_holds(driver: Driver) {
    let identity = SelfSigned::new(&["b.example"]);
    let config = Config::default()
        .passthrough("a.example", &[tls_echo(&SelfSigned::new(&["a.example"]), &[])])
        .terminate("b.example", &identity, &[echo()]);
    let proxy = ProxyConfig { max_connections: 1, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &config, proxy);
    let mut held = Peer::connect(gateway.address);
    held.write(hello("a.example"));
    assert_eq!(held.read(1), [22], "a ServerHello");
    for name in ["a.example", "b.example"] {
        was_reset(ask(&gateway, name));
    }
    gateway.until("the count", |counters| counters.overloaded == 2 && counters.tls_handshakes == 0);
}

fn a_drain_resets_it_at_last(driver: Driver) {
    let identity = SelfSigned::new(&["a.example"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = listener.local_addr().unwrap();
    let config = Config::default().terminate("a.example", &identity, &[echo()]);
    let gateway = Gateway::on(driver, &config, ProxyConfig::default(), listener, bind);
    let settings = testkit::client(&[&identity], Versions::New);
    let mut client = testkit::connect(bind, "a.example", &settings).unwrap().into_stream();
    gateway.until("the tunnel", |counters| counters.tunnels == 1);
    gateway.drain(Duration::ZERO, Duration::from_millis(400));
    let error = std::io::Read::read(&mut client, &mut [0]).unwrap_err();
    assert!(is_reset(&error), "no end in order: {error}");
}
