//! Backends that a policy has TLS spoken to: of connections whose content goes there, and not of those that are passed through.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use gateway_io::Driver;
use gateway_ir::{BackendProtocol, BackendTls, ObjectName};
use gateway_testkit::tls::{self as testkit, Authority, SelfSigned, Versions};
use gateway_testkit::wait::WAIT_TIMEOUT;
use tokio_rustls::rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::hello::tls_echo;
use crate::peer::{Peer, accepting, is_reset, refusing};
use crate::support::Gateway;
use crate::support::ir::Config;
use crate::support::secure::{NAME, trusting};
use crate::{counted, on_every_driver, was_reset};

on_every_driver![
    content_goes_on_over_the_backends_tls,
    tls_that_is_passed_through_is_the_clients_own,
    a_broken_policy_resets_what_ends_here_alone,
    connections_of_a_tcp_listener_are_secured,
    a_backend_learns_of_its_client_before_the_handshake,
    the_next_endpoint_is_tried_after_a_failed_handshake,
    a_backend_that_is_not_trusted_gets_nothing,
    either_end_may_finish_first,
    content_that_the_backend_cuts_short_is_told_as_such,
];

type Client = StreamOwned<ClientConnection, TcpStream>;
type Backend = StreamOwned<ServerConnection, TcpStream>;

const HOST: &str = "a.example";

fn connect(gateway: &Gateway, trusted: &SelfSigned) -> Client {
    let settings = testkit::client(&[trusted], Versions::New);
    testkit::connect(gateway.address, HOST, &settings).unwrap().into_stream()
}

/// The line that [`tls_echo`] begins with: the name that it was asked for.
fn line(from: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.extend_from_slice(&byte);
    }
    String::from_utf8(line).unwrap()
}

/// A backend of this authority whose handshakes are made, and their connections handed out.
fn handed_out(authority: &Authority) -> (SocketAddr, Receiver<Backend>) {
    let server = testkit::server(&authority.issue(&[NAME]), &[]);
    let (give, taken) = channel();
    let give = Mutex::new(give);
    let address = accepting(move |socket| {
        let connection = ServerConnection::new(Arc::clone(&server)).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        drop(give.lock().unwrap().send(stream));
    });
    (address, taken)
}

fn content_goes_on_over_the_backends_tls(driver: Driver) {
    let (identity, authority) = (SelfSigned::new(&[HOST]), Authority::new());
    let backend = tls_echo(&authority.issue(&[NAME]), &[]);
    let config = Config::default().terminate(HOST, &identity, &[backend]).l4_policy(trusting(&authority));
    let gateway = Gateway::start(driver, &config);
    let said: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
    for _ in 0..2 {
        let mut client = connect(&gateway, &identity);
        assert_eq!(line(&mut client), NAME, "the policy's name, not the client's");
        client.write_all(&said).unwrap();
        let mut back = vec![0; said.len()];
        client.read_exact(&mut back).unwrap();
        assert!(back == said);
        client.conn.send_close_notify();
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "an end in order");
    }
    let lines = gateway.log_lines(2);
    assert!(lines.iter().all(|line| line["reason"].is_null() && line["tls_version"] == "1.3"), "{lines:?}");
    let counters = gateway.metrics().counters;
    assert_eq!((counters.tls_handshakes, counters.upstream_tls_handshakes), (2, 2));
    assert_eq!((counters.upstream_reused, counters.upstream_tls_resumed), (0, 1), "a connection each");
}

/// One route, so one cluster, on two listeners.
fn tls_that_is_passed_through_is_the_clients_own(driver: Driver) {
    let (here, authority) = (SelfSigned::new(&[HOST]), Authority::new());
    let there = authority.issue(&["b.example", NAME]);
    let backend = tls_echo(&there, &[]);
    let mut config =
        Config::default().terminate(HOST, &here, &[backend]).passthrough("b.example", &[backend]);
    config.tls_listeners[1].backends = config.tls_listeners[0].backends.clone();
    let gateway = Gateway::start(driver, &config.l4_policy(trusting(&authority)));
    let root = SelfSigned { certificate: authority.pem(), key: String::new() };
    for _ in 0..3 {
        assert_eq!(line(&mut connect(&gateway, &here)), NAME);
        let settings = testkit::client(&[&root], Versions::New);
        let passed = testkit::connect(gateway.address, "b.example", &settings).unwrap();
        assert_eq!(testkit::shown(&passed).unwrap(), there.der());
        assert_eq!(line(&mut passed.into_stream()), "b.example", "the client's hello");
    }
    assert_eq!(gateway.metrics().counters.upstream_tls_handshakes, 3);
}

fn a_broken_policy_resets_what_ends_here_alone(driver: Driver) {
    let (here, there, authority) =
        (SelfSigned::new(&[HOST]), SelfSigned::new(&["b.example"]), Authority::new());
    let backend = tls_echo(&there, &[]);
    let none = BackendTls { trust: Vec::new(), ..trusting(&authority) };
    let no_room =
        BackendTls { refused_gateways: vec![ObjectName::new("ingress", "gateway")], ..trusting(&authority) };
    for (settings, reason) in [(none, "backend_tls_invalid"), (no_room, "backend_tls_no_room")] {
        let config =
            Config::default().terminate(HOST, &here, &[backend]).passthrough("b.example", &[backend]);
        let gateway = Gateway::start(driver, &config.l4_policy(settings));
        let trusted = testkit::client(&[&here, &there], Versions::New);
        was_reset(testkit::connect(gateway.address, HOST, &trusted));
        assert_eq!(gateway.log_lines(1)[0]["reason"], reason);
        let passed = testkit::connect(gateway.address, "b.example", &trusted).unwrap();
        assert_eq!(line(&mut passed.into_stream()), "b.example");
        assert_eq!(gateway.metrics().counters.tls_handshakes, 0, "none for a connection that is refused");
    }
}

