//! TLS that ends here, with what is in it for a backend.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use gateway_io::Driver;
use gateway_ir::BackendProtocol;
use gateway_testkit::tls::{self as testkit, SelfSigned, Versions};
use gateway_testkit::wait::WAIT_TIMEOUT;
use tokio_rustls::rustls::crypto::aws_lc_rs::kx_group::{SECP384R1, X25519, X25519MLKEM768};
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::hello::client;
use crate::peer::{accepting, echo, is_reset, refusing, reset};
use crate::support::Gateway;
use crate::support::ir::Config;
use crate::{counted, on_every_driver, was_reset};

on_every_driver![
    content_goes_both_ways,
    no_application_protocol_is_chosen,
    a_client_may_finish_first,
    a_backend_may_finish_first,
    content_that_was_cut_short_is_told_as_such,
    a_backends_reset_reaches_the_client,
    a_client_may_have_to_send_its_hello_again,
    no_handshake_is_made_for_a_connection_that_is_refused,
    a_backend_learns_of_its_client,
];

type Client = StreamOwned<ClientConnection, TcpStream>;

fn connect(gateway: &Gateway, identity: &SelfSigned, versions: Versions) -> Client {
    let settings = testkit::client(&[identity], versions);
    testkit::connect(gateway.address, "a.example", &settings).unwrap().into_stream()
}

fn identity() -> SelfSigned {
    SelfSigned::new(&["a.example"])
}

/// A gateway before a backend whose connections are handed out.
fn handed_out(driver: Driver, identity: &SelfSigned) -> (Gateway, Receiver<TcpStream>) {
    let (give, taken) = channel();
    let give = Mutex::new(give);
    let backend = accepting(move |stream| drop(give.lock().unwrap().send(stream)));
    (Gateway::start(driver, &Config::default().terminate("a.example", identity, &[backend])), taken)
}

fn content_goes_both_ways(driver: Driver) {
    let identity = identity();
    let gateway = Gateway::start(driver, &Config::default().terminate("a.example", &identity, &[echo()]));
    for versions in [Versions::Old, Versions::New] {
        let mut client = connect(&gateway, &identity, versions);
        let said: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
        client.write_all(&said).unwrap();
        let mut back = vec![0; said.len()];
        client.read_exact(&mut back).unwrap();
        assert!(back == said);
        client.conn.send_close_notify();
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "an end in order");
    }
    let lines = gateway.log_lines(2);
    for (line, version) in lines.iter().zip(["1.2", "1.3"]) {
        assert_eq!((&line["protocol"], &line["reason"]), (&"TLS".into(), &serde_json::Value::Null));
        assert_eq!((&line["tls_version"], &line["tls_server_name"]), (&version.into(), &"a.example".into()));
        assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&60_000.into(), &60_000.into()));
    }
    assert_eq!(counted(&gateway, None), 2);
    assert_eq!(gateway.metrics().counters.tls_handshakes, 2);
}

fn no_application_protocol_is_chosen(driver: Driver) {
    let identity = identity();
    let gateway = Gateway::start(driver, &Config::default().terminate("a.example", &identity, &[echo()]));
    let settings = testkit::client(&[&identity], Versions::New);
    for offered in [&[&b"h2"[..], b"http/1.1"][..], &[b"postgresql"]] {
        let settings = testkit::offering(&settings, offered);
        let client = testkit::connect(gateway.address, "a.example", &settings).unwrap();
        assert_eq!(client.stream().conn.alpn_protocol(), None);
    }
}

fn a_client_may_finish_first(driver: Driver) {
    let identity = identity();
    let (gateway, taken) = handed_out(driver, &identity);
    let mut client = connect(&gateway, &identity, Versions::New);
    client.write_all(b"question").unwrap();
    client.conn.send_close_notify();
    client.conn.complete_io(&mut client.sock).unwrap();
    let mut backend = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
    let mut asked = String::new();
    backend.read_to_string(&mut asked).unwrap();
    assert_eq!(asked, "question");
    // Only then does the response begin.
    backend.write_all(b"answer").unwrap();
    drop(backend);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    assert_eq!(gateway.log_lines(1)[0]["reason"], serde_json::Value::Null);
}

