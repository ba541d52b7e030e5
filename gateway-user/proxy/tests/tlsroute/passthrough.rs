//! TLS that is passed through: the backend gets what the client sends, from the first byte on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use gateway_http::proxy_header::{Parsed, parse};
use gateway_io::Driver;
use gateway_ir::{BackendProtocol, RuleErrorKind};
use gateway_testkit::tls::{self as testkit, SelfSigned, Versions};
use gateway_testkit::wait::WAIT_TIMEOUT;
use tokio_rustls::rustls::crypto::aws_lc_rs::kx_group::{SECP384R1, X25519};

use crate::hello::{client, hello, in_records, tls_echo};
use crate::peer::{Peer, accepting, is_reset, refusing};
use crate::support::Gateway;
use crate::support::ir::Config;
use crate::{counted, on_every_driver, was_reset};

on_every_driver![
    bytes_arrive_as_they_were_sent,
    a_hello_may_come_in_any_pieces,
    the_backend_makes_the_handshake,
    a_second_hello_is_passed_on,
    either_end_may_finish_first,
    a_reset_is_told_as_one,
    shares_are_those_of_the_weights,
    a_backend_that_is_not_there_is_told_by_a_reset,
    a_backend_learns_of_its_client,
];

/// A backend that hands over everything up to the client's end, after `reply`.
fn collecting(reply: &'static [u8]) -> (SocketAddr, Receiver<Vec<u8>>) {
    let (give, taken) = channel();
    let give = Mutex::new(give);
    let address = accepting(move |mut stream| {
        let mut all = Vec::new();
        let _ = stream.write_all(reply).and_then(|()| stream.read_to_end(&mut all));
        drop(give.lock().unwrap().send(all));
    });
    (address, taken)
}

fn bytes_arrive_as_they_were_sent(driver: Driver) {
    let (backend, taken) = collecting(b"");
    let gateway = Gateway::start(driver, &Config::default().passthrough("a.example", &[backend]));
    let mut sent = hello("a.example");
    let mut client = Peer::connect(gateway.address);
    // The bytes right behind it are no TLS, which is not for the gateway to judge.
    sent.extend_from_slice(b"\x17\x03\x03 and more");
    sent.extend((0..100_000_u32).map(|n| (n % 251) as u8));
    client.write(&sent);
    client.finish();
    assert_eq!(taken.recv_timeout(WAIT_TIMEOUT).unwrap(), sent);
    assert_eq!(client.rest().unwrap(), b"");
    let line = gateway.log_lines(1).remove(0);
    assert_eq!((&line["protocol"], &line["reason"]), (&"TLS".into(), &serde_json::Value::Null));
    assert_eq!(line["tls_server_name"], "a.example");
    assert_eq!(line["tls_version"], serde_json::Value::Null);
    assert_eq!(
        (&line["listener"], &line["route_name"]),
        (&"ingress/gateway/a.example".into(), &"apps/a.example".into())
    );
    assert_eq!(line["bytes_received"], sent.len());
    assert_eq!(counted(&gateway, None), 1);
    let counters = gateway.metrics().counters;
    assert_eq!((counters.tls_handshakes, counters.tunnel_bytes_received), (0, sent.len() as u64));
}

fn a_hello_may_come_in_any_pieces(driver: Driver) {
    let (backend, taken) = collecting(b"");
    let gateway = Gateway::start(driver, &Config::default().passthrough("a.example", &[backend]));
    let whole = hello("a.example");
    for (record, segment) in [(1, 500), (3, 7), (100, 1), (10_000, 1), (40, 40)] {
        let sent = in_records(&whole, record);
        let mut client = Peer::connect(gateway.address);
        for piece in sent.chunks(segment) {
            client.write(piece);
        }
        client.finish();
        let got = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
        assert_eq!(got, sent, "records of {record}, segments of {segment}");
    }
}

fn the_backend_makes_the_handshake(driver: Driver) {
    let identity = SelfSigned::new(&["a.example"]);
    let gateway =
        Gateway::start(driver, &Config::default().passthrough("a.example", &[tls_echo(&identity, &[])]));
    for versions in [Versions::Old, Versions::New] {
        let settings = testkit::client(&[&identity], versions);
        let client = testkit::connect(gateway.address, "A.Example", &settings).unwrap();
        assert_eq!(testkit::shown(&client).unwrap(), identity.der());
        let mut stream = client.into_stream();
        stream.write_all(b"content").unwrap();
        let mut back = [0; 17];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"a.example\ncontent");
        stream.conn.send_close_notify();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "and an end in order");
    }
}

