//! Ends and bounds of tunnels to backends over HTTP/2: resets, back-pressure, silence.

use std::future::poll_fn;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::wait::WAIT_TIMEOUT;
use h2::Reason;

use crate::h2_backends::{accept, knowing, next};
use crate::http2::{connect, connected, open};
use crate::on_every_driver;
use crate::peers::Peer;
use crate::support::Gateway;
use crate::support::h2_backend::{self, Exchange};
use crate::support::ir::Config;

on_every_driver![
    a_reset_of_one_side_reaches_the_other,
    a_client_that_takes_nothing_slows_its_backend_alone,
    a_backend_that_takes_nothing_is_given_up,
    an_idle_tunnel_is_ended,
];

/// Tells `end` how the client's way ended.
async fn watch(exchange: Exchange, end: Sender<Option<Reason>>) {
    let Some((mut exchange, _stream)) = accept(exchange).await else { return };
    let last = loop {
        match next(&mut exchange).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error.reason(),
            None => break None,
        }
    };
    end.send(last).unwrap();
}

fn a_reset_of_one_side_reaches_the_other(driver: Driver) {
    let (end, ended) = channel();
    let backend = knowing(move |exchange| watch(exchange, end.clone()));
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let other = Peer::connect(&gateway);
    Peer::connect(&gateway).reset();
    assert_eq!(ended.recv_timeout(WAIT_TIMEOUT).unwrap(), Some(Reason::CANCEL));
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_closed");
    other.finish();
    assert_eq!(ended.recv_timeout(WAIT_TIMEOUT).unwrap(), None, "its neighbour's was not touched");

    let backend = knowing(|exchange| async move {
        let Some((mut exchange, mut stream)) = accept(exchange).await else { return };
        next(&mut exchange).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Peer::connect(&gateway);
    client.write("x");
    assert!(client.rest().is_err(), "an end in order");
    connected(&gateway, |client| async move {
        let (response, mut stream) = open(&client, connect("websocket")).await;
        stream.send_data("x".into(), false).unwrap();
        let error = response.into_body().data().await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(Reason::CANCEL));
    });
    let lines = gateway.log_lines(3);
    let cut = lines.iter().filter(|line| line["reason"] == "tunnel_upstream_closed").count();
    assert_eq!(cut, 2, "{lines:?}");
}

fn a_client_that_takes_nothing_slows_its_backend_alone(driver: Driver) {
    const ALL: usize = 32 << 20;
    let backend = knowing(|exchange| async move {
        let Some((_exchange, stream)) = accept(exchange).await else { return };
        let _ = h2_backend::send(stream, vec![b'x'; ALL].into(), None).await;
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()));
    let mut client = Peer::connect(&gateway);
    client.read(1);
    // The kernel's buffers take some MiB; then nothing moves.
    let mut seen = (0, 0);
    let before = gateway_testkit::wait::until("it to stop", || {
        let counters = gateway.metrics().counters;
        assert!(counters.buffer_bytes <= 1 << 20, "{} bytes of buffers", counters.buffer_bytes);
        let (before, times) = seen;
        seen = (counters.tunnel_bytes_sent, if counters.tunnel_bytes_sent == before { times + 1 } else { 0 });
        (seen.1 > 20).then_some(before)
    });
    assert!(before < ALL as u64, "all was taken");
    assert_eq!(gateway.get("/").text(), "here", "on the same connection");
    assert_eq!(backend.accepted(), 1);
    client.finish();
    assert_eq!(client.rest().unwrap().len(), ALL - 1);
}

fn a_backend_that_takes_nothing_is_given_up(driver: Driver) {
    let backend = knowing(|exchange| async move {
        let Some((exchange, mut stream)) = accept(exchange).await else { return };
        // Holds its end, and reads nothing.
        let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
        drop(exchange);
    });
    let timeouts = Timeouts { upstream_idle_body: Duration::from_millis(300), ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), proxy);
    let mut client = Peer::connect(&gateway);
    // More than a window.
    client.write([b'x'; 256 * 1024]);
    gateway.until("its end", |counters| counters.tunnels == 0);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_upstream_stalled");
}

fn an_idle_tunnel_is_ended(driver: Driver) {
    let (end, ended) = channel();
    let backend = knowing(move |exchange| watch(exchange, end.clone()));
    let timeouts = Timeouts { tunnel_idle: Duration::from_millis(200), ..Timeouts::default() };
    let proxy = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), proxy);
    let mut client = Peer::connect(&gateway);
    assert_eq!(client.rest().unwrap(), b"");
    assert_eq!(ended.recv_timeout(WAIT_TIMEOUT).unwrap(), Some(Reason::CANCEL));
    gateway.until("its end", |counters| counters.tunnels == 0 && counters.tunnels_idle_closed == 1);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "tunnel_idle_timeout");
}