fn a_backend_may_finish_first(driver: Driver) {
    let identity = identity();
    let (gateway, taken) = handed_out(driver, &identity);
    let mut client = connect(&gateway, &identity, Versions::New);
    let mut backend = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
    backend.write_all(b"bye").unwrap();
    backend.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert_eq!(said, "bye");
    client.write_all(b"still here").unwrap();
    client.conn.send_close_notify();
    client.conn.complete_io(&mut client.sock).unwrap();
    let mut got = String::new();
    backend.read_to_string(&mut got).unwrap();
    assert_eq!(got, "still here");
    assert_eq!(gateway.log_lines(1)[0]["reason"], serde_json::Value::Null);
}

/// An end without close_notify may be an attacker's (RFC 8446 section 6.1).
fn content_that_was_cut_short_is_told_as_such(driver: Driver) {
    let identity = identity();
    let (gateway, taken) = handed_out(driver, &identity);
    let mut client = connect(&gateway, &identity, Versions::New);
    client.write_all(b"half a").unwrap();
    client.sock.shutdown(std::net::Shutdown::Write).unwrap();
    let mut backend = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
    let error = backend.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(is_reset(&error), "{error}");
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_closed");
}

fn a_backends_reset_reaches_the_client(driver: Driver) {
    let identity = identity();
    let (gateway, taken) = handed_out(driver, &identity);
    let mut client = connect(&gateway, &identity, Versions::New);
    reset(taken.recv_timeout(WAIT_TIMEOUT).unwrap());
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(is_reset(&error), "no end in order: {error}");
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_upstream_closed");
}

/// A client whose first key share is of a group that is not spoken here sends a second ClientHello.
fn a_client_may_have_to_send_its_hello_again(driver: Driver) {
    let identity = identity();
    let gateway = Gateway::start(driver, &Config::default().terminate("a.example", &identity, &[echo()]));
    for groups in [&[X25519, SECP384R1][..], &[SECP384R1, X25519], &[X25519MLKEM768, X25519]] {
        let settings = client(&[&identity], groups);
        let mut client = testkit::connect(gateway.address, "a.example", &settings).unwrap().into_stream();
        client.write_all(b"x").unwrap();
        let mut back = [0];
        client.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"x");
    }
}

fn no_handshake_is_made_for_a_connection_that_is_refused(driver: Driver) {
    let identity = identity();
    for (addresses, handshakes, reason) in
        [(vec![], 0, "no_endpoints"), (vec![refusing()], 1, "upstream_connect_failed")]
    {
        let config = Config::default().terminate("a.example", &identity, &addresses);
        let gateway = Gateway::start(driver, &config);
        let settings = testkit::client(&[&identity], Versions::New);
        let outcome = testkit::connect(gateway.address, "a.example", &settings);
        // That no endpoint takes a connection is known when it is tried, for a client whose handshake is made.
        was_reset(outcome.map(|client| client.into_stream().read(&mut [0])).and_then(|read| read));
        assert_eq!(gateway.log_lines(1)[0]["reason"], reason);
        assert_eq!(gateway.metrics().counters.tls_handshakes, handshakes, "{reason}");
    }
}

fn a_backend_learns_of_its_client(driver: Driver) {
    let identity = identity();
    let (give, taken) = channel();
    let give = Mutex::new(give);
    let backend = accepting(move |mut stream| {
        let mut line = [0; 107];
        let n = stream.read(&mut line).unwrap();
        drop(give.lock().unwrap().send(String::from_utf8_lossy(&line[..n]).into_owned()));
    });
    let config =
        Config::default().terminate_over(BackendProtocol::TcpProxyV1, "a.example", &identity, &[backend]);
    let gateway = Gateway::start(driver, &config);
    // It says nothing by itself: the header does not wait for it.
    let client = connect(&gateway, &identity, Versions::New);
    let (from, to) = (client.sock.local_addr().unwrap(), gateway.address);
    let said = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
    assert_eq!(said, format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port()));
    drop(client);
}
