//! JSON strings out of any bytes, and numbers, without allocating beyond the output's own growth.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::observe::text;

/// Writes `,"name":`; names are ours and need no escaping.
macro_rules! name {
    ($out:expr, $name:literal) => {
        $out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes())
    };
}
pub(crate) use name;

/// Writes bytes as a JSON string (RFC 8259 section 7). UTF-8 stays as it is; a byte that is not part of UTF-8
/// is written as the Latin-1 character it was in HTTP/1's history (RFC 9110 section 5.5), so nothing is lost.
pub(crate) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    for chunk in bytes.utf8_chunks() {
        escaped(out, chunk.valid());
        for byte in chunk.invalid() {
            escape(out, u32::from(*byte));
        }
    }
    out.push(b'"');
}

/// Writes a string, or `null`.
pub(crate) fn optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => string(out, bytes),
        None => out.extend_from_slice(b"null"),
    }
}

/// Writes an address as a JSON string.
pub(crate) fn ip(out: &mut Vec<u8>, address: IpAddr) {
    out.push(b'"');
    // Writing to a Vec cannot fail.
    let _ = text::ip(out, address);
    out.push(b'"');
}

/// Writes an address and a port as a JSON string.
pub(crate) fn socket(out: &mut Vec<u8>, address: SocketAddr) {
    out.push(b'"');
    let _ = text::socket(out, address);
    out.push(b'"');
}

/// Writes a whole number.
pub(crate) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes microseconds as milliseconds with three decimals.
pub(crate) fn millis(out: &mut Vec<u8>, micros: u64) {
    number(out, micros / 1000);
    out.push(b'.');
    decimals(out, micros % 1000);
}

/// Writes a number below 1,000 with three digits.
pub(crate) fn decimals(out: &mut Vec<u8>, number: u64) {
    let digits = [number / 100, number / 10 % 10, number % 10];
    out.extend_from_slice(&digits.map(|digit| b'0' + (digit % 10) as u8));
}

/// True for ASCII of which nothing is escaped, as nearly all is. Every byte is looked at, so that many are at once.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |so_far, byte| so_far & byte.is_ascii() & !needs_escape(*byte))
}

fn escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| needs_escape(*b)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        match special.split_first() {
            Some((b'"', after)) => {
                out.extend_from_slice(b"\\\"");
                rest = after;
            }
            Some((b'\\', after)) => {
                out.extend_from_slice(b"\\\\");
                rest = after;
            }
            Some((control, after)) => {
                escape(out, u32::from(*control));
                rest = after;
            }
            None => rest = special,
        }
    }
    out.extend_from_slice(rest);
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte == 0x7f
}

fn escape(out: &mut Vec<u8>, code: u32) {
    let _ = write!(out, "\\u{code:04x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, bytes);
        out
    }

    #[test]
    fn every_octet_survives_a_json_parser() {
        let all: Vec<u8> = (0..=255).collect();
        let read: String = serde_json::from_slice(&written(&all)).unwrap();
        let latin1: String = all.iter().map(|b| char::from(*b)).collect();
        assert_eq!(read, latin1);
    }

    #[test]
    fn utf8_stays_and_quotes_are_escaped() {
        assert_eq!(
            written("grüße \"x\" \\ \u{1F980}".as_bytes()),
            "\"grüße \\\"x\\\" \\\\ \u{1F980}\"".as_bytes()
        );
        assert_eq!(written(b"a\r\n\x00b"), br#""a\u000d\u000a\u0000b""#);
        assert_eq!(written(b""), b"\"\"");
    }

    #[test]
    fn random_octets_always_parse() {
        let mut state = 7_u32;
        for len in 0..300 {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            serde_json::from_slice::<String>(&written(&bytes)).unwrap();
        }
    }
}
