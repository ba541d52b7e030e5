//! Each injected fault is counted as exactly that.

mod faulty;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faulty::{BYTES, Reaction, correct_response, faulty_server, faulty_server_async, response, spec};
use sluice_bench::backend;
use sluice_bench::load::{LoadSpec, Mode, load};
use sluice_bench::report::{Failures, Report};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Notify};

const N: u64 = 30;

async fn run_load(spec: LoadSpec) -> Report {
    let report = load(spec).await.unwrap();
    assert_eq!(report.planned, report.ok + report.failed.total() + report.missing, "{report:#?}");
    report
}

#[track_caller]
fn only(report: &Report, ok: u64, failed: Failures) {
    assert_eq!((report.ok, report.failed, report.missing), (ok, failed, 0), "{report:#?}");
}

#[track_caller]
fn detail(report: &Report, part: &str) {
    assert!(!report.samples.is_empty(), "no failure was described");
    for sample in &report.samples {
        assert!(sample.detail.contains(part), "{part:?} is not in {:?}", sample.detail);
    }
}

#[tokio::test]
async fn refused() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let report = run_load(spec(closed, Mode::KeepAlive)).await;
    only(&report, 0, Failures { refused: N, ..Failures::default() });
    assert_eq!(report.sent, N);
}

#[tokio::test]
async fn a_run_that_is_stopped_loses_nothing_and_knows_its_longest_gap() {
    let stop = Arc::new(Notify::new());
    let (seen, stopping) = (Arc::new(AtomicU64::new(0)), Arc::clone(&stop));
    let to = faulty_server(move |id| {
        if seen.fetch_add(1, Ordering::Relaxed) == 9 {
            std::thread::sleep(Duration::from_millis(60));
            stopping.notify_one();
        }
        Reaction::Send(correct_response(id, ""))
    })
    .await;
    let endless = LoadSpec { requests: 1_000_000, stop: Some(stop), ..spec(to, Mode::KeepAlive) };
    let report = run_load(endless).await;
    assert!((10..1_000_000).contains(&report.planned), "{report:#?}");
    only(&report, report.planned, Failures::default());
    assert!(report.longest_gap_us >= 60_000, "{report:#?}");
}

#[tokio::test]
async fn reset_before_and_in_the_response() {
    let half = |id| correct_response(id, "")[..100].to_vec();
    let to = faulty_server(move |id| match id.bits() % 3 {
        0 => Reaction::SendAndReset(Vec::new()),
        1 => Reaction::SendAndReset(half(id)),
        _ => Reaction::Send(correct_response(id, "")),
    })
    .await;
    let report = run_load(spec(to, Mode::KeepAlive)).await;
    only(&report, 10, Failures { reset: 20, ..Failures::default() });
}

#[tokio::test]
async fn closed_before_the_response_on_a_kept_connection() {
    let to = faulty_server(|id| match id.bits() % 2 {
        0 => Reaction::Send(correct_response(id, "")),
        _ => Reaction::SendAndClose(Vec::new()),
    })
    .await;
    let report = run_load(LoadSpec { connections: 1, ..spec(to, Mode::KeepAlive) }).await;
    only(&report, 15, Failures { closed_early: 15, ..Failures::default() });
    detail(&report, "closed before the response, on a connection with 1 earlier responses");
}

#[tokio::test]
async fn closed_in_the_body() {
    let to = faulty_server(|id| Reaction::SendAndClose(correct_response(id, "")[..110].to_vec())).await;
    let report = run_load(spec(to, Mode::PerConnection)).await;
    only(&report, 0, Failures { closed_early: N, ..Failures::default() });
    detail(&report, "bytes of the body");
}

#[tokio::test]
async fn closing_with_notice_or_while_idle_is_no_failure() {
    let to = faulty_server(|id| Reaction::SendAndClose(correct_response(id, "Connection: close\r\n"))).await;
    let report = run_load(LoadSpec { connections: 1, ..spec(to, Mode::KeepAlive) }).await;
    only(&report, N, Failures::default());
    assert_eq!(report.connections.announced_closes, N);

    let to = faulty_server(|id| Reaction::SendAndClose(correct_response(id, ""))).await;
    let report = run_load(LoadSpec { connections: 1, rate: 50.0, ..spec(to, Mode::KeepAlive) }).await;
    only(&report, N, Failures::default());
    assert!(report.connections.idle_closes >= N - 1, "{report:#?}");
}

#[tokio::test]
async fn another_requests_response() {
    let other = sluice_bench::id::Tag::new(7).request(1_000_000);
    let to = faulty_server(move |_| Reaction::Send(correct_response(other, ""))).await;
    let report = run_load(spec(to, Mode::KeepAlive)).await;
    only(&report, 0, Failures { wrong: N, ..Failures::default() });
    detail(&report, "the response to 00000700000f4240");
}

#[tokio::test]
async fn another_requests_body() {
    let other = sluice_bench::id::Tag::new(7).request(1_000_000);
    let body = correct_response(other, "").split_off(correct_response(other, "").len() - BYTES as usize);
    let to = faulty_server(move |id| Reaction::Send(response(id, "", BYTES, &body))).await;
    let report = run_load(spec(to, Mode::KeepAlive)).await;
    only(&report, 0, Failures { wrong: N, ..Failures::default() });
    detail(&report, "another byte at offset");
}

