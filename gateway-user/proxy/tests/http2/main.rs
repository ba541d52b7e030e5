//! Requests over HTTP/2 through one worker to backends over HTTP/1.1.

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod client;
mod drain;
mod grpc;
mod trailers;
mod turns;
mod twins;
mod untaken;

use std::io::Write as _;
use std::sync::mpsc::channel;
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::worker::{DrainLimits, WorkerCommand};
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::http2::Peer;
use gateway_testkit::http2::frames::{END_HEADERS, HEADERS, POST, RST_STREAM, frame};
use gateway_testkit::wait::until;
use http::{HeaderMap, HeaderValue, Request};

use client::{ask, connected, get, send, whole};
use grpc::{
    a_deadline_ends_a_call, a_deadline_ends_a_response_that_has_begun,
    a_deadline_goes_on_less_what_was_spent, a_local_reply_to_a_call_is_a_status,
    calls_over_http_1_have_a_status_too_and_other_requests_none,
    clients_that_are_told_no_reason_have_the_status_alone, grpc_web_passes_over_http_1,
};
use support::Gateway;
use support::backend::{Backend, echo, ok};
use support::ir::{Config, forward};
use trailers::trailers_with_a_pseudo_header_are_malformed;
use turns::{
    a_long_body_arrives_whole, many_frames_are_taken_in_turns, small_frames_go_on_together,
    what_nobody_reads_is_not_held_for_each_stream, who_asks_in_turn_waits_for_nobody,
};

on_every_driver![
    a_request_is_routed_as_one_of_http_1,
    bodies_go_both_ways_and_trailers_end_a_response,
    a_hundred_streams_share_a_connection,
    local_replies_have_their_reason,
    heads_beyond_the_limits_are_told_so,
    a_response_is_not_read_faster_than_its_client_takes_it,
    a_client_that_resets_a_stream_ends_its_exchange,
    a_backend_that_breaks_resets_the_stream,
    an_early_response_ends_the_request_without_an_error,
    a_client_that_writes_first_sees_an_early_response,
    interim_responses_are_passed_on,
    logins_of_a_connection_want_http_1,
    an_idle_connection_is_told_that_it_ends,
    the_quietest_leaves_where_memory_is_short,
    a_drain_is_told_and_lets_streams_end,
    a_drain_ends_who_has_no_stream,
    a_connection_of_a_drain_is_told_too,
    without_http2_it_is_refused,
    a_local_reply_to_a_call_is_a_status,
    clients_that_are_told_no_reason_have_the_status_alone,
    calls_over_http_1_have_a_status_too_and_other_requests_none,
    a_deadline_ends_a_call,
    a_deadline_ends_a_response_that_has_begun,
    a_deadline_goes_on_less_what_was_spent,
    who_asks_in_turn_waits_for_nobody,
    many_frames_are_taken_in_turns,
    small_frames_go_on_together,
    what_nobody_reads_is_not_held_for_each_stream,
    a_long_body_arrives_whole,
    early_responses_are_no_errors,
    grpc_web_passes_over_http_1,
    trailers_with_a_pseudo_header_are_malformed,
];

fn a_request_is_routed_as_one_of_http_1(driver: Driver) {
    let backend = Backend::answering(echo);
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let seen: serde_json::Value = connected(&gateway, |mut client| async move {
        let request = Request::builder()
            .uri("http://a.example:81/p?q=1")
            .header("x-a", "1")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let response = ask(&mut client, request).await.unwrap();
        assert_eq!(response.status, 200);
        assert!(response.header("x-sluice-reason").is_none());
        serde_json::from_slice(&response.body).unwrap()
    });
    assert_eq!((&seen["method"], &seen["target"]), (&"GET".into(), &"/p?q=1".into()));
    let field = |name: &str| {
        let fields = seen["headers"].as_array().unwrap();
        let lines: Vec<_> =
            fields.iter().filter(|f| f[0].as_str().unwrap().eq_ignore_ascii_case(name)).collect();
        assert!(lines.len() <= 1, "{name}: {lines:?}");
        lines.first().map(|field| field[1].as_str().unwrap().to_owned())
    };
    assert_eq!(field("host").as_deref(), Some("a.example:81"));
    assert_eq!(field("x-a").as_deref(), Some("1"));
    assert_eq!(field("cookie").as_deref(), Some("a=1; b=2"));
    assert_eq!(field("te").as_deref(), Some("trailers"));
    assert_eq!(field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(field("transfer-encoding"), None);
    let line = gateway.log_lines(1).remove(0);
    assert_eq!((&line["protocol"], &line["response_code"]), (&"HTTP/2".into(), &200.into()));
}

fn bodies_go_both_ways_and_trailers_end_a_response(driver: Driver) {
    let backend = Backend::answering(|request| {
        let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n".to_vec();
        let name = if request.header("content-length").is_some() { "counted" } else { "chunked" };
        for piece in [name.as_bytes(), &request.body] {
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("0\r\nx-end: {}\r\n\r\n", request.trailers.len()).as_bytes());
        out
    });
    let keep = ProxyConfig { request_trailers: true, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), keep);
    connected(&gateway, |mut client| async move {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        let post = || Request::builder().method("POST").uri("http://a.example/");
        let unknown =
            send(&mut client, post().body(()).unwrap(), &[b"abc", b"def"], Some(trailers)).await.unwrap();
        assert_eq!(unknown.text(), "chunkedabcdef");
        assert_eq!(unknown.trailers.unwrap()["x-end"], "1");
        let counted = post().header("content-length", "200000").body(()).unwrap();
        static LONG: [u8; 200_000] = [b'x'; 200_000];
        let counted = send(&mut client, counted, &[&LONG], None).await.unwrap();
        assert_eq!(counted.body.len(), "counted".len() + LONG.len());
        assert_eq!(counted.trailers.unwrap()["x-end"], "0");
    });
}

