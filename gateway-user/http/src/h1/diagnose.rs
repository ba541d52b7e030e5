//! Names what is wrong with a head that the parser refused. Runs on refused heads only.

use gateway_grammar::token::{is_ows, is_token, is_value_byte};
use memchr::memchr;

use super::error::{FieldError, RequestError};

/// A first line, and what follows it.
pub(crate) enum Line<'a> {
    /// Without its CRLF.
    Whole(&'a [u8], &'a [u8]),
    /// No line end yet.
    Open(&'a [u8]),
    /// Its end or its inside is wrong.
    Invalid(FieldError),
}

/// Splits off the first line, whose end must be CRLF.
pub(crate) fn first_line(bytes: &[u8]) -> Line<'_> {
    let Some(end) = memchr(b'\n', bytes) else {
        let open = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        return if open.contains(&b'\r') { Line::Invalid(FieldError::BareCr) } else { Line::Open(open) };
    };
    let (line, rest) = (bytes.get(..end).unwrap_or_default(), bytes.get(end + 1..).unwrap_or_default());
    match line.strip_suffix(b"\r") {
        None if line.contains(&b'\r') => Line::Invalid(FieldError::BareCr),
        None => Line::Invalid(FieldError::BareLf),
        Some(line) if line.contains(&b'\r') => Line::Invalid(FieldError::BareCr),
        Some(line) => Line::Whole(line, rest),
    }
}

/// The first fault in a section of field lines; `None` when every whole line is in order.
pub(crate) fn in_fields(mut bytes: &[u8]) -> Option<FieldError> {
    loop {
        let (line, rest) = match first_line(bytes) {
            Line::Invalid(error) => return Some(error),
            Line::Whole(b"", _) => return None,
            Line::Whole(line, rest) => (line, Some(rest)),
            Line::Open(line) => (line, None),
        };
        if let Some(error) = in_line(line, rest.is_some()) {
            return Some(error);
        }
        bytes = rest?;
    }
}

fn in_line(line: &[u8], whole: bool) -> Option<FieldError> {
    if line.first().is_some_and(|&b| is_ows(b)) {
        return Some(FieldError::ObsFold);
    }
    let Some(colon) = memchr(b':', line) else {
        let name_so_far = line.is_empty() || is_token(line);
        return (whole || !name_so_far).then(|| {
            if line.last().is_some_and(|&b| is_ows(b)) {
                FieldError::SpaceBeforeColon
            } else {
                FieldError::BadName
            }
        });
    };
    let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
    if is_token(name) {
        return (!value.iter().all(|&b| is_value_byte(b))).then_some(FieldError::BadValue);
    }
    let trimmed =
        name.iter().rposition(|&b| !is_ows(b)).and_then(|last| name.get(..=last)).unwrap_or_default();
    Some(if trimmed.len() < name.len() && is_token(trimmed) {
        FieldError::SpaceBeforeColon
    } else {
        FieldError::BadName
    })
}

/// Why a request head, blank lines before it skipped, is refused.
pub(crate) fn in_request(bytes: &[u8]) -> RequestError {
    // The type of a TLS handshake record; no token begins with it.
    if bytes.first() == Some(&0x16) {
        return RequestError::TlsOnPlaintext;
    }
    if bytes.starts_with(b"PRI * HTTP/2") {
        return RequestError::Http2Preface;
    }
    let (line, rest) = match first_line(bytes) {
        Line::Invalid(error) => return RequestError::Field(error),
        Line::Open(line) => (line, None),
        Line::Whole(line, rest) => (line, Some(rest)),
    };
    match (in_request_line(line, rest.is_some()), rest) {
        (Some(error), _) => error,
        (None, Some(rest)) => in_fields(rest).map_or(RequestError::BadRequestLine, RequestError::Field),
        (None, None) => RequestError::BadRequestLine,
    }
}

fn in_request_line(line: &[u8], whole: bool) -> Option<RequestError> {
    let mut words = line.splitn(3, |&b| b == b' ');
    let method = words.next().unwrap_or_default();
    if !is_token(method) {
        let method_like = method.first().is_some_and(|b| b.is_ascii_alphabetic());
        return Some(if method_like { RequestError::BadMethod } else { RequestError::BadRequestLine });
    }
    let Some(target) = words.next() else { return Some(RequestError::BadRequestLine) };
    if !target.iter().all(u8::is_ascii_graphic) {
        return Some(RequestError::BadTarget);
    }
    let known = |version: &[u8]| version.starts_with(b"HTTP/1.0") || version.starts_with(b"HTTP/1.1");
    match words.next() {
        Some(b"HTTP/1.0" | b"HTTP/1.1") => None,
        _ if target.is_empty() => Some(RequestError::BadRequestLine),
        Some(version) if is_version(version) => Some(RequestError::UnsupportedVersion),
        Some(version) if !whole && version.starts_with(b"HTTP/") && !known(version) => {
            Some(RequestError::UnsupportedVersion)
        }
        _ => Some(RequestError::BadRequestLine),
    }
}

/// `HTTP/` DIGIT `.` DIGIT (RFC 9112 section 2.3).
fn is_version(word: &[u8]) -> bool {
    matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}
