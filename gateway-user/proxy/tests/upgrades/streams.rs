//! Tunnels over streams of HTTP/2: their windows, their ends and a drain.

use std::future::poll_fn;
use std::io::Write as _;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use gateway_io::Driver;
use gateway_proxy::worker::{DrainLimits, WorkerCommand};
use tokio::time::timeout;

use crate::http2::{connect, connected, first_then, is_at_end, open, read, until};
use crate::on_every_driver;
use crate::support::Gateway;
use crate::support::ir::Config;

on_every_driver![
    a_client_that_takes_nothing_slows_its_backend,
    a_backend_that_takes_nothing_slows_its_client,
    a_client_may_finish_first,
    a_drain_lets_a_tunnel_end_and_cuts_it_at_last,
];

const LEN: usize = 64 << 20;
/// For who is slowed to have sent what buffers hold.
const SLOWED_TIMEOUT: Duration = Duration::from_secs(1);

fn a_client_that_takes_nothing_slows_its_backend(driver: Driver) {
    let (told, written) = channel();
    let backend = first_then(move |exchange| {
        let piece = vec![b'x'; 64 << 10];
        exchange.stream.set_write_timeout(Some(SLOWED_TIMEOUT)).unwrap();
        let mut count = 0;
        while count < LEN {
            match exchange.stream.write(&piece) {
                Ok(part) => count += part,
                Err(_) => break,
            }
        }
        told.send(count).unwrap();
        // Taken later, all of it arrives.
        exchange.stream.set_write_timeout(None).unwrap();
        exchange.stream.write_all(b"end").unwrap();
        let _ = exchange.byte();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let (response, mut stream) = open(&client, connect("websocket")).await;
        let written = tokio::task::spawn_blocking(move || written.recv().unwrap()).await.unwrap();
        assert!(written < LEN / 2, "{written} bytes were taken from the backend");
        let came = read(&mut response.into_body(), written + 3).await;
        assert!(came.len() == written + 3 && came.ends_with(b"xend"));
        stream.send_data(Bytes::new(), true).unwrap();
    });
    gateway.until("its end", |counters| counters.tunnels == 0);
}

fn a_backend_that_takes_nothing_slows_its_client(driver: Driver) {
    let (go, going) = channel::<()>();
    let going = std::sync::Mutex::new(going);
    let (told, taken) = channel();
    let backend = first_then(move |exchange| {
        going.lock().unwrap().recv().unwrap();
        let mut count = 0_usize;
        while let Ok(Some(_)) = exchange.byte() {
            count += 1;
        }
        told.send(count).unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let (_response, mut stream) = open(&client, connect("websocket")).await;
        let mut sent = 0;
        while sent < LEN {
            stream.reserve_capacity(16 << 10);
            let Ok(room) = timeout(SLOWED_TIMEOUT, poll_fn(|cx| stream.poll_capacity(cx))).await else {
                break;
            };
            let room = room.unwrap().unwrap();
            stream.send_data(vec![b'x'; room].into(), false).unwrap();
            sent += room;
        }
        assert!(sent < LEN / 2, "{sent} bytes were taken from the client");
        stream.send_data(Bytes::new(), true).unwrap();
        go.send(()).unwrap();
        let taken = tokio::task::spawn_blocking(move || taken.recv().unwrap()).await.unwrap();
        assert_eq!(taken, sent, "none is lost");
    });
}

fn a_client_may_finish_first(driver: Driver) {
    let backend = first_then(|exchange| {
        while let Ok(Some(_)) = exchange.byte() {}
        exchange.stream.write_all(b"all of it").unwrap();
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let (response, mut stream) = open(&client, connect("websocket")).await;
        stream.send_data("bye".into(), true).unwrap();
        let mut body = response.into_body();
        assert_eq!(read(&mut body, 9).await, b"all of it");
        assert!(is_at_end(&mut body).await);
    });
    let ended = |counters: &gateway_proxy::metrics::Counters| {
        counters.tunnels == 0 && counters.tunnel_bytes_received == 3 && counters.tunnel_bytes_sent == 9
    };
    gateway.until("its end", ended);
}

fn a_drain_lets_a_tunnel_end_and_cuts_it_at_last(driver: Driver) {
    let echo = || {
        first_then(|exchange| {
            while let Ok(Some(byte)) = exchange.byte() {
                exchange.stream.write_all(&[byte]).unwrap();
            }
        })
    };
    let limits =
        |max| DrainLimits { accept: Duration::ZERO, idle: Duration::ZERO, max: Duration::from_secs(max) };
    for (max, is_cut) in [(20, false), (2, true)] {
        let backend = echo();
        let gateway = Gateway::start(driver, &Config::to(backend.address()));
        let gateway = &gateway;
        let drained = connected(gateway, |client| async move {
            let (response, mut stream) = open(&client, connect("websocket")).await;
            until(gateway, |counters| counters.tunnels == 1).await;
            let limits = limits(max);
            let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
            let mut body = response.into_body();
            stream.send_data("still".into(), false).unwrap();
            assert_eq!(read(&mut body, 5).await, b"still");
            // Once the client is told, it begins nothing new here.
            while client.clone().ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            match is_cut {
                false => {
                    stream.send_data("there".into(), true).unwrap();
                    assert_eq!(read(&mut body, 5).await, b"there");
                    assert!(is_at_end(&mut body).await);
                }
                true => assert!(!matches!(body.data().await, Some(Ok(_)) | None), "it is no end in order"),
            }
            drained.await.unwrap()
        });
        // A tunnel that is cut is no request that is.
        assert_eq!(drained.aborted, 0);
        let lines = gateway.log_lines(2);
        let line = lines.iter().find(|line| line["path"] == "/chat?x=1").unwrap();
        assert_eq!(line["reason"], if is_cut { "drain_aborted".into() } else { serde_json::Value::Null });
    }
}
