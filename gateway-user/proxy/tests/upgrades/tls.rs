//! Tunnels whose clients come over TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use bytes::Bytes;
use gateway_io::Driver;
use gateway_testkit::tls::{SelfSigned, Versions, client, secured};

use crate::http2::{connect, first_then, informed, is_at_end, open, read};
use crate::on_every_driver;
use crate::peers::{ACCEPT, echo, handshake};
use crate::support::Gateway;
use crate::support::ir::{Config, tls};

on_every_driver![a_handshake_over_tls_becomes_a_tunnel, a_stream_over_tls_becomes_a_tunnel,];

/// Several records of TLS, and more than a window.
const LEN: usize = 300_000;

fn a_handshake_over_tls_becomes_a_tunnel(driver: Driver) {
    let (identity, backend) = (SelfSigned::new(&["a.example"]), echo());
    let config = Config { tls: Some(tls(&identity)), ..Config::to(backend.address()) };
    let gateway = Gateway::start(driver, &config);
    for versions in [Versions::Old, Versions::New] {
        let socket = TcpStream::connect(gateway.address).unwrap();
        let mut stream = secured(socket, "a.example", &client(&[&identity], versions)).unwrap();
        stream.write_all(handshake("/").as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
        for round in [b"there".repeat(1_000), b"and back".repeat(1_000)] {
            stream.write_all(&round).unwrap();
            let mut back = vec![0; round.len()];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, round);
        }
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    }
    gateway.until("their end", |counters| counters.tunnels == 0 && counters.tunnel_bytes_sent == 26_000);
}

fn a_stream_over_tls_becomes_a_tunnel(driver: Driver) {
    let identity = SelfSigned::new(&["a.example"]);
    let backend = first_then(|exchange| {
        let mut piece = Vec::new();
        while let Ok(Some(byte)) = exchange.byte() {
            piece.push(byte);
            if piece.len() == LEN / 10 {
                exchange.stream.write_all(&std::mem::take(&mut piece)).unwrap();
            }
        }
    });
    let config = Config { tls: Some(tls(&identity)), ..Config::to(backend.address()) };
    let gateway = Gateway::start(driver, &config);
    crate::client::secured(&gateway, "a.example", &identity, |client| async move {
        let client = informed(client).await;
        let mut request = connect("websocket");
        *request.uri_mut() = "https://a.example/chat?x=1".parse().unwrap();
        let (response, mut stream) = open(&client, request).await;
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        for n in 0..10_u8 {
            stream.send_data(vec![n; LEN / 10].into(), false).unwrap();
            let back = read(&mut body, LEN / 10).await;
            assert!(back.len() == LEN / 10 && back.iter().all(|byte| *byte == n));
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(is_at_end(&mut body).await);
    });
    gateway
        .until("its end", |counters| counters.tunnels == 0 && counters.tunnel_bytes_received == LEN as u64);
}