fn a_hundred_streams_share_a_connection(driver: Driver) {
    let backend = Backend::answering(|request| ok(request.target.repeat(500)));
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |mut client| async move {
        // From here on the client knows how many there may be.
        ask(&mut client, get("/first")).await.unwrap();
        let mut asking = tokio::task::JoinSet::new();
        for n in 0..300 {
            let mut client = client.clone();
            asking.spawn(async move { (n, ask(&mut client, get(&format!("/{n}"))).await.unwrap()) });
        }
        while let Some(Ok((n, response))) = asking.join_next().await {
            assert_eq!(response.text(), format!("/{n}").repeat(500));
        }
    });
    gateway
        .until("all requests counted", |counters| counters.requests == 301 && counters.active_requests == 0);
    assert!(backend.accepted() < 300, "backend connections are used again");
}

fn local_replies_have_their_reason(driver: Driver) {
    let backend = Backend::named("app");
    let config = Config::default().rule(forward("/app", "app")).endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    connected(&gateway, |mut client| async move {
        let missing = ask(&mut client, get("/other")).await.unwrap();
        assert_eq!(
            (missing.status.as_u16(), missing.header("x-sluice-reason")),
            (404, Some("no_rule_for_path"))
        );
        assert_eq!(missing.header("content-length").unwrap(), missing.body.len().to_string());
        assert!(missing.text().contains("no_rule_for_path"), "{}", missing.text());
        assert!(missing.header("date").is_some() && missing.header("connection").is_none());
        let head = Request::head("http://a.example/other").body(()).unwrap();
        let head = ask(&mut client, head).await.unwrap();
        assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
        // The connection serves on.
        assert_eq!(ask(&mut client, get("/app")).await.unwrap().text(), "app");
    });
}

fn heads_beyond_the_limits_are_told_so(driver: Driver) {
    let backend = Backend::named("app");
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |mut client| async move {
        let with = |name: &str, value: &str| {
            Request::builder().uri("http://a.example/").header(name, value).body(()).unwrap()
        };
        let large = ask(&mut client, with("x-a", &"v".repeat(40_000))).await.unwrap();
        assert_eq!((large.status.as_u16(), large.header("x-sluice-reason")), (431, Some("head_too_large")));
        let two_places = ask(&mut client, with("host", "b.example")).await.unwrap();
        assert_eq!(
            (two_places.status.as_u16(), two_places.header("x-sluice-reason")),
            (400, Some("bad_host"))
        );
        let long = ask(&mut client, get(&format!("/{}", "p".repeat(9_000)))).await.unwrap();
        assert_eq!(long.status, 414);
        assert_eq!(ask(&mut client, get("/")).await.unwrap().text(), "app");
    });
}

fn a_response_is_not_read_faster_than_its_client_takes_it(driver: Driver) {
    const LEN: usize = 64 << 20;
    let (told, written) = channel();
    let backend = Backend::start(move |mut exchange| {
        exchange.request();
        let _ = write!(exchange.stream, "HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n");
        let piece = vec![b'x'; 64 << 10];
        exchange.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut count = 0;
        while count < LEN && exchange.stream.write_all(&piece).is_ok() {
            count += piece.len();
        }
        let _ = told.send(count);
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let (response, _) = ready.send_request(get("/"), true).unwrap();
        let response = response.await.unwrap();
        // Nothing of the body is taken: the backend is held up after what buffers hold.
        let written = tokio::task::spawn_blocking(move || written.recv().unwrap()).await.unwrap();
        assert!(written < LEN / 2, "{written} bytes were taken from the backend");
        drop(response);
    });
    gateway.until("few buffers lent", |counters| counters.buffer_bytes < 1 << 20);
}

