//! gRPC over HTTP/2 as a gateway has part in it: deadlines, status codes, and the message of a status
//! (gRPC's PROTOCOL-HTTP2.md, statuscodes.md, http-grpc-status-mapping.md).

use std::io::{Cursor, Write as _};
use std::time::Duration;

use gateway_grammar::grpc::is_grpc;

use crate::h1::Method;
use crate::head::RequestParts;

/// Most digits of a `grpc-timeout`.
const TIMEOUT_DIGITS: usize = 8;
/// Units of a `grpc-timeout` in nanoseconds, smallest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// Status codes of gRPC that a gateway gives by itself (statuscodes.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    /// An error that has no other code.
    Unknown = 2,
    /// The deadline passed.
    DeadlineExceeded = 4,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// No such service or method.
    Unimplemented = 12,
    /// The request or response is broken.
    Internal = 13,
    /// The service cannot be reached now.
    Unavailable = 14,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl Code {
    /// The code that stands for an HTTP status other than 200 (http-grpc-status-mapping.md).
    pub fn of_status(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// The number as `grpc-status` has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unknown => "2",
            Self::DeadlineExceeded => "4",
            Self::PermissionDenied => "7",
            Self::Unimplemented => "12",
            Self::Internal => "13",
            Self::Unavailable => "14",
            Self::Unauthenticated => "16",
        }
    }
}

/// True if a request is a gRPC call: `POST` with a content type of gRPC.
pub fn is_call(request: &RequestParts<'_>) -> bool {
    request.method == Method::Post && request.fields.get(b"content-type").is_some_and(is_grpc)
}

/// Reads a `grpc-timeout`: one to eight digits and a unit, `H`, `M`, `S`, `m`, `u` or `n`. `None` for anything
/// else.
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let (_, nanoseconds) = UNITS.iter().find(|(name, _)| name == unit)?;
    if digits.is_empty() || digits.len() > TIMEOUT_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u128, |number, digit| number * 10 + u128::from(digit - b'0'));
    let nanoseconds = number * nanoseconds;
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanoseconds % 1_000_000_000).ok()?))
}

/// A `grpc-timeout` as it is written.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutText {
    bytes: [u8; TIMEOUT_DIGITS + 1],
    length: usize,
}

impl TimeoutText {
    /// The longest time that is not longer than `left` and fits: in the smallest unit that has room for it.
    pub fn new(left: Duration) -> Self {
        let most = 10_u128.pow(TIMEOUT_DIGITS as u32) - 1;
        let fits = |(_, unit): &&(u8, u128)| left.as_nanos() / unit <= most;
        let (name, unit) = UNITS.iter().find(fits).unwrap_or(&(b'H', u128::MAX));
        let number = if *unit == u128::MAX { most } else { left.as_nanos() / unit };
        let mut bytes = [0; TIMEOUT_DIGITS + 1];
        let mut cursor = Cursor::new(bytes.as_mut_slice());
        // Eight digits at most, and a letter.
        let _ = write!(cursor, "{number}{}", char::from(*name));
        let length = usize::try_from(cursor.position()).unwrap_or(0);
        Self { bytes, length }
    }

    /// The field's value.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Writes text as a `grpc-message`: printable ASCII but for `%`, which stands before two digits of any other
/// byte.
pub fn write_message(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| HEX.get(usize::from(value & 15)).copied().unwrap_or(b'0');
    for byte in text {
        match byte {
            b'%' | ..b' ' | b'\x7f'.. => out.extend([b'%', digit(byte >> 4), digit(*byte)]),
            plain => out.push(*plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_up_to_eight_digits_and_a_unit() {
        let nanos = Duration::from_nanos;
        for (text, want) in [
            ("0n", nanos(0)),
            ("1n", nanos(1)),
            ("20u", nanos(20_000)),
            ("00000300m", nanos(300_000_000)),
            ("5S", Duration::from_secs(5)),
            ("2M", Duration::from_secs(120)),
            ("99999999H", Duration::from_secs(99_999_999 * 3_600)),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), Some(want), "{text}");
        }
        for bad in [
            "",
            "S",
            "1",
            "1s",
            "1h",
            "123456789S",
            "-1S",
            "+1S",
            " 1S",
            "1S ",
            "1.5S",
            "1 S",
            "1SS",
            "\u{661}S",
        ] {
            assert_eq!(parse_timeout(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_time_that_is_left_is_written_in_the_smallest_unit_that_fits_and_never_longer() {
        let text = |left: Duration| String::from_utf8(TimeoutText::new(left).as_bytes().to_vec()).unwrap();
        assert_eq!(text(Duration::ZERO), "0n");
        assert_eq!(text(Duration::from_nanos(99_999_999)), "99999999n");
        assert_eq!(text(Duration::from_nanos(100_000_999)), "100000u");
        assert_eq!(text(Duration::from_secs(5)), "5000000u");
        assert_eq!(text(Duration::from_secs(100)), "100000m");
        assert_eq!(text(Duration::from_secs(99_999_999 * 3_600)), "99999999H");
        assert_eq!(text(Duration::MAX), "99999999H");
        for seconds in [0, 1, 59, 3_600, 86_400 * 365, 1 << 36] {
            for nanoseconds in [0, 1, 999_999_999] {
                let left = Duration::new(seconds, nanoseconds);
                let read = parse_timeout(TimeoutText::new(left).as_bytes()).unwrap();
                assert!(
                    read <= left && (seconds < 3_600 || left - read < Duration::from_secs(3_600)),
                    "{left:?}"
                );
            }
        }
    }

    #[test]
    fn messages_are_printable() {
        let written = |text: &str| {
            let mut out = Vec::new();
            write_message(&mut out, text.as_bytes());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written("504 Gateway Timeout: a_b"), "504 Gateway Timeout: a_b");
        assert_eq!(written("100%\r\n~\x7f\u{e9}"), "100%25%0D%0A~%7F%C3%A9");
    }

    #[test]
    fn codes_are_those_of_the_mapping() {
        let of = |status| Code::of_status(status).text();
        assert_eq!([400, 401, 403, 404, 429].map(of), ["13", "16", "7", "12", "14"]);
        assert_eq!([502, 503, 504].map(of), ["14"; 3]);
        assert_eq!([200, 302, 408, 413, 421, 431, 500].map(of), ["2"; 7]);
        for code in [Code::Unknown, Code::DeadlineExceeded, Code::Unimplemented, Code::Unauthenticated] {
            assert_eq!(code.text(), (code as u8).to_string());
        }
    }
}
