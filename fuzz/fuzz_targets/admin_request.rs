//! Requests of probes, scrapers and operators: no bytes make the server panic, wait
//! after the end of its client, or send more than a bounded response to each request.
#![no_main]

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::get;
use gateway_admin::{Hosts, Pages, serve_connection};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Longest body that a request may have, in bytes.
const BODY: usize = 64;
/// The page that is served.
const PAGE: &str = "# HELP a_total Help.\na_total 1\n";
/// Most bytes of one response: its head, and the longest body there is.
const RESPONSE: usize = 1024;

fn router() -> Router {
    let pages = Arc::new(Pages::default());
    let page = move || {
        let pages = Arc::clone(&pages);
        async move { pages.get(|| async { vec![Bytes::from_static(PAGE.as_bytes())] }).await.body() }
    };
    let change = |filter: String| async move {
        if filter.len() > BODY { (StatusCode::BAD_REQUEST, String::new()) } else { (StatusCode::OK, filter) }
    };
    Router::new()
        .route("/healthz/ready", get(|| async { "ready\n" }))
        .route("/metrics", get(page))
        .route("/logging", get(|| async { "info\n" }).put(change).layer(DefaultBodyLimit::max(BODY)))
}

async fn said(data: &[u8], hosts: Hosts) -> Vec<u8> {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let serving = serve_connection(far, router(), hosts);
    let talking = async {
        near.write_all(data).await.expect("there is room for all of it");
        near.shutdown().await.expect("an end in memory");
        let mut said = Vec::new();
        near.read_to_end(&mut said).await.expect("an end in memory");
        said
    };
    tokio::join!(serving, talking).1
}

fuzz_target!(|data: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for hosts in [Hosts::Any, Hosts::Own] {
        let said = runtime.block_on(said(data, hosts));
        // A request has two line ends at least.
        let requests = data.iter().filter(|byte| **byte == b'\n').count() / 2 + 1;
        assert!(said.len() <= requests * RESPONSE, "{} bytes for {requests} requests", said.len());
        assert!(said.is_empty() || said.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&said));
    }
});
