//! Backends that refuse, reset, break off, or speak something else.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use gateway_io::Driver;
use gateway_testkit::http::Client;
use gateway_testkit::http2::frames;
use h2::Reason;
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::asked;
use crate::client::{ask, connected, get, send};
use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::backend::Backend;
use crate::support::h2_backend::{Exchange, H2Backend};
use crate::support::ir::Config;

on_every_driver![
    a_refused_request_is_sent_again,
    a_refused_body_is_sent_again_if_it_is_short,
    a_connection_that_ends_loses_no_request_on_its_way,
    a_reset_stream_ends_its_request_alone,
    a_response_that_breaks_off_is_not_taken_for_whole,
    a_backend_over_http_1_is_found_out,
    a_connection_that_is_lost_is_not_used_again,
    a_malformed_response_has_its_reason,
    a_flooding_backend_loses_its_connection,
    a_client_that_leaves_resets_its_stream_alone,
    nobody_there_is_told_to_all_who_wait,
];

fn reason(response: &gateway_testkit::http::Response) -> (u16, Option<&str>) {
    (response.status, response.header("x-sluice-reason"))
}

fn a_refused_request_is_sent_again(driver: Driver) {
    let backend = H2Backend::start(|mut exchange: Exchange| async move {
        let path = exchange.request.uri().path();
        if path == "/never" || (exchange.connection == 0 && path != "/first") {
            return exchange.response.send_reset(Reason::REFUSED_STREAM);
        }
        exchange.ok("taken").await;
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Client::connect(gateway.address).unwrap();
    assert_eq!(asked(&mut client, "GET /first HTTP/1.1\r\nHost: a\r\n\r\n").text(), "taken");
    // Not looked at, so that it may be sent again whatever it asks for.
    let post = asked(&mut client, "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.text(), "taken");
    assert_eq!(backend.accepted(), 2);
    gateway.until("one retry", |counters| counters.upstream_retries == 1);
    // The connection that refuses is the last choice from then on.
    assert_eq!(asked(&mut client, "GET /third HTTP/1.1\r\nHost: a\r\n\r\n").text(), "taken");
    assert_eq!(backend.accepted(), 2);
    // Once.
    let never = asked(&mut client, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(reason(&never), (502, Some("upstream_reset")));
    gateway.until("two retries", |counters| counters.upstream_retries == 2);
}

/// Refuses each path once, then tells how long the body was.
fn refuses_once() -> H2Backend {
    let seen = Mutex::new(HashSet::new());
    H2Backend::start(move |mut exchange: Exchange| {
        let is_new = seen.lock().unwrap().insert(exchange.request.uri().path().to_owned());
        async move {
            if is_new {
                return exchange.response.send_reset(Reason::REFUSED_STREAM);
            }
            let Some((body, _)) = exchange.body().await else { return };
            exchange.ok(body.len().to_string()).await;
        }
    })
}

fn a_refused_body_is_sent_again_if_it_is_short(driver: Driver) {
    let backend = refuses_once();
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let post = |path: &str, len: usize| {
        let mut client = Client::connect(gateway.address).unwrap();
        let body = "x".repeat(len);
        asked(&mut client, &format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{body}"))
    };
    assert_eq!(post("/short", 3).text(), "3");
    assert_eq!(post("/kept", 16 * 1024).text(), "16384");
    assert_eq!(reason(&post("/long", 16 * 1024 + 1)), (502, Some("upstream_reset")));
    let chunked = asked(
        &mut Client::connect(gateway.address).unwrap(),
        "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    assert_eq!(chunked.text(), "5");
    let retries = gateway.metrics().counters.upstream_retries;
    assert_eq!(retries, 3);
    connected(&gateway, |mut client| async move {
        let post = |path: &str| http::Request::post(format!("http://a.example{path}")).body(()).unwrap();
        let whole = send(&mut client, post("/pieces"), &[b"abc", b"de"], None).await.unwrap();
        assert_eq!(whole.text(), "5");
        // The log has the length of what was sent in the end.
        assert_eq!(send(&mut client, post("/pieces"), &[b"a"], None).await.unwrap().text(), "1");
    });
    let lines = gateway.log_lines(6);
    let received: Vec<_> = lines.iter().map(|line| line["bytes_received"].as_u64().unwrap()).collect();
    assert_eq!((received[0], received[1], received[3], received[4], received[5]), (3, 16_384, 5, 5, 1));
}

/// The end of a connection that a backend announces while requests are on their way to it.
fn a_connection_that_ends_loses_no_request_on_its_way(driver: Driver) {
    let backend = H2Backend::raw(|| {
        |mut stream: TcpStream, number| async move {
            if number == 0 {
                // Takes a whole request, and says that it has looked at none.
                let _ = stream.write_all(&frames::settings(&[])).await;
                let mut received = Vec::new();
                while !received.windows(5).any(|bytes| bytes == b"hello") {
                    if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let _ = stream.write_all(&frames::frame(frames::GOAWAY, 0, 0, &[0; 8])).await;
                let _ = stream.shutdown().await;
                while stream.read_buf(&mut received).await.unwrap_or(0) > 0 {}
                return;
            }
            let mut streams = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, response))) = streams.accept().await {
                tokio::task::spawn_local(async move {
                    let mut exchange = Exchange { request, response, connection: number };
                    let Some((body, _)) = exchange.body().await else { return };
                    exchange.ok(body).await;
                });
            }
        }
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Client::connect(gateway.address).unwrap();
    let post = asked(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(post.text(), "hello");
    gateway.until("one retry", |counters| counters.upstream_retries == 1);
    let next = asked(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(next.text(), "hi", "the connection serves on");
}

fn a_reset_stream_ends_its_request_alone(driver: Driver) {
    let backend = H2Backend::start(|mut exchange: Exchange| async move {
        match exchange.request.uri().path() {
            "/reset" => exchange.response.send_reset(Reason::INTERNAL_ERROR),
            "/503" => {
                let response = Response::builder().status(503).body(()).unwrap();
                let _ = exchange.response.send_response(response, true);
            }
            _ => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                exchange.ok("fine").await;
            }
        }
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    connected(&gateway, |mut client| async move {
        ask(&mut client, get("/fine")).await.unwrap();
        let mut other = client.clone();
        let asking = tokio::spawn(async move { ask(&mut other, get("/fine")).await });
        let reset = ask(&mut client, get("/reset")).await.unwrap();
        assert_eq!((reset.status.as_u16(), reset.header("x-sluice-reason")), (502, Some("upstream_reset")));
        assert_eq!(ask(&mut client, get("/503")).await.unwrap().status, 503);
        assert_eq!(asking.await.unwrap().unwrap().text(), "fine");
    });
    assert_eq!(backend.accepted(), 1);
}

fn a_response_that_breaks_off_is_not_taken_for_whole(driver: Driver) {
    let backend = H2Backend::start(|mut exchange: Exchange| async move {
        let mut stream = exchange.response.send_response(Response::new(()), false).unwrap();
        stream.send_data("part".into(), false).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.send_reset(Reason::CANCEL);
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    connected(&gateway, |mut client| async move {
        assert!(ask(&mut client, get("/")).await.is_err());
    });
    let mut client = Client::connect(gateway.address).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(client.response().is_err(), "a cut looked like the end");
    let line = gateway.log_lines(1).remove(0);
    assert_eq!(line["reason"], "upstream_body_truncated");
}

fn a_backend_over_http_1_is_found_out(driver: Driver) {
    let backend = Backend::named("old");
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let response = asked(&mut Client::connect(gateway.address).unwrap(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(reason(&response), (502, Some("upstream_protocol_error")));
}

fn a_connection_that_is_lost_is_not_used_again(driver: Driver) {
    // Serves one request on each connection, and closes it without a word.
    let backend = H2Backend::raw(|| {
        |stream: TcpStream, _| async move {
            let mut streams = h2::server::handshake(stream).await.unwrap();
            let Some(Ok((request, response))) = streams.accept().await else { return };
            let exchange = Exchange { request, response, connection: 0 };
            let closing = tokio::time::sleep(Duration::from_millis(100));
            tokio::select! {
                () = async { exchange.ok("once").await; std::future::pending().await } => {}
                _ = async { while streams.accept().await.is_some() {} } => {}
                () = closing => {}
            }
        }
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Client::connect(gateway.address).unwrap();
    for _ in 0..4 {
        assert_eq!(asked(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "once");
        std::thread::sleep(Duration::from_millis(150));
    }
    assert_eq!(backend.accepted(), 4);
}

fn a_malformed_response_has_its_reason(driver: Driver) {
    let backend = H2Backend::start(|mut exchange: Exchange| async move {
        let (name, value) = exchange.request.uri().path()[1..].split_once('/').unwrap();
        let response = Response::builder().header(name, value.replace('_', " ")).body(()).unwrap();
        let _ = exchange.response.send_response(response, true);
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Client::connect(gateway.address).unwrap();
    let mut ask = |path: &str| {
        let response = asked(&mut client, &format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        (response.status, response.header("x-sluice-reason").map(str::to_owned))
    };
    let long = format!("x-a/{}", "v".repeat(4000));
    assert_eq!(ask(&long), (200, None));
    assert_eq!(ask("x-a/_b"), (502, Some("backend_bad_header_value".to_owned())));
    assert_eq!(ask("content-length/x"), (502, Some("upstream_protocol_error".to_owned())));
    assert_eq!(ask("x-a/fine"), (200, None));
}

fn a_flooding_backend_loses_its_connection(driver: Driver) {
    let backend = H2Backend::raw(|| {
        |mut stream: TcpStream, _| async move {
            let flood = frames::frame(frames::PING, 0, 0, &[0; 8]).repeat(1000);
            if stream.write_all(&frames::settings(&[])).await.is_err() {
                return;
            }
            while stream.write_all(&flood).await.is_ok() {
                let mut some = [0; 65536];
                let _ = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut some)).await;
            }
        }
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let response = asked(&mut Client::connect(gateway.address).unwrap(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!((500..600).contains(&response.status), "{}", response.status);
}

fn a_client_that_leaves_resets_its_stream_alone(driver: Driver) {
    let (told, reset) = std::sync::mpsc::channel();
    let backend = H2Backend::start(move |mut exchange: Exchange| {
        let told = told.clone();
        async move {
            match exchange.request.uri().path() {
                "/wait" => {
                    let code = std::future::poll_fn(|cx| exchange.response.poll_reset(cx)).await.unwrap();
                    told.send(code).unwrap();
                }
                _ => exchange.ok("fine").await,
            }
        }
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    connected(&gateway, |mut client| async move {
        ask(&mut client, get("/")).await.unwrap();
        let mut ready = client.clone().ready().await.unwrap();
        let (response, mut stream) = ready.send_request(get("/wait"), true).unwrap();
        drop(response);
        stream.send_reset(Reason::CANCEL);
        let code = tokio::task::spawn_blocking(move || reset.recv().unwrap()).await.unwrap();
        assert_eq!(code, Reason::CANCEL);
        assert_eq!(ask(&mut client, get("/")).await.unwrap().text(), "fine");
    });
    assert_eq!(backend.accepted(), 1);
}

fn nobody_there_is_told_to_all_who_wait(driver: Driver) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(driver, &Config::to_h2(free));
    connected(&gateway, |client| async move {
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let mut client = client.clone();
            asking.spawn(async move { ask(&mut client, get("/")).await.unwrap() });
        }
        while let Some(response) = asking.join_next().await {
            let response = response.unwrap();
            assert_eq!(response.status, 503);
            assert_eq!(response.header("x-sluice-reason"), Some("upstream_connect_failed"));
        }
    });
}
