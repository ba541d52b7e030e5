//! Connections that requests share.

use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::http::Client;
use h2::server::Builder;
use tokio::time::sleep;

use crate::asked;
use crate::client::{ask, connected, get};
use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::h2_backend::{Exchange, H2Backend};
use crate::support::ir::Config;

on_every_driver![
    requests_share_a_connection,
    a_full_connection_is_joined_by_another,
    a_backend_tells_how_many_streams_it_takes,
    a_connection_that_ends_in_order_loses_no_request,
    an_unused_connection_is_closed,
    empty_data_costs_no_request,
    a_client_that_takes_nothing_holds_nobody_up,
    small_messages_that_wait_end_no_connection,
];

/// Asks so many times at once; every response has its own text.
fn ask_all(gateway: &Gateway, count: usize) {
    connected(gateway, |mut client| async move {
        // From here on the client knows how many there may be.
        ask(&mut client, get("/first")).await.unwrap();
        let mut asking = tokio::task::JoinSet::new();
        for n in 0..count {
            let mut client = client.clone();
            asking.spawn(async move { (n, ask(&mut client, get(&format!("/{n}"))).await.unwrap()) });
        }
        while let Some(asked) = asking.join_next().await {
            let (n, response) = asked.unwrap();
            assert_eq!(response.text(), format!("/{n}"));
        }
    });
}

/// Responds with the path, not at once.
async fn path(exchange: Exchange) {
    sleep(Duration::from_millis(50)).await;
    let path = exchange.request.uri().path().to_owned();
    exchange.ok(path).await;
}

fn requests_share_a_connection(driver: Driver) {
    let backend = H2Backend::start(path);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    ask_all(&gateway, 90);
    assert_eq!(backend.accepted(), 1);
    gateway.until("all ended", |counters| counters.active_requests == 0);
}

fn a_full_connection_is_joined_by_another(driver: Driver) {
    let backend = H2Backend::start(path);
    let few = ProxyConfig { upstream_h2_max_streams: 10, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), few);
    ask_all(&gateway, 45);
    let accepted = backend.accepted();
    assert!((5..=8).contains(&accepted), "{accepted} connections for 45 requests by ten");
}

fn a_backend_tells_how_many_streams_it_takes(driver: Driver) {
    let mut two = Builder::new();
    two.max_concurrent_streams(2);
    let backend = H2Backend::with(two, usize::MAX, path);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    ask_all(&gateway, 20);
    let accepted = backend.accepted();
    assert!((10..=16).contains(&accepted), "{accepted} connections for 20 requests by two");

    let mut none = Builder::new();
    none.max_concurrent_streams(0);
    let backend = H2Backend::with(none, usize::MAX, path);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let response = asked(&mut Client::connect(gateway.address).unwrap(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((response.status, response.header("x-sluice-reason")), (503, Some("upstream_connect_failed")));
}

fn a_connection_that_ends_in_order_loses_no_request(driver: Driver) {
    let backend = H2Backend::with(Builder::new(), 5, path);
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Client::connect(gateway.address).unwrap();
    for n in 0..30 {
        let response =
            asked(&mut client, &format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!((response.status, response.text().as_str()), (200, format!("/{n}").as_str()));
    }
    assert!(backend.accepted() >= 5, "{} connections", backend.accepted());
}

fn an_unused_connection_is_closed(driver: Driver) {
    let backend = H2Backend::start(path);
    let timeouts = Timeouts { upstream_idle: Duration::from_millis(100), ..Timeouts::default() };
    let short = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), short);
    let mut client = Client::connect(gateway.address).unwrap();
    asked(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.until("the connection is closed", |counters| {
        counters.upstream_evicted == 1 && counters.upstream_idle == 0
    });
    assert_eq!(asked(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    assert_eq!(backend.accepted(), 2);
}

fn empty_data_costs_no_request(driver: Driver) {
    let backend = H2Backend::start(|mut exchange: Exchange| async move {
        let mut stream = exchange.response.send_response(http::Response::new(()), false).unwrap();
        for piece in ["", "a", "", "b", ""] {
            let _ = stream.send_data(piece.into(), false);
            tokio::task::yield_now().await;
        }
        let _ = stream.send_data("c".into(), true);
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Client::connect(gateway.address).unwrap();
    for n in 0..200 {
        let response = asked(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((response.status, response.text().as_str()), (200, "abc"), "request {n}");
    }
}

fn a_client_that_takes_nothing_holds_nobody_up(driver: Driver) {
    let backend = H2Backend::start(|exchange: Exchange| async move {
        let len: usize = exchange.request.uri().path()[1..].parse().unwrap();
        exchange.ok(vec![b'x'; len]).await;
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let address = gateway.address;
    connected(&gateway, |client| async move {
        let mut slow = Vec::new();
        for _ in 0..50 {
            let mut ready = client.clone().ready().await.unwrap();
            let (response, _) = ready.send_request(get("/4000000"), true).unwrap();
            slow.push(response.await.unwrap());
        }
        // Their client reads none of it; another one reads on.
        let other = move || {
            asked(&mut Client::connect(address).unwrap(), "GET /8000000 HTTP/1.1\r\nHost: a\r\n\r\n")
                .body
                .len()
        };
        assert_eq!(tokio::task::spawn_blocking(other).await.unwrap(), 8_000_000);
        drop(slow);
    });
    assert_eq!(backend.accepted(), 1);
}

fn small_messages_that_wait_end_no_connection(driver: Driver) {
    const MESSAGES: usize = 4_000;
    let backend = H2Backend::start(|mut exchange: Exchange| async move {
        if exchange.request.uri().path() == "/one" {
            return exchange.ok("one").await;
        }
        let mut stream = exchange.response.send_response(http::Response::new(()), false).unwrap();
        for _ in 0..MESSAGES {
            stream.reserve_capacity(20);
            while stream.capacity() < 20 {
                let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                if !matches!(room, Some(Ok(_))) {
                    return;
                }
            }
            stream.send_data("twenty bytes of text".into(), false).unwrap();
            // A frame each.
            tokio::task::yield_now().await;
        }
        stream.send_data("".into(), true).unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let address = gateway.address;
    connected(&gateway, |client| async move {
        let mut slow = Vec::new();
        for _ in 0..10 {
            let mut ready = client.clone().ready().await.unwrap();
            let (response, _) = ready.send_request(get("/many"), true).unwrap();
            slow.push(response.await.unwrap());
        }
        sleep(Duration::from_millis(500)).await;
        // None of it is taken yet, and the same connection to the backend serves on; then all of it comes.
        let other = move || {
            asked(&mut Client::connect(address).unwrap(), "GET /one HTTP/1.1\r\nHost: a\r\n\r\n").text()
        };
        assert_eq!(tokio::task::spawn_blocking(other).await.unwrap(), "one");
        let mut reading: tokio::task::JoinSet<_> = slow.into_iter().map(crate::client::whole).collect();
        while let Some(read) = reading.join_next().await {
            assert_eq!(read.unwrap().unwrap().body.len(), 20 * MESSAGES);
        }
    });
    assert_eq!(backend.accepted(), 1);
}