fn a_client_that_resets_a_stream_ends_its_exchange(driver: Driver) {
    let (told, ended) = channel();
    let backend = Backend::start(move |mut exchange| {
        exchange.request();
        // The gateway closes what nobody waits for.
        let _ = told.send(exchange.byte());
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let (response, mut stream) = ready.send_request(get("/"), true).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.send_reset(h2::Reason::CANCEL);
        let ended = tokio::task::spawn_blocking(move || ended.recv().unwrap()).await.unwrap();
        assert!(matches!(ended, Ok(None) | Err(_)), "{ended:?}");
        drop(response);
    });
    let line = gateway.log_lines(1).remove(0);
    assert_eq!(line["reason"], "client_closed");
}

fn a_backend_that_breaks_resets_the_stream(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        exchange.request();
        let _ = exchange.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |mut client| async move {
        let broken = ask(&mut client, get("/")).await.unwrap_err();
        assert_eq!(broken.reason(), Some(h2::Reason::INTERNAL_ERROR));
        // Other streams are not touched.
        let broken = ask(&mut client, get("/")).await.unwrap_err();
        assert!(broken.is_reset() && broken.is_remote());
    });
}

fn an_early_response_ends_the_request_without_an_error(driver: Driver) {
    let backend = Backend::start(|mut exchange| {
        exchange.head();
        let _ = exchange
            .stream
            .write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let post = Request::post("http://a.example/").body(()).unwrap();
        let (response, mut stream) = ready.send_request(post, false).unwrap();
        let response = whole(response.await.unwrap()).await.unwrap();
        assert_eq!((response.status.as_u16(), response.text()), (401, "no"));
        let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
        assert_eq!(reset, h2::Reason::NO_ERROR);
    });
}

fn a_client_that_writes_first_sees_an_early_response(driver: Driver) {
    static LONG: [u8; 2_000_000] = [b'x'; 2_000_000];
    let backend = Backend::named("app");
    let config = Config::default().rule(forward("/app", "app")).endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    connected(&gateway, |mut client| async move {
        let post = Request::post("http://a.example/other").body(()).unwrap();
        let refused = send(&mut client, post, &[&LONG], None).await.unwrap();
        assert_eq!(
            (refused.status.as_u16(), refused.header("x-sluice-reason")),
            (404, Some("no_rule_for_path"))
        );
    });
}

/// A client that goes on with its requests, more often than errors may be made, keeps its connection.
fn early_responses_are_no_errors(driver: Driver) {
    let backend = Backend::named("app");
    let config = Config::default().rule(forward("/app", "app")).endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    let mut peer = Peer::connect(gateway.address);
    for stream in 0..150 {
        // There is no route, and no end of the body.
        peer.send(&frame(HEADERS, END_HEADERS, 2 * stream + 1, POST), 1);
        peer.until_responses(stream as usize + 1);
        peer.send(&frame(RST_STREAM, 0, 2 * stream + 1, &[0, 0, 0, 8]), 1);
    }
    // Left to the gateway, which resets each without an error once it has waited.
    for stream in 150..240 {
        peer.send(&frame(HEADERS, END_HEADERS, 2 * stream + 1, POST), 1);
    }
    peer.until_responses(240);
    assert_eq!((peer.goaway, peer.closed), (None, false));
    let counters = gateway.metrics().counters;
    assert_eq!((counters.h2_malformed, counters.h2_floods), (0, 0));
}

fn interim_responses_are_passed_on(driver: Driver) {
    let backend = Backend::answering(|_| {
        let mut out = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".to_vec();
        out.extend(ok("done"));
        out
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let (mut response, _) = ready.send_request(get("/"), true).unwrap();
        let hints = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!(
            (hints.status().as_u16(), &hints.headers()["link"]),
            (103, &HeaderValue::from_static("</a.css>"))
        );
        assert_eq!(whole(response.await.unwrap()).await.unwrap().text(), "done");
    });
}

