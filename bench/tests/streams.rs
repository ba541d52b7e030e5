//! Clients of HTTP/2, WebSockets and gRPC: ends that a drain may make are none of their failures, others are.

#[path = "faulty/spec.rs"]
mod spec;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use sluice_bench::echo::{grpc_server, same, websocket_server};
use sluice_bench::id::RequestId;
use sluice_bench::load::{LoadSpec, Mode, load};
use sluice_bench::pattern::Pattern;
use sluice_bench::report::{Failures, Report};
use spec::{BYTES, spec};
use tokio::io::{AsyncWriteExt as _, copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const N: u64 = 30;

async fn run_load(spec: LoadSpec) -> Report {
    let report = load(spec).await.unwrap();
    assert_eq!(report.planned, report.ok + report.failed.total() + report.missing, "{report:#?}");
    report
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn echo(mode: Mode) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        match mode {
            Mode::Websocket => websocket_server::serve(listener, same).await,
            _ => grpc_server::serve(listener, same).await,
        }
    });
    address
}

/// A proxy that passes bytes on, and ends each of its first connections after this time: in order, or by a reset.
async fn cutting(backend: SocketAddr, cut: usize, after: Duration, reset: bool) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        for number in 0.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut backend = TcpStream::connect(backend).await.unwrap();
            tokio::spawn(async move {
                let end = async {
                    match number < cut {
                        true => sleep(after).await,
                        false => std::future::pending().await,
                    }
                };
                let cut = tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut backend) => false,
                    () = end => true,
                };
                if cut && reset {
                    client.set_zero_linger().unwrap();
                } else if cut {
                    // Closed with something unread, the connection would be reset.
                    client.shutdown().await.unwrap();
                    let _ = copy(&mut client, &mut sink()).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn conversations_last_as_long_as_the_run() {
    for (mode, opened) in [(Mode::Websocket, 4), (Mode::Grpc, 8)] {
        let report = run_load(spec(echo(mode).await, mode)).await;
        assert_eq!((report.ok, report.lost()), (N, 0), "{report:#?}");
        let made = report.conversations;
        assert!((1..=opened).contains(&made.opened) && made.ended == 0, "{report:#?}");
    }
}

#[tokio::test]
async fn a_websocket_that_is_ended_in_order_is_opened_again() {
    let to = cutting(echo(Mode::Websocket).await, 2, Duration::from_millis(50), false).await;
    let report = run_load(LoadSpec { rate: 50.0, ..spec(to, Mode::Websocket) }).await;
    assert_eq!((report.ok, report.lost(), report.conversations.ended), (N, 0, 2), "{report:#?}");
    assert!(report.conversations.first_end_ms.is_some_and(|at| at >= 50), "{report:#?}");
}

#[tokio::test]
async fn a_conversation_that_is_reset_is_a_failure() {
    for mode in [Mode::Websocket, Mode::Grpc] {
        let to = cutting(echo(mode).await, 1, Duration::from_millis(50), true).await;
        let report = run_load(LoadSpec { connections: 1, rate: 50.0, ..spec(to, mode) }).await;
        assert!(report.lost() > 0 && report.ok > N / 2, "{report:#?}");
    }
}

/// A server of HTTP/2 that says with its `limit`th stream of each connection that it takes no more.
async fn server(limit: usize, status: Option<&'static str>) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let mut streams = 0;
                while let Some(accepted) = connection.accept().await {
                    let Ok((request, respond)) = accepted else { return };
                    streams += 1;
                    if streams == limit {
                        connection.graceful_shutdown();
                    }
                    match status {
                        Some(status) => end_call(respond, status),
                        None => download(&request, respond),
                    }
                }
            });
        }
    });
    address
}

fn download(request: &http::Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let id = request.headers()["x-bench-id"].clone();
    let bits = id.to_str().unwrap().parse::<RequestId>().unwrap().bits();
    let mut body = vec![0; BYTES as usize];
    Pattern::new(bits).fill(&mut body);
    let response = Response::builder().header("x-bench-id", id).body(()).unwrap();
    respond.send_response(response, false).unwrap().send_data(body.into(), true).unwrap();
}

fn end_call(mut respond: h2::server::SendResponse<Bytes>, status: &'static str) {
    let mut sending = respond.send_response(Response::new(()), false).unwrap();
    let status = (http::HeaderName::from_static("grpc-status"), HeaderValue::from_static(status));
    sending.send_trailers(HeaderMap::from_iter([status])).unwrap();
}

#[tokio::test]
async fn streams_go_to_another_connection_once_one_takes_no_more() {
    let report =
        run_load(LoadSpec { connections: 1, streams: 4, ..spec(server(7, None).await, Mode::Http2) }).await;
    assert_eq!((report.ok, report.failed), (N, Failures::default()), "{report:#?}");
    assert!(report.connections.announced_closes >= 2 && report.connections.opened >= 3, "{report:#?}");
}

#[tokio::test]
async fn a_call_that_ends_at_once_is_a_failure_whatever_its_status() {
    for (status, failed) in [
        ("14", Failures { closed_early: N, ..Failures::default() }),
        ("2", Failures { wrong: N, ..Failures::default() }),
    ] {
        let report = run_load(spec(server(usize::MAX, Some(status)).await, Mode::Grpc)).await;
        assert_eq!((report.ok, report.failed), (0, failed), "{report:#?}");
    }
}
