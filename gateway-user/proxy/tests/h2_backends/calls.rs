//! gRPC calls to backends.

use std::future::pending;
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::client::{connected, send};
use crate::support::Gateway;
use crate::support::h2_backend::{self, Exchange, H2Backend};
use crate::support::ir::Config;

const LIMIT: Duration = Duration::from_millis(200);

fn post(content: &str) -> Request<()> {
    let request = Request::builder().method("POST").uri("http://a.example/a.B/C");
    request.header("content-type", content).body(()).unwrap()
}

/// Says nothing for longer than the limit, before its head and before its end. Calls alone have a response.
async fn quiet(mut exchange: Exchange) {
    let te = exchange.request.headers().get("te").cloned();
    if te.as_ref().is_none_or(|te| te != "trailers") {
        return pending().await;
    }
    let Some((body, _)) = exchange.body().await else { return };
    tokio::time::sleep(LIMIT * 3).await;
    let Ok(stream) = exchange.response.send_response(Response::new(()), false) else { return };
    tokio::time::sleep(LIMIT * 3).await;
    let mut status = HeaderMap::new();
    status.insert("grpc-status", HeaderValue::from_static("0"));
    let _ = h2_backend::send(stream, body.into(), Some(status)).await;
}

pub(crate) fn calls_may_be_silent_and_other_requests_may_not(driver: Driver) {
    let backend = H2Backend::start(quiet);
    let timeouts = Timeouts {
        client_body: LIMIT,
        response_header: LIMIT,
        upstream_idle_body: LIMIT,
        ..Timeouts::default()
    };
    let config = ProxyConfig { timeouts, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &Config::to_h2(backend.address()), config);
    connected(&gateway, |mut client| async move {
        let call = send(&mut client, post("application/grpc"), &[b"abc"], None).await.unwrap();
        assert_eq!((call.status.as_u16(), call.text()), (200, "abc"));
        assert_eq!(call.trailers.unwrap()["grpc-status"], "0");
        let other = send(&mut client, post("application/json"), &[b"abc"], None).await.unwrap();
        assert_eq!(
            (other.status.as_u16(), other.header("x-sluice-reason")),
            (504, Some("upstream_response_timeout"))
        );
    });
}