fn logins_of_a_connection_want_http_1(driver: Driver) {
    let backend = Backend::answering(|_| {
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    connected(&gateway, |mut client| async move {
        let asked = ask(&mut client, get("/")).await.unwrap_err();
        assert_eq!(asked.reason(), Some(h2::Reason::HTTP_1_1_REQUIRED));
        let logged =
            Request::get("http://a.example/").header("authorization", "Negotiate abc").body(()).unwrap();
        let logged = ask(&mut client, logged).await.unwrap_err();
        assert_eq!(logged.reason(), Some(h2::Reason::HTTP_1_1_REQUIRED));
    });
    assert_eq!(backend.accepted(), 1, "a request with such a login reaches no backend");
    assert_eq!(gateway.log_lines(2)[0]["reason"], "http1_required");
}

fn an_idle_connection_is_told_that_it_ends(driver: Driver) {
    let backend = Backend::named("app");
    let timeouts = Timeouts { client_idle: Duration::from_millis(300), ..Timeouts::default() };
    let gateway = Gateway::with(
        driver,
        &Config::to(backend.address()),
        ProxyConfig { timeouts, ..ProxyConfig::default() },
    );
    let mut peer = Peer::connect(gateway.address);
    peer.get(1);
    peer.until_closed();
    assert_eq!(peer.goaway, Some(0), "no error");
    assert!(peer.responses > 0);
}

fn the_quietest_leaves_where_memory_is_short(driver: Driver) {
    let backend = Backend::named("app");
    // Room for two.
    let proxy = ProxyConfig { buffer_limit: 4 * 60 * 1024, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
    let mut peers: Vec<_> = (0..3)
        .map(|_| {
            let mut peer = Peer::connect(gateway.address);
            peer.get(1);
            peer.until_responses(1);
            peer
        })
        .collect();
    let mut last = peers.split_off(1);
    let mut first = peers.remove(0);
    first.until_closed();
    assert_eq!(first.goaway, Some(0));
    for peer in &mut last {
        peer.get(3);
        peer.until_responses(2);
    }
}

fn a_drain_is_told_and_lets_streams_end(driver: Driver) {
    let (go, going) = channel::<()>();
    let going = std::sync::Mutex::new(going);
    let backend = Backend::start(move |mut exchange| {
        while exchange.request().is_some() {
            let _ = going.lock().unwrap().recv();
            let _ = exchange.stream.write_all(&ok("late"));
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let mut peer = Peer::connect(gateway.address);
    peer.get(1);
    gateway.until("a request under way", |counters| counters.active_requests == 1);
    let limits =
        DrainLimits { accept: Duration::ZERO, idle: Duration::from_secs(1), max: Duration::from_secs(20) };
    let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    // Told at a time of its own within half of the maximum.
    peer.until_goaway();
    assert_eq!(peer.goaway, Some(0));
    go.send(()).unwrap();
    peer.until_closed();
    assert_eq!(peer.responses, 1, "what was begun is served");
    let drained = support::block_on(drained).unwrap();
    assert_eq!(drained.aborted, 0);
}

fn a_drain_ends_who_has_no_stream(driver: Driver) {
    let backend = Backend::named("app");
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    // It reads nothing, so it never says that it knows of the end.
    let _silent = Peer::connect(gateway.address);
    gateway.until("a connection over HTTP/2", |counters| counters.h2_connections == 1);
    assert_eq!(gateway.drain(Duration::ZERO, Duration::from_secs(3)).aborted, 0);
}

fn a_connection_of_a_drain_is_told_too(driver: Driver) {
    let (go, going) = channel::<()>();
    let going = std::sync::Mutex::new(going);
    let backend = Backend::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if request.target == "/" {
                let _ = going.lock().unwrap().recv();
            }
            let _ = exchange.stream.write_all(&ok("late"));
        }
    });
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let accept = Duration::from_secs(3);
    let limits = DrainLimits { accept, idle: accept, max: 4 * accept };
    let drained = gateway.send(|reply| WorkerCommand::Drain { limits, reply });
    until("a drain that has begun", || {
        (gateway.get("/now").header("connection") == Some("close")).then_some(())
    });
    let mut peer = Peer::connect(gateway.address);
    peer.get(1);
    peer.until_goaway();
    go.send(()).unwrap();
    peer.until_responses(1);
    assert_eq!(support::block_on(drained).unwrap().aborted, 0);
}

fn without_http2_it_is_refused(driver: Driver) {
    let backend = Backend::named("app");
    let gateway = Gateway::with(
        driver,
        &Config::to(backend.address()),
        ProxyConfig { http2: false, ..ProxyConfig::default() },
    );
    let mut client = gateway.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let refused = client.response().unwrap();
    assert_eq!((refused.status, refused.header("x-sluice-reason")), (505, Some("http2_preface")));
}
