//! One handler per path.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;

use super::request::{ReceivedRequest, header_map};

/// Most bytes that `/bytes/N` sends.
const MAX_BYTES: u64 = 1 << 30;
/// Most lines that `/stream/N` sends.
const MAX_LINES: u64 = 1_000_000;
/// Longest `/delay/N`.
const MAX_DELAY: f64 = 300.0;

/// The request as JSON.
pub(super) async fn echo(seen: ReceivedRequest) -> Response {
    pretty(StatusCode::OK, &seen.into_json())
}

/// The request's header fields as JSON.
pub(super) async fn headers(headers: HeaderMap) -> Response {
    pretty(StatusCode::OK, &json!({ "headers": header_map(&headers) }))
}

/// An empty response with a status of the client's choice.
pub(super) async fn status(Path(code): Path<String>, _seen: ReceivedRequest) -> Response {
    match code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(code) if code.as_u16() >= 200 => code.into_response(),
        _ => refuse("write a status from 200 to 999, such as /status/503"),
    }
}

/// The request as JSON, after a while.
pub(super) async fn delay(Path(seconds): Path<String>, seen: ReceivedRequest) -> Response {
    match seconds.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_DELAY).contains(&seconds) => {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            pretty(StatusCode::OK, &seen.into_json())
        }
        _ => refuse("write seconds from 0 to 300, such as /delay/0.5"),
    }
}

/// That many bytes, with a `Content-Length`; byte i is `i % 251`, so that a receiver can check its order.
pub(super) async fn bytes(Path(count): Path<String>, _seen: ReceivedRequest) -> Response {
    let Some(count) = count.parse::<u64>().ok().filter(|count| *count <= MAX_BYTES) else {
        return refuse("write a count up to 1073741824, such as /bytes/1024");
    };
    let parts = stream::unfold(0_u64, move |sent| async move {
        let length = (count - sent).min(64 << 10);
        let part: Vec<u8> = (sent..sent + length).map(|i| (i % 251) as u8).collect();
        (length > 0).then(|| (Ok::<_, Infallible>(Bytes::from(part)), sent + length))
    });
    let kind = (header::CONTENT_TYPE, "application/byte-stream".to_owned());
    ([kind, (header::CONTENT_LENGTH, count.to_string())], Body::from_stream(parts)).into_response()
}

/// That many JSON lines, without a length: hyper sends them chunked.
pub(super) async fn stream(Path(count): Path<String>, seen: ReceivedRequest) -> Response {
    let Some(count) = count.parse::<u64>().ok().filter(|count| *count <= MAX_LINES) else {
        return refuse("write a count up to 1000000, such as /stream/10");
    };
    let json = seen.into_json();
    let lines = stream::iter((0..count).map(move |id| {
        let mut line = json.clone();
        line["id"] = json!(id);
        Ok::<_, Infallible>(Bytes::from(format!("{line}\n")))
    }));
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

/// 404 that shows what was asked for, since a wrong rewrite ends here.
pub(super) async fn not_found(seen: ReceivedRequest) -> Response {
    pretty(StatusCode::NOT_FOUND, &json!({ "error": "no such path", "request": seen.into_json() }))
}

fn pretty(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{value:#}\n")).into_response()
}

fn refuse(fix: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{fix}\n")).into_response()
}
