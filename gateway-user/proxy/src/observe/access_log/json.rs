//! JSON strings out of any bytes, and numbers, without allocating beyond the output's own growth.

use std::io::Write as _;

/// Writes `,"name":` (without the comma after an opening brace); names are ours and need no escaping.
pub(crate) fn name(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writes bytes as a JSON string (RFC 8259 section 7). UTF-8 stays as it is; a byte that is not part of UTF-8
/// is written as the Latin-1 character it was in HTTP/1's history (RFC 9110 section 5.5), so nothing is lost.
pub(crate) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        text(out, chunk.valid());
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

/// Writes what `Display` gives as a JSON string; for types whose text needs no escaping.
pub(crate) fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "\"{value}\"");
}

/// Writes a whole number.
pub(crate) fn number(out: &mut Vec<u8>, value: u64) {
    let _ = write!(out, "{value}");
}

/// Writes microseconds as milliseconds with three decimals.
pub(crate) fn millis(out: &mut Vec<u8>, micros: u64) {
    let _ = write!(out, "{}.{:03}", micros / 1000, micros % 1000);
}

fn text(out: &mut Vec<u8>, text: &str) {
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
