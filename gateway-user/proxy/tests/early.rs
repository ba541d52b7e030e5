//! Responses that come before their request's end.

mod support;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::http::{Client, is_silent};
use gateway_testkit::wait::until;
use support::Gateway;
use support::backend::Backend;
use support::ir::{Config, forward};

on_every_driver![
    a_local_reply_waits_for_a_client_that_writes_first,
    an_early_response_waits_and_its_backend_gets_the_rest,
    a_backend_that_responds_and_closes_is_heard,
    a_long_response_comes_while_nobody_wants_the_request,
    a_request_that_came_whole_keeps_its_connection,
    a_silent_client_is_not_waited_for,
    room_is_made_for_new_clients,
];

/// Far more than the buffers of sockets hold, so that a client that is not read from stays in its write.
const LONG: usize = 24 << 20;

/// Sends a request with a body of `LONG` bytes, all of it before anything is read.
fn upload(client: &mut Client, target: &str, chunked: bool) {
    let framing = if chunked { "Transfer-Encoding: chunked" } else { &format!("Content-Length: {LONG}") };
    client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")).unwrap();
    let piece = vec![b'z'; 1 << 20];
    for _ in 0..LONG / piece.len() {
        if chunked {
            client.send(format!("{:x}\r\n", piece.len())).unwrap();
        }
        client.send(&piece).unwrap();
        if chunked {
            client.send("\r\n").unwrap();
        }
    }
    if chunked {
        client.send("0\r\n\r\n").unwrap();
    }
}

fn a_local_reply_waits_for_a_client_that_writes_first(driver: Driver) {
    let gateway = Gateway::start(driver, &Config::default().rule(forward("/none", "none")));
    for (target, status) in [("/other", 404), ("/none", 503)] {
        for chunked in [false, true] {
            let mut client = gateway.connect();
            upload(&mut client, target, chunked);
            let response = client.response().unwrap();
            assert_eq!((response.status, response.header("connection")), (status, Some("close")));
            assert!(client.at_end().unwrap(), "closed in order once the request was at its end");
        }
    }
}

fn an_early_response_waits_and_its_backend_gets_the_rest(driver: Driver) {
    let received = Arc::new(AtomicUsize::new(0));
    let count = received.clone();
    let backend = Backend::start(move |mut exchange| {
        exchange.stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").unwrap();
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = exchange.stream.read(&mut buffer) {
            count.fetch_add(read, Ordering::SeqCst);
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    for chunked in [false, true] {
        received.store(0, Ordering::SeqCst);
        let mut client = gateway.connect();
        upload(&mut client, "/", chunked);
        assert_eq!(client.response().unwrap().text(), "no");
        assert!(client.at_end().unwrap());
        until("the backend to have the request", || (received.load(Ordering::SeqCst) > LONG).then_some(()));
    }
    assert_eq!(backend.accepted(), 2, "such a connection carries no other request");
}

fn a_backend_that_responds_and_closes_is_heard(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        exchange
            .stream
            .write_all(
                b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch",
            )
            .unwrap();
        // Closed with unread bytes: the gateway's sends are reset.
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    for chunked in [false, true] {
        let mut client = gateway.connect();
        upload(&mut client, "/", chunked);
        let response = client.response().unwrap();
        assert_eq!((response.status, response.text().as_str()), (413, "much"));
    }
}

fn a_long_response_comes_while_nobody_wants_the_request(driver: Driver) {
    let (over, ended) = channel::<()>();
    let ended = Mutex::new(ended);
    let backend = Backend::start(move |mut exchange| {
        // It reads nothing, has much to say, and stays.
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
        exchange.stream.write_all(head.as_bytes()).unwrap();
        exchange.stream.write_all(&vec![b'r'; LONG]).unwrap();
        let _ = ended.lock().unwrap().recv();
    });
    let timeouts = Timeouts { upstream_idle_body: Duration::from_millis(300), ..Timeouts::default() };
    let config = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), config);
    let mut client = gateway.connect();
    upload(&mut client, "/", false);
    assert_eq!(client.response().unwrap().body.len(), LONG);
    over.send(()).unwrap();
}

fn a_request_that_came_whole_keeps_its_connection(driver: Driver) {
    let gateway = Gateway::start(driver, &Config::default());
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").unwrap();
        assert_eq!(client.response().unwrap().status, 404);
    }
}

fn a_silent_client_is_not_waited_for(driver: Driver) {
    let gateway = Gateway::start(driver, &Config::default());
    let mut client = gateway.connect();
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc").unwrap();
    assert_eq!(client.response().unwrap().status, 404);
    gateway.until("the connection to be read on from", |counters| counters.lingering == 1);
    assert!(client.at_end().unwrap(), "closed in order");
    gateway.until("it to be over", |counters| counters.lingering == 0 && counters.connections == 0);
}

fn room_is_made_for_new_clients(driver: Driver) {
    let gateway = Gateway::with(
        driver,
        &Config::default(),
        ProxyConfig { max_connections: 5, ..ProxyConfig::default() },
    );
    let sending = Arc::new(AtomicBool::new(true));
    let mut clients: Vec<_> = (0..4).map(|_| gateway.connect()).collect();
    for client in &mut clients[..3] {
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert_eq!(client.response().unwrap().status, 404);
    }
    // One that never ends its request, and is never slow.
    let mut stream = clients[0].stream().try_clone().unwrap();
    let go_on = sending.clone();
    let writer = thread::spawn(move || {
        while go_on.load(Ordering::SeqCst) && stream.write_all(b"400\r\n").is_ok() {
            let _ = stream.write_all(&[b'x'; 1024]).and_then(|()| stream.write_all(b"\r\n"));
            thread::sleep(Duration::from_millis(20));
        }
    });
    gateway.until("three to be read on from", |counters| counters.lingering == 3);
    assert!(is_silent(&clients[3], Duration::from_millis(50)).unwrap());
    // That fills it.
    clients.push(gateway.connect());
    gateway.until("five connections", |counters| counters.connections == 5);
    let mut new = gateway.connect();
    new.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(new.response().is_ok(), "a place was made");
    assert_eq!(clients[3].get("a", "/").unwrap().status, 404, "who is served is left alone");
    sending.store(false, Ordering::SeqCst);
    writer.join().unwrap();
}
