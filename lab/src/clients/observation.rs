//! The responses that one try of a client saw.

use std::io::Cursor;

use gateway_testkit::http;
use serde::Deserialize;

use super::content;

/// Statuses of a try and the content of its last response; an error says why there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Observation {
    pub(super) statuses: Vec<u16>,
    pub(super) length: usize,
    /// Empty if the client shows the length alone.
    pub(super) sha256: String,
    /// Connections that were made, if the client can tell.
    pub(super) connections: Option<u32>,
    /// True if the TLS session was an earlier one, if the client can tell.
    pub(super) resumed: Option<bool>,
    /// The version of HTTP that all responses came by, if the client can tell: `2` or `1.1`.
    pub(super) version: Option<String>,
    /// The backend's trailer, if the client shows it.
    pub(super) trailer: Option<String>,
    pub(super) error: Option<String>,
}

impl Observation {
    /// One response.
    pub(super) fn of(status: u16, content: &[u8]) -> Self {
        let content::Digest { length, sha256 } = content::digest(content);
        Self { statuses: vec![status], length, sha256, ..Self::default() }
    }

    /// No response.
    pub(super) fn failed(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }

    /// The response that these bytes are, which a client printed as they came.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::failed("end without a byte");
        }
        match http::Client::over(Cursor::new(bytes.to_vec())).response() {
            Ok(response) => Self::of(response.status, &response.body),
            Err(error) => Self::failed(format!("{error} after {} bytes", bytes.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_a_response_only_to_its_end() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(Observation::of_bytes(whole), Observation::of(200, b"abc"));
        for cut in [&whole[..40], &whole[..20], b""] {
            assert!(Observation::of_bytes(cut).error.is_some(), "{cut:?}");
        }
    }

    #[test]
    fn a_line_of_json_may_leave_things_out() {
        let seen: Observation = serde_json::from_str(r#"{"job":3,"error":"EPIPE"}"#).unwrap();
        assert_eq!(seen, Observation::failed("EPIPE"));
    }
}
