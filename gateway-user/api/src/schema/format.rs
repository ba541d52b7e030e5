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

    /// What a string must be, if `text` is not it.
    pub(crate) fn refuse_text(self, text: &str) -> Option<&'static str> {
        let (fits, expected) = match self {
            Self::DateTime => {
                (text.parse::<Timestamp>().is_ok(), "an RFC 3339 time such as 2026-01-31T12:00:00Z")
            }
            Self::Ipv4 => (text.parse::<Ipv4Addr>().is_ok(), "an IPv4 address"),
            Self::Ipv6 => (text.parse::<Ipv6Addr>().is_ok(), "an IPv6 address"),
            Self::Byte => (is_base64(text), "base64"),
            Self::Int32 | Self::Int64 | Self::IntOrString => (true, ""),
        };
        (!fits).then_some(expected)
    }

    /// What an integer must be, if `number` is not it.
    pub(crate) fn refuse_integer(self, number: i64) -> Option<&'static str> {
        (self == Self::Int32 && i32::try_from(number).is_err()).then_some("a 32-bit integer")
    }
}

/// RFC 1123 labels with dots between, in lower case, at most 253 characters (Kubernetes `IsDNS1123Subdomain`).
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

/// RFC 4648 section 4 with padding; line breaks are let through, as `encoding/base64` does.
fn is_base64(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let padding = bytes.iter().rev().take_while(|b| **b == b'=').count();
    let data = bytes.get(..bytes.len() - padding).unwrap_or(&[]);
    padding <= 2
        && bytes.len().is_multiple_of(4)
        && data.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

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
