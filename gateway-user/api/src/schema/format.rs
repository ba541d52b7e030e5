//! The formats that the schemas name.

use std::net::{Ipv4Addr, Ipv6Addr};

use k8s_openapi::jiff::Timestamp;

/// A format of a string or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Int32,
    Int64,
    DateTime,
    Ipv4,
    Ipv6,
    /// Base64.
    Byte,
    /// OpenAPI's name for `x-kubernetes-int-or-string`.
    IntOrString,
}

impl Format {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "date-time" => Self::DateTime,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "byte" => Self::Byte,
            "int-or-string" => Self::IntOrString,
            _ => return None,
        })
    }

    /// The form that a string must have, if `text` has another.
    pub(crate) fn refuse_text(self, text: &str) -> Option<&'static str> {
        let (fits, expected) = match self {
            Self::DateTime => {
                (text.parse::<Timestamp>().is_ok(), "an RFC 3339 time such as 2026-01-31T12:00:00Z")
            }
            Self::Ipv4 => (text.parse::<Ipv4Addr>().is_ok(), "an IPv4 address"),
            Self::Ipv6 => (text.parse::<Ipv6Addr>().is_ok(), "an IPv6 address"),
            Self::Byte => (plain_base64(text).is_some(), "base64"),
            Self::Int32 | Self::Int64 | Self::IntOrString => (true, ""),
        };
        (!fits).then_some(expected)
    }

    /// The range that an integer must have, if `number` is outside.
    pub(crate) fn refuse_integer(self, number: i64) -> Option<&'static str> {
        (self == Self::Int32 && i32::try_from(number).is_err()).then_some("a 32-bit integer")
    }
}

/// RFC 1123 labels with dots between, in lower case, at most 253 characters (Kubernetes
/// `IsDNS1123Subdomain`).
pub(crate) fn is_dns1123_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns1123_characters)
}

/// One RFC 1123 label, in lower case, at most 63 characters (Kubernetes `IsDNS1123Label`).
pub(crate) fn is_dns1123_label(text: &str) -> bool {
    text.len() <= 63 && is_dns1123_characters(text)
}

/// `name`, or `prefix/name` with a subdomain as prefix: the key of a label (Kubernetes `IsQualifiedName`).
pub(crate) fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns1123_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

/// Empty, or at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends (Kubernetes
/// `IsValidLabelValue`).
pub(crate) fn is_label_value(text: &str) -> bool {
    let end = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 63
        && end(bytes.first())
        && end(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_dns1123_characters(label: &str) -> bool {
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = label.as_bytes();
    end(bytes.first())
        && end(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// Base64 as RFC 4648 section 4 writes it: without the line breaks, and with zeros for the bits after the
/// last byte, both of which Go's `encoding/base64` passes over. `None` if it is no base64 to Go either:
/// blanks, no padding, other letters.
pub(crate) fn plain_base64(text: &str) -> Option<String> {
    let mut plain: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let data = plain.trim_end_matches('=').len();
    let padding = plain.len() - data;
    let letters = plain.bytes().take(data).all(|b| BASE64.contains(&b));
    if padding > 2 || !plain.len().is_multiple_of(4) || !letters {
        return None;
    }
    let unused = match padding {
        0 => 0,
        1 => 2,
        _ => 4,
    };
    let last = plain.as_bytes().get(data.saturating_sub(1)).copied();
    if let Some(value) = last.and_then(|last| BASE64.iter().position(|b| *b == last)) {
        let letter = BASE64.get(value >> unused << unused).copied().map_or('A', char::from);
        plain.replace_range(data - 1..data, letter.encode_utf8(&mut [0; 4]));
    }
    Some(plain)
}

/// The letters of base64, each at its value.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_and_refuse() {
        for (format, good, bad) in [
            (Format::DateTime, "2026-01-31T12:00:00Z", "2026-01-31"),
            (Format::Ipv4, "10.0.0.1", "10.0.0.256"),
            (Format::Ipv6, "fd00::1", "10.0.0.1"),
            (Format::Byte, "aGVsbG8=", "hello"),
            (Format::Byte, "", "a==="),
            (Format::Byte, "aGVs\r\nbG8=\n", "aGVs bG8="),
            (Format::Byte, "YQ=\n=", "===="),
        ] {
            assert_eq!(format.refuse_text(good), None, "{format:?} {good}");
            assert!(format.refuse_text(bad).is_some(), "{format:?} {bad}");
        }
        for (check, good, bad) in [
            (is_dns1123_subdomain as fn(&str) -> bool, "a.b-c.9", "a..b"),
            (is_dns1123_label, "a-1", "A"),
            (is_dns1123_label, "9", "-a"),
            (is_label_value, "", "a-"),
            (is_label_value, "A_b.c", "a/b"),
            (is_qualified_name, "example.com/A", "/A"),
            (is_qualified_name, "a", "example.com/"),
        ] {
            assert!(check(good) && !check(bad), "{good} {bad}");
        }
        assert_eq!(Format::Int32.refuse_integer(1 << 31), Some("a 32-bit integer"));
        assert_eq!(Format::Int64.refuse_integer(1 << 31), None);
    }
}
