//! One request to a process on this machine.

use std::io::{Read, Write};

use anyhow::Context as _;

/// Largest response that is read, in bytes.
const LARGEST: u64 = 256 << 20;

/// Its response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: String,
}

/// One `GET`. HTTP/1.0, so that the response ends with the connection and is not chunked.
///
/// # Errors
/// The connection fails, or what comes is no HTTP.
pub(super) fn get(mut stream: impl Read + Write, host: &str, path: &str) -> anyhow::Result<Response> {
    // A server that refuses this user may have closed by now; its response says so.
    let sent = write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    let mut response = String::new();
    let read = stream.take(LARGEST).read_to_string(&mut response);
    if response.is_empty() {
        sent?;
        read?;
    }
    let (head, body) = response.split_once("\r\n\r\n").context("the response is no HTTP")?;
    let status = head.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok());
    Ok(Response { status: status.unwrap_or_default(), body: body.to_owned() })
}
