//! Clients over HTTP/2 that have finished sending, and are gone before their backend has.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};
use h2::Reason;

use crate::http2::{connect, connected, first_then, is_at_end, open, read, until};
use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::ir::Config;

on_every_driver![
    a_client_that_has_finished_and_is_gone_ends_its_tunnel,
    a_client_that_finishes_with_its_head_has_its_backend_told,
];

fn a_client_that_has_finished_and_is_gone_ends_its_tunnel(driver: Driver) {
    let (release, held) = channel::<()>();
    let held = Mutex::new(held);
    let backend = first_then(move |exchange| {
        while let Ok(Some(_)) = exchange.byte() {}
        // It has more to say, and does not say it.
        let _ = held.lock().unwrap().recv();
    });
    // Dropped before the backend, whose threads wait for it.
    let release = release;
    let hour = Duration::from_secs(3600);
    let timeouts = Timeouts { tunnel_half_closed: hour, tunnel_idle: hour, ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let served = &gateway;
    connected(served, |client| async move {
        let (_response, mut stream) = open(&client, connect("websocket")).await;
        stream.send_data("more".into(), true).unwrap();
        until(served, |counters| counters.tunnels == 1 && counters.tunnel_bytes_received == 4).await;
        stream.send_reset(Reason::CANCEL);
        until(served, |counters| counters.tunnels == 0).await;
        // And one whose connection is gone.
        let (_response, mut stream) = open(&client, connect("websocket")).await;
        stream.send_data("more".into(), true).unwrap();
        until(served, |counters| counters.tunnels == 1 && counters.tunnel_bytes_received == 8).await;
    });
    gateway.until("the end", |counters| counters.tunnels == 0 && counters.connections == 0);
    drop(release);
    let lines = gateway.log_lines(3);
    assert_eq!(lines.iter().filter(|line| line["reason"] == "client_closed").count(), 2, "{lines:?}");
}

fn a_client_that_finishes_with_its_head_has_its_backend_told(driver: Driver) {
    let backend = first_then(|exchange| {
        // Not told, it ends without a word.
        if matches!(exchange.byte(), Ok(None)) {
            exchange.stream.write_all(b"bye").unwrap();
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let mut ready = client.clone().ready().await.unwrap();
        let (response, _) = ready.send_request(connect("websocket"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(read(&mut body, 3).await, b"bye");
        assert!(is_at_end(&mut body).await);
    });
    gateway.until("the end", |counters| counters.tunnels == 0 && counters.connections == 0);
}
