//! The request as the backend saw it, as JSON in httpbin's shape.

use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::Shared;

/// Largest body that is echoed, in bytes; it is held in memory.
const LIMIT: usize = 64 << 20;

/// A request, read to its end.
#[derive(Debug)]
pub(super) struct ReceivedRequest {
    json: Value,
}

impl ReceivedRequest {
    /// Everything that was seen.
    pub(super) fn into_json(self) -> Value {
        self.json
    }
}

impl FromRequest<Shared> for ReceivedRequest {
    type Rejection = (StatusCode, String);

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let data = read(body).await?;
        let host = parts.headers.get("host").map_or_else(String::new, |v| lossy(v.as_bytes()));
        let mut json = json!({
            "method": parts.method.as_str(),
            "url": format!("http://{host}{}", parts.uri),
            "path": parts.uri.path(),
            "args": args(parts.uri.query().unwrap_or_default()),
            "headers": header_map(&parts.headers),
            "origin": peer.map(|peer| peer.ip().to_string()),
            "version": format!("{:?}", parts.version),
            "data": lossy(&data),
            "length": data.len(),
        });
        if let Some(name) = &shared.name {
            json["backend"] = Value::from(name.as_ref());
        }
        if let Ok(parsed) = serde_json::from_slice::<Value>(&data) {
            json["json"] = parsed;
        }
        Ok(Self { json })
    }
}

async fn read(body: Body) -> Result<Vec<u8>, (StatusCode, String)> {
    match to_bytes(body, LIMIT).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err((StatusCode::PAYLOAD_TOO_LARGE, format!("body not read: {error}\n"))),
    }
}

/// Header fields by name as sent on the wire (lower case in hyper); several lines of one name are a list.
pub(super) fn header_map(headers: &HeaderMap) -> Value {
    let mut map = Map::new();
    for (name, value) in headers {
        put(&mut map, name.as_str().to_owned(), lossy(value.as_bytes()));
    }
    Value::Object(map)
}

fn args(query: &str) -> Value {
    let mut map = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        put(&mut map, decode(name), decode(value));
    }
    Value::Object(map)
}

fn put(map: &mut Map<String, Value>, name: String, value: String) {
    match map.entry(name) {
        serde_json::map::Entry::Vacant(entry) => {
            entry.insert(Value::from(value));
        }
        serde_json::map::Entry::Occupied(mut entry) => match entry.get_mut() {
            Value::Array(list) => list.push(Value::from(value)),
            single => *single = json!([single.take(), value]),
        },
    }
}

/// Percent-decoding with `+` as a blank (WHATWG URL, `application/x-www-form-urlencoded`).
fn decode(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(byte),
        }
    }
    lossy(&out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