fn connections_of_a_tcp_listener_are_secured(driver: Driver) {
    let authority = Authority::new();
    let backend = tls_echo(&authority.issue(&[NAME]), &[]);
    let gateway = Gateway::start(driver, &Config::to_tcp(&[backend]).l4_policy(trusting(&authority)));
    let mut client = Peer::connect(gateway.address);
    assert_eq!(line(&mut client.0), NAME);
    client.write("\x16\x03\x01 anything");
    assert_eq!(client.read(12), b"\x16\x03\x01 anything");
    client.finish();
    assert_eq!(client.rest().unwrap(), b"");
    assert!(gateway.log_lines(1)[0]["reason"].is_null());
}

fn a_backend_learns_of_its_client_before_the_handshake(driver: Driver) {
    let (identity, authority) = (SelfSigned::new(&[HOST]), Authority::new());
    let server = testkit::server(&authority.issue(&[NAME]), &[]);
    let (give, taken) = channel();
    let give = Mutex::new(give);
    let backend = accepting(move |mut socket| {
        drop(give.lock().unwrap().send(line(&mut socket)));
        drop(testkit::echo(socket, &server));
    });
    let over = BackendProtocol::TcpProxyV1;
    let config = Config::default().terminate_over(over, HOST, &identity, &[backend]);
    let gateway = Gateway::start(driver, &config.l4_policy(trusting(&authority)));
    let mut client = connect(&gateway, &identity);
    assert_eq!(line(&mut client), NAME);
    let (from, to) = (client.sock.local_addr().unwrap(), gateway.address);
    let said = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
    assert_eq!(said, format!("PROXY TCP4 {} {} {} {}\r", from.ip(), to.ip(), from.port(), to.port()));
}

fn the_next_endpoint_is_tried_after_a_failed_handshake(driver: Driver) {
    let (identity, authority) = (SelfSigned::new(&[HOST]), Authority::new());
    let good = tls_echo(&authority.issue(&[NAME]), &[]);
    let bad = tls_echo(&SelfSigned::new(&[NAME]), &[]);
    let config = Config::default().terminate(HOST, &identity, &[bad, refusing(), good]);
    let gateway = Gateway::start(driver, &config.l4_policy(trusting(&authority)));
    for _ in 0..8 {
        assert_eq!(line(&mut connect(&gateway, &identity)), NAME);
    }
    assert!(gateway.metrics().counters.upstream_tls_failures > 0);
}

fn a_backend_that_is_not_trusted_gets_nothing(driver: Driver) {
    let (identity, authority) = (SelfSigned::new(&[HOST]), Authority::new());
    let (backend, taken) = handed_out(&Authority::new());
    let config = Config::default().terminate(HOST, &identity, &[backend]).l4_policy(trusting(&authority));
    let gateway = Gateway::start(driver, &config);
    let settings = testkit::client(&[&identity], Versions::New);
    let outcome = testkit::connect(gateway.address, HOST, &settings).and_then(|client| {
        let mut client = client.into_stream();
        client.write_all(b"secret")?;
        client.read(&mut [0])
    });
    was_reset(outcome);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "upstream_tls_unknown_authority");
    assert_eq!(counted(&gateway, Some("upstream_tls_unknown_authority")), 1);
    assert!(taken.try_recv().is_err(), "its handshake is over");
}

fn either_end_may_finish_first(driver: Driver) {
    let (identity, authority) = (SelfSigned::new(&[HOST]), Authority::new());
    let (backend, taken) = handed_out(&authority);
    let config = Config::default().terminate(HOST, &identity, &[backend]).l4_policy(trusting(&authority));
    let gateway = Gateway::start(driver, &config);
    let finish = |stream: &mut dyn Write| stream.flush().unwrap();
    let mut client = connect(&gateway, &identity);
    let mut backend = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
    client.write_all(b"question").unwrap();
    client.conn.send_close_notify();
    finish(&mut client);
    assert_eq!(io::read_to_string(&mut backend).unwrap(), "question");
    backend.write_all(b"answer").unwrap();
    backend.conn.send_close_notify();
    finish(&mut backend);
    assert_eq!(io::read_to_string(&mut client).unwrap(), "answer");
    let mut client = connect(&gateway, &identity);
    let mut backend = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
    backend.write_all(b"bye").unwrap();
    backend.conn.send_close_notify();
    finish(&mut backend);
    assert_eq!(io::read_to_string(&mut client).unwrap(), "bye");
    client.write_all(b"still here").unwrap();
    client.conn.send_close_notify();
    finish(&mut client);
    assert_eq!(io::read_to_string(&mut backend).unwrap(), "still here");
    let lines = gateway.log_lines(2);
    assert!(lines.iter().all(|line| line["reason"].is_null()), "{lines:?}");
}

/// An end without close_notify may be an attacker's (RFC 8446 section 6.1).
fn content_that_the_backend_cuts_short_is_told_as_such(driver: Driver) {
    let (identity, authority) = (SelfSigned::new(&[HOST]), Authority::new());
    let (backend, taken) = handed_out(&authority);
    let config = Config::default().terminate(HOST, &identity, &[backend]).l4_policy(trusting(&authority));
    let gateway = Gateway::start(driver, &config);
    let mut client = connect(&gateway, &identity);
    let mut backend = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
    backend.write_all(b"half a").unwrap();
    backend.sock.shutdown(std::net::Shutdown::Write).unwrap();
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(is_reset(&error) || error.kind() == io::ErrorKind::UnexpectedEof, "no end in order: {error}");
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_upstream_closed");
}
