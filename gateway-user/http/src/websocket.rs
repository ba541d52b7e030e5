//! The handshake of WebSocket (RFC 6455 section 4): what a client must send, and what a server must respond, before bytes
//! that are no HTTP any more may pass.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_grammar::Method;
use sha1::{Digest as _, Sha1};

use crate::h1::{Request, Version};
use crate::head::Fields;

/// The protocol's token in `Upgrade` and in `:protocol`, which compares without case (RFC 6455 section 4.2.1).
pub const TOKEN: &str = "websocket";
/// The only version (RFC 6455 section 4.1).
pub const VERSION: &str = "13";
/// Bytes of a key before it is encoded.
pub const KEY_LEN: usize = 16;

/// Appended to the key before it is hashed (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Characters of a key.
pub const KEY_TEXT: usize = 24;
/// And of an accept value.
const ACCEPT_TEXT: usize = 28;

/// Why a client's handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HandshakeError {
    /// The method is not `GET`.
    #[error("a WebSocket handshake is a GET")]
    Method,
    /// The request announces a body, whose bytes would be taken for those of the connection.
    #[error("a WebSocket handshake has no body")]
    Body,
    /// `Sec-WebSocket-Key` is missing, repeated, or no base64 of 16 bytes.
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    Key,
    /// `Sec-WebSocket-Version` is missing, repeated, or another version than 13.
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
}

impl HandshakeError {
    /// Stable code in snake_case, for `x-sluice-reason` and the access log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Method => "websocket_bad_method",
            Self::Body => "websocket_body",
            Self::Key => "websocket_bad_key",
            Self::Version => "websocket_bad_version",
        }
    }

    /// The status of the response. A client of another version learns ours by 426 (RFC 6455 section 4.4).
    pub fn status(self) -> u16 {
        match self {
            Self::Method | Self::Body | Self::Key => 400,
            Self::Version => 426,
        }
    }
}

/// The `Sec-WebSocket-Accept` that fits a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Accept([u8; ACCEPT_TEXT]);

impl std::fmt::Debug for Accept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Accept({})", self.0.escape_ascii())
    }
}

impl Accept {
    /// For a key as it was sent, encoded (RFC 6455 section 4.2.2).
    pub fn of_key(key: &[u8]) -> Self {
        let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        let mut text = [0; ACCEPT_TEXT];
        // Fits: base64 of 20 bytes has 28 characters.
        let _ = STANDARD.encode_slice(hash, &mut text);
        Self(text)
    }

    /// The value of the field.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A key made of these random bytes, encoded.
pub fn key(random: [u8; KEY_LEN]) -> [u8; KEY_TEXT] {
    let mut text = [0; KEY_TEXT];
    // Fits: base64 of 16 bytes has 24 characters.
    let _ = STANDARD.encode_slice(random, &mut text);
    text
}

/// Checks the request of a handshake whose `Upgrade` names [`TOKEN`]; gives the value that the response must have.
///
/// HTTP/1.1, `Host`, `Connection` and `Upgrade` were the codec's to check ([`Request::upgrade`]).
///
/// # Errors
/// The first rule of RFC 6455 section 4.2.1 that the request breaks.
pub fn check_request(request: &Request<'_>) -> Result<Accept, HandshakeError> {
    debug_assert_eq!(request.version(), Version::Http11, "HTTP/1.0 has no Upgrade");
    if request.method() != Method::Get {
        return Err(HandshakeError::Method);
    }
    if !request.framing().is_empty() {
        return Err(HandshakeError::Body);
    }
    let fields = request.fields();
    if only(fields, b"sec-websocket-version") != Some(VERSION.as_bytes()) {
        return Err(HandshakeError::Version);
    }
    let key = only(fields, b"sec-websocket-key").filter(|key| is_key(key)).ok_or(HandshakeError::Key)?;
    Ok(Accept::of_key(key))
}

/// True if the fields of a 101 that switches to [`TOKEN`] have the accept value that fits (RFC 6455 section 4.1).
pub fn check_response(fields: Fields<'_>, accept: &Accept) -> bool {
    only(fields, b"sec-websocket-accept") == Some(accept.as_bytes())
}

/// The value of a field that must stand once.
fn only<'a>(fields: Fields<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = fields.get_all(name);
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}