/// The client's first share is of a group that the backend does not take (RFC 8446 section 4.1.4).
fn a_second_hello_is_passed_on(driver: Driver) {
    let identity = SelfSigned::new(&["a.example"]);
    let backend = tls_echo(&identity, &[SECP384R1]);
    let gateway = Gateway::start(driver, &Config::default().passthrough("a.example", &[backend]));
    let settings = client(&[&identity], &[X25519, SECP384R1]);
    let client = testkit::connect(gateway.address, "a.example", &settings).unwrap();
    let mut stream = client.into_stream();
    let kind = stream.conn.handshake_kind().unwrap();
    assert_eq!(format!("{kind:?}"), "FullWithHelloRetryRequest");
    let mut back = [0; 10];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"a.example\n");
}

fn either_end_may_finish_first(driver: Driver) {
    let (backend, taken) = collecting(b"from the backend");
    let gateway = Gateway::start(driver, &Config::default().passthrough("a.example", &[backend]));
    let mut client = Peer::connect(gateway.address);
    let sent = hello("a.example");
    client.write(&sent);
    assert_eq!(client.read(16), b"from the backend");
    client.finish();
    assert_eq!(taken.recv_timeout(WAIT_TIMEOUT).unwrap(), sent);
    assert_eq!(client.rest().unwrap(), b"");

    let finished = accepting(|stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = (&stream).read_to_end(&mut Vec::new());
    });
    let gateway = Gateway::start(driver, &Config::default().passthrough("a.example", &[finished]));
    let mut client = Peer::connect(gateway.address);
    client.write(&sent);
    assert_eq!(client.rest().unwrap(), b"", "the backend's end, while the client goes on");
    client.write("more");
    client.finish();
    assert_eq!(gateway.log_lines(1)[0]["reason"], serde_json::Value::Null);
}

fn a_reset_is_told_as_one(driver: Driver) {
    let backend = accepting(|mut stream| {
        let _ = stream.read(&mut [0; 64]);
        crate::peer::reset(stream);
    });
    let gateway = Gateway::start(driver, &Config::default().passthrough("a.example", &[backend]));
    let mut client = Peer::connect(gateway.address);
    client.write(hello("a.example"));
    assert!(is_reset(&client.rest().unwrap_err()));
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_upstream_closed");
}

/// A backend that reads something and says its name.
fn named(name: &'static str) -> SocketAddr {
    accepting(move |mut stream| {
        let mut bytes = [0; 16 * 1024];
        let _ = stream.read(&mut bytes);
        drop(stream.write_all(name.as_bytes()));
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

fn shares_are_those_of_the_weights(driver: Driver) {
    let config = Config::default()
        .passthrough("a.example", &[named("a")])
        .also(1, "b", &[named("b")])
        .also(0, "c", &[named("c")])
        .also_broken(1, RuleErrorKind::BackendNotFound);
    let gateway = Gateway::start(driver, &config);
    let hello = hello("a.example");
    let mut seen = [0_u32; 4];
    for _ in 0..300 {
        let mut client = Peer::connect(gateway.address);
        client.write(&hello);
        match client.read_one() {
            Ok(Some(b'a')) => seen[0] += 1,
            Ok(Some(b'b')) => seen[1] += 1,
            Err(error) if is_reset(&error) => seen[3] += 1,
            other => panic!("{other:?}"),
        }
        // It may be gone already.
        let _ = client.0.shutdown(Shutdown::Write);
    }
    // A third each, within six times the deviation of 300 draws.
    assert!(seen[2] == 0 && [seen[0], seen[1], seen[3]].iter().all(|n| (52..=148).contains(n)), "{seen:?}");
    assert_eq!(counted(&gateway, Some("backend_not_found")), u64::from(seen[3]));
}

fn a_backend_that_is_not_there_is_told_by_a_reset(driver: Driver) {
    for (addresses, reason) in [(vec![], "no_endpoints"), (vec![refusing()], "upstream_connect_failed")] {
        let gateway = Gateway::start(driver, &Config::default().passthrough("a.example", &addresses));
        let settings = testkit::client(&[], Versions::New);
        was_reset(testkit::connect(gateway.address, "a.example", &settings));
        let line = gateway.log_lines(1).remove(0);
        assert_eq!((&line["reason"], &line["tls_server_name"]), (&reason.into(), &"a.example".into()));
        assert_eq!(counted(&gateway, Some(reason)), 1);
    }
}

fn a_backend_learns_of_its_client(driver: Driver) {
    for protocol in [BackendProtocol::TcpProxyV1, BackendProtocol::TcpProxyV2] {
        let (backend, taken) = collecting(b"");
        let config = Config::default().passthrough_over(protocol, "a.example", &[backend]);
        let gateway = Gateway::start(driver, &config);
        let mut client = Peer::connect(gateway.address);
        let sent = hello("a.example");
        client.write(&sent);
        client.finish();
        let got = taken.recv_timeout(WAIT_TIMEOUT).unwrap();
        let Parsed::Complete { consumed, source } = parse(&got).unwrap() else { panic!("no header") };
        let source = source.unwrap();
        assert_eq!((source.client, source.destination), (client.local(), gateway.address), "{protocol:?}");
        assert_eq!(got[consumed..], sent, "{protocol:?}");
    }
}
