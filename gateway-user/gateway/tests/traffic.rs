//! Traffic that is slow, broken or plentiful, through the whole gateway.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use common::{HTTP, get, with_gateway, with_gateway_flags};
use gateway_testkit::http::Client;

fn client() -> Client {
    Client::connect(HTTP.parse().unwrap()).unwrap()
}

#[test]
fn a_slow_client_is_served_and_a_stalled_one_is_told() {
    with_gateway_flags("slow", &["--client-header-timeout", "1s"], |_, _| {
        let mut slow = client();
        for byte in b"GET /httpbin/get HTTP/1.1\r\nHost: a\r\n\r\n" {
            slow.send([*byte]).unwrap();
            thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(slow.response().unwrap().status, 200);
        let mut stalled = client();
        stalled.send("GET /httpbin/get HTTP/1.1\r\nHo").unwrap();
        let response = stalled.response().unwrap();
        assert_eq!(response.status, 408);
        assert!(response.reason().is_some() && stalled.at_end().unwrap());
        let mut reader = client();
        reader.send("GET /httpbin/bytes/1000000 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(reader.response().unwrap().body.len(), 1_000_000);
    });
}

#[test]
fn a_backend_that_dies_within_a_body_is_never_taken_for_a_whole_answer() {
    with_gateway("dies", |_, running| {
        let dying = TcpListener::bind("127.0.0.1:8001").unwrap();
        thread::spawn(move || {
            for stream in dying.incoming().map_while(Result::ok) {
                die_within_a_body(stream);
            }
        });
        running.edit("team2-httpbin.yaml", "port: 8000\n    protocol: TCP", "port: 8001\n    protocol: TCP");
        gateway_testkit::wait::until("the dying backend", || {
            let mut client = client();
            client.send("GET /httpbin/length HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
            // An error here is what is waited for: the connection ends before the 100 bytes
            // that were promised.
            client.response().is_err().then_some(())
        });
        // Another worker may use the backend before for a moment, whose response is whole.
        gateway_testkit::wait::until("a chunked body without its end to be no response", || {
            let mut chunked = client();
            chunked.send("GET /httpbin/chunked HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
            chunked.response().is_err().then_some(())
        });
        running.gateway.wait_for_output("upstream_body_truncated");
    });
}

fn die_within_a_body(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let response: &[u8] = match text.contains("/chunked") {
        true => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n",
        false => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789",
    };
    let _ = stream.write_all(response);
    let _ = stream.shutdown(Shutdown::Both);
}

#[test]
fn malformed_requests_are_answered_and_closed_and_hurt_nobody() {
    with_gateway("malformed", |_, _| {
        let mut neighbour = client();
        assert_eq!(neighbour.get("a", "/httpbin/get").unwrap().status, 200);
        let cases: &[(&str, u16)] = &[
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
            ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
            ("nonsense\r\n\r\n", 400),
        ];
        for (bytes, status) in cases {
            let mut client = client();
            client.send(bytes).unwrap();
            let response = client.response().unwrap_or_else(|e| panic!("{bytes:?}: {e}"));
            assert_eq!(response.status, *status, "{bytes:?}: {response:?}");
            assert!(response.reason().is_some(), "{bytes:?}");
            assert!(client.at_end().unwrap(), "{bytes:?}: still open");
        }
        let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
        let mut client = client();
        let _ = client.send(large);
        assert_eq!(client.response().unwrap().status, 431);
        assert_eq!(neighbour.get("a", "/httpbin/get").unwrap().status, 200);
    });
}

#[test]
fn five_thousand_connections_are_answered_at_once() {
    // All of them ask the one backend there is, whose queue of new connections is shorter.
    let flags = &[
        "--upstream-max-requests",
        "5000",
        "--upstream-max-pending",
        "5000",
        "--upstream-connect-timeout",
        "60s",
    ];
    with_gateway_flags("5000", flags, |_, _| {
        let mut clients: Vec<Client> = (0..5_000).map(|_| client()).collect();
        for client in &mut clients {
            client.send("GET /httpbin/get HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        }
        for client in &mut clients {
            let response = client.response().unwrap();
            assert_eq!((response.status, response.reason()), (200, None), "{}", response.text());
        }
        assert!(common::metric("sluice_connections", &[]) >= 5_000.0, "{}", common::metrics());
        for client in &mut clients {
            assert_eq!(client.get("a", "/httpbin/status/204").unwrap().status, 204);
        }
    });
}

#[test]
fn bodies_stream_both_ways() {
    with_gateway("bodies", |_, _| {
        let body: Vec<u8> = (0..300_000u32).map(|n| b'a' + (n % 26) as u8).collect();
        let mut client = client();
        client
            .send(format!(
                "POST /httpbin/anything HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                body.len()
            ))
            .unwrap();
        client.send(&body).unwrap();
        let response = client.response().unwrap();
        let echoed: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(echoed["data"].as_str().map(str::as_bytes), Some(body.as_slice()));
        client
            .send("POST /httpbin/anything HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        for part in body.chunks(7_001) {
            client.send(format!("{:x}\r\n", part.len())).unwrap();
            client.send(part).unwrap();
            client.send("\r\n").unwrap();
        }
        client.send("0\r\n\r\n").unwrap();
        let response = client.response().unwrap();
        let echoed: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(echoed["data"].as_str().map(str::as_bytes), Some(body.as_slice()));
        let streamed = client.get("a", "/httpbin/stream/20").unwrap();
        assert_eq!(streamed.text().lines().count(), 20);
        assert_eq!(get("/httpbin/bytes/2000000").unwrap().body.len(), 2_000_000);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    with_gateway("pipeline", |_, _| {
        let mut client = client();
        let all: String =
            (0..20).map(|n| format!("GET /httpbin/anything/{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        client.send(all).unwrap();
        for n in 0..20 {
            let response = client.response().unwrap();
            assert!(response.text().contains(&format!("/anything/{n}\"")), "{n}: {}", response.text());
        }
    });
}
