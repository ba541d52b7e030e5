//! Attempts: when another one is at no charge, is not made, and what it holds and says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gateway_io::Driver;
use gateway_ir::{BackendProtocol, ClusterKey, Filter, Retry, Timeouts, WeightedBackend, WeightedTarget};
use gateway_proxy::ProxyConfig;
use gateway_testkit::http2::client::{connected, send};
use gateway_testkit::tls::Authority;
use gateway_testkit::wait::until;
use h2::Reason;
use http::{Request, Response};

use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::support::h2_backend::{H2Backend, send as respond};
use crate::support::ir::{Config, cluster, forward, headers, rule};
use crate::support::secure::trusting;
use crate::{Seen, closing, down, on_every_driver, retry};

on_every_driver![
    a_refused_request_is_sent_again_on_another_connection,
    a_login_is_not_tried_again,
    connecting_has_an_attempts_time,
    filters_have_the_last_word_on_a_calls_time,
    a_request_that_waits_holds_no_waiting_place,
];

fn a_refused_request_is_sent_again_on_another_connection(driver: Driver) {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    // Each connection refuses all requests, but the third and those after it.
    let backend = H2Backend::start(move |mut exchange| {
        let count = Arc::clone(&count);
        async move {
            if exchange.connection < 2 {
                count.fetch_add(1, Ordering::SeqCst);
                return exchange.response.send_reset(Reason::REFUSED_STREAM);
            }
            let _ = exchange.body().await;
            exchange.ok("up").await;
        }
    });
    let gateway = Gateway::start(driver, &Config::to_h2(backend.address()).retry(&retry(&[], 1)));
    let response = gateway.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((response.text().as_str(), refused.load(Ordering::SeqCst)), ("up", 2));
    let counters = gateway.until("the counts", |counters| counters.retries_succeeded == 1);
    assert_eq!((counters.retries, counters.upstream_retries), (1, 1), "the first time at no charge");
    assert_eq!(backend.accepted(), 3);
}

fn a_login_is_not_tried_again(driver: Driver) {
    let (backend, seen) = closing(1);
    let gateway = Gateway::start(driver, &Config::to(backend.address()).retry(&retry(&[], 1)));
    let response = gateway.raw("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM anna\r\n\r\n");
    assert_eq!((response.status, seen.count()), (502, 1));
}

/// Everything to one address over TLS.
fn over_tls(address: SocketAddr) -> Config {
    let key = ClusterKey { protocol: BackendProtocol::Http1, tls: true, ..cluster("app") };
    let share =
        WeightedBackend { weight: 1, target: WeightedTarget::Cluster(key.clone()), filters: Vec::new() };
    let mut config = Config::default().rule(rule("/", gateway_ir::Action::Forward(vec![share])));
    config.endpoints.clusters.insert(key.clone(), [address].as_slice().into());
    config.endpoints.tls.insert(key, Arc::new(trusting(&Authority::new())));
    config
}

fn connecting_has_an_attempts_time(driver: Driver) {
    // Says nothing to who would speak TLS.
    let backend = Backend::start(|mut exchange| while matches!(exchange.byte(), Ok(Some(_))) {});
    let timeouts = Timeouts { request_ms: None, backend_request_ms: Some(100) };
    let config = over_tls(backend.address()).timeouts(timeouts).retry(&retry(&[], 2));
    let gateway = Gateway::start(driver, &config);
    let post = gateway.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((post.status, post.header("x-sluice-reason")), (504, Some("backend_request_timeout")));
    // The request reached no backend: whatever its method, it can be made again.
    assert_eq!(gateway.metrics().counters.retries, 2);
}

fn filters_have_the_last_word_on_a_calls_time(driver: Driver) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let own = Arc::clone(&seen);
    let backend = H2Backend::start(move |mut exchange| {
        let own = Arc::clone(&own);
        async move {
            let time =
                exchange.request.headers().get("grpc-timeout").map(|time| time.to_str().unwrap().to_owned());
            let is_first = {
                let mut seen = own.lock().unwrap();
                seen.push(time.unwrap_or_default());
                seen.len() == 1
            };
            let _ = exchange.body().await;
            let head = Response::builder().header("content-type", "application/grpc");
            if is_first {
                let head = head.header("grpc-status", "14").body(()).unwrap();
                drop(exchange.response.send_response(head, true));
                return;
            }
            let Ok(stream) = exchange.response.send_response(head.body(()).unwrap(), false) else { return };
            let _ = respond(stream, "up".into(), None).await;
        }
    });
    for (changes, expected) in
        [(headers(&[("grpc-timeout", "5S")], &[], &[]), "5S"), (headers(&[], &[], &["grpc-timeout"]), "")]
    {
        seen.lock().unwrap().clear();
        let mut config = Config::to_h2(backend.address()).retry(&retry(&[], 1));
        config.rules[0].filters.push(Filter::RequestHeaders(changes));
        let gateway = Gateway::start(driver, &config);
        let whole = connected(gateway.address, |mut client| async move {
            let call = Request::post("http://a/a.B/C").header("content-type", "application/grpc");
            let call = call.header("grpc-timeout", "30S").body(()).unwrap();
            send(&mut client, call, &[b"\0\0\0\0\x02hi"], None).await.unwrap()
        });
        assert_eq!(
            (whole.text(), seen.lock().unwrap().as_slice()),
            ("up", [expected.to_owned(), expected.to_owned()].as_slice())
        );
    }
}

fn a_request_that_waits_holds_no_waiting_place(driver: Driver) {
    let seen = Seen::default();
    let own = seen.clone();
    let backend = Backend::answering(move |request| {
        own.push(request);
        if request.target == "/waits" { down(503) } else { ok("up") }
    });
    let limits = ProxyConfig { max_upstream_pending: 1, ..ProxyConfig::default() };
    let slow = Retry { backoff_ms: 30_000, ..retry(&[503], 1) };
    let config = Config::default().rule(forward("/", "app")).endpoints("app", &[backend.address()]);
    let gateway = Gateway::with(driver, &config.retry(&slow), limits);
    let mut client = gateway.connect();
    client.send("GET /waits HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("an attempt", || (seen.count() == 1).then_some(()));
    // Its response is read by then, or will be at once.
    until("another request's place", || (gateway.get("/other").status == 200).then_some(()));
    let waiting = seen.take().iter().filter(|request| request.target == "/waits").count();
    assert_eq!(waiting, 1, "it waits still");
}