/// True for base64 of 16 bytes. The bits that the last character has to spare need not be zero: clients were seen that
/// send random text of that form, and servers hash it as it is.
fn is_key(key: &[u8]) -> bool {
    let Some((digits, b"==")) = key.split_last_chunk::<2>() else {
        return false;
    };
    digits.len() == KEY_TEXT - 2
        && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{HeadLimits, RequestHead, ResponseHead};

    fn checked(line: &str, fields: &[&str]) -> Result<Accept, HandshakeError> {
        let wire = format!(
            "{line}\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{}\r\n",
            fields.iter().map(|field| format!("{field}\r\n")).collect::<String>()
        );
        let mut head = RequestHead::new();
        head.parse(wire.as_bytes(), &HeadLimits::default()).unwrap();
        check_request(&head.view(wire.as_bytes()))
    }

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    const V13: &str = "Sec-WebSocket-Version: 13";

    /// RFC 6455 section 1.3.
    #[test]
    fn the_example_of_the_standard_fits() {
        let accept = checked("GET /chat HTTP/1.1", &[KEY, V13]).unwrap();
        assert_eq!(accept.as_bytes(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(key(*b"the sample nonce"), *b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(format!("{accept:?}"), "Accept(s3pPLMBiTxaQ9kYGzzhZRbK+xOo=)");
    }

    #[test]
    fn every_rule_has_its_refusal() {
        let get = "GET / HTTP/1.1";
        for (line, fields, want) in [
            ("POST / HTTP/1.1", &[KEY, V13][..], HandshakeError::Method),
            ("HEAD / HTTP/1.1", &[KEY, V13], HandshakeError::Method),
            (get, &[KEY, V13, "Content-Length: 1"], HandshakeError::Body),
            (get, &[KEY, V13, "Transfer-Encoding: chunked"], HandshakeError::Body),
            (get, &[KEY], HandshakeError::Version),
            (get, &[KEY, "Sec-WebSocket-Version: 8"], HandshakeError::Version),
            (get, &[KEY, "Sec-WebSocket-Version: 13, 8"], HandshakeError::Version),
            (get, &[KEY, V13, V13], HandshakeError::Version),
            (get, &[V13], HandshakeError::Key),
            (get, &[V13, KEY, KEY], HandshakeError::Key),
            (get, &[V13, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"], HandshakeError::Key),
            (get, &[V13, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"], HandshakeError::Key),
            (get, &[V13, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE="], HandshakeError::Key),
            (get, &[V13, "Sec-WebSocket-Key: dGhlIHNhbXBsZS-ub25jZQ=="], HandshakeError::Key),
            (get, &[V13, "Sec-WebSocket-Key:"], HandshakeError::Key),
        ] {
            assert_eq!(checked(line, fields), Err(want), "{line} {fields:?}");
        }
        assert!(checked(get, &[KEY, V13, "Content-Length: 0"]).is_ok());
        assert!(checked(get, &[V13, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="]).is_ok());
    }

    #[test]
    fn a_response_must_have_the_value_that_fits_once() {
        let accept = Accept::of_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        let fits = |fields: &str| {
            let wire = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
            let mut head = ResponseHead::new();
            head.parse(wire.as_bytes(), &HeadLimits::default(), Method::Get).unwrap();
            check_response(head.view(wire.as_bytes()).fields(), &accept)
        };
        let right = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        assert!(fits(right));
        assert!(!fits("") && !fits(&right.repeat(2)));
        assert!(!fits("Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    }
}