#[tokio::test]
async fn a_short_body_that_seems_whole() {
    let to = faulty_server(|id| {
        let whole = correct_response(id, "");
        Reaction::Send(response(id, "", BYTES - 1, &whole[whole.len() - BYTES as usize..whole.len() - 1]))
    })
    .await;
    let report = run_load(spec(to, Mode::KeepAlive)).await;
    only(&report, 0, Failures { wrong: N, ..Failures::default() });
    detail(&report, "Content-Length 63 instead of 64");
}

#[tokio::test]
async fn two_responses_to_one_request() {
    let to =
        faulty_server(|id| Reaction::Send([correct_response(id, ""), correct_response(id, "")].concat()))
            .await;
    let report = run_load(spec(to, Mode::KeepAlive)).await;
    only(&report, 0, Failures { wrong: N, ..Failures::default() });
    detail(&report, "bytes after the response's end");
}

#[tokio::test]
async fn another_status() {
    let refusal =
        b"HTTP/1.1 503 Service Unavailable\r\nX-Sluice-Reason: no_endpoint\r\nContent-Length: 0\r\n\r\n";
    let to = faulty_server(|_| Reaction::Send(refusal.to_vec())).await;
    // A response to an upload whose body is still on its way is a refusal too, not a broken pipe.
    let long = LoadSpec { bytes: 1_000_000, over: Duration::from_secs(20), ..spec(to, Mode::Upload) };
    for spec in [spec(to, Mode::KeepAlive), long] {
        let report = run_load(spec).await;
        only(&report, 0, Failures { wrong: N, ..Failures::default() });
        detail(&report, "status 503 (no_endpoint)");
    }
}

#[tokio::test]
async fn silence_is_a_timeout_or_missing() {
    let to = faulty_server(|_| Reaction::Stall).await;
    let short = LoadSpec { timeout: Duration::from_millis(50), ..spec(to, Mode::KeepAlive) };
    only(&run_load(short).await, 0, Failures { timeout: N, ..Failures::default() });
    let cut = LoadSpec { time_limit: Duration::from_millis(300), ..spec(to, Mode::KeepAlive) };
    let report = run_load(cut).await;
    assert_eq!((report.ok, report.failed.total(), report.missing), (0, 0, N));
    assert!(report.lost() == N && report.sent <= 4, "{report:#?}");
}

#[tokio::test]
async fn what_the_client_cannot_do_is_its_own_failure() {
    // TCP knows no broadcast.
    let report = run_load(spec("255.255.255.255:1".parse().unwrap(), Mode::PerConnection)).await;
    only(&report, 0, Failures { local: N, ..Failures::default() });
}

#[tokio::test]
async fn requests_do_not_wait_for_responses() {
    let all = Arc::new(Barrier::new(16));
    // Nobody gets a response before 16 have asked: a client that waits for responses would
    // never come that far.
    let to = faulty_server_async(move |id| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            Reaction::Send(correct_response(id, ""))
        }
    })
    .await;
    let report = run_load(LoadSpec { connections: 16, requests: 32, ..spec(to, Mode::KeepAlive) }).await;
    only(&report, 32, Failures::default());
}

#[tokio::test]
async fn latency_counts_from_when_a_request_was_due() {
    let to = faulty_server_async(|id| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Reaction::Send(correct_response(id, ""))
    })
    .await;
    // Due every 5 ms and served every 20 ms: they queue up, and the waiting is theirs. Each
    // alone takes 20 ms.
    let report = run_load(LoadSpec { connections: 1, ..spec(to, Mode::KeepAlive) }).await;
    only(&report, N, Failures::default());
    let latency = report.latency;
    assert!(latency.p50_us >= 200_000 && latency.max_us >= 400_000, "{latency:?}");
}

async fn real_backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let listener = listener.into_std().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { backend::serve(TcpListener::from_std(listener).unwrap()).await })
    });
    address
}

#[tokio::test]
async fn an_honest_server_passes_in_every_mode_of_http1() {
    let to = real_backend().await;
    for (tag, mode) in Mode::HTTP1.into_iter().enumerate() {
        let over = if mode.is_transfer() { Duration::from_millis(200) } else { Duration::ZERO };
        let tag = sluice_bench::id::Tag::new(tag as u32);
        let spec =
            LoadSpec { bytes: 100_000, over, tag, backend: Some(to), connections: 16, ..spec(to, mode) };
        let report = run_load(spec).await;
        only(&report, N, Failures::default());
        let witness = report.witness.unwrap();
        assert_eq!((witness.seen, witness.duplicated, report.lost()), (N, 0, 0));
        match mode {
            Mode::PerConnection => assert_eq!(report.connections.opened, N),
            _ => assert!(report.connections.opened <= 16),
        }
    }
}

#[tokio::test]
async fn a_request_that_arrives_twice() {
    let backend = real_backend().await;
    let twice = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&twice);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    // A proxy that sends every third request a second time, as one does that retries too eagerly.
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut request = vec![0; 1024];
                let n = client.read(&mut request).await.unwrap();
                if counter.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
                    forward(backend, &request[..n]).await;
                }
                client.write_all(&forward(backend, &request[..n]).await).await.unwrap();
            });
        }
    });
    let report = run_load(LoadSpec { backend: Some(backend), ..spec(to, Mode::PerConnection) }).await;
    only(&report, N, Failures::default());
    let witness = report.witness.unwrap();
    assert_eq!((witness.seen, witness.duplicated, report.lost()), (N, 10, 10));
}

async fn forward(to: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    response
}
