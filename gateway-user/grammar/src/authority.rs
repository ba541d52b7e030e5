//! `host[:port]` as `Host` and absolute-form targets carry it (RFC 3986 section 3.2, RFC 9110 section 7.2).

use std::net::Ipv6Addr;

use crate::percent::{is_unreserved, unescaped};

/// A valid `host[:port]`: never empty, no user information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Host as written, brackets of an IPv6 address included.
    pub host: &'a [u8],
    /// Port, if one is written; `host:` has none.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads `host[:port]`; `None` if it is anything else. The host of an http URI is not empty (RFC 9110
    /// section 4.2.1).
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let host_len = match bytes {
            [b'[', rest @ ..] => {
                let close = rest.iter().position(|&b| b == b']')?;
                std::str::from_utf8(rest.get(..close)?).ok()?.parse::<Ipv6Addr>().ok()?;
                close + 2
            }
            _ => {
                let end = bytes.iter().position(|&b| b == b':').unwrap_or(bytes.len());
                is_reg_name(bytes.get(..end)?).then_some(end)?
            }
        };
        let (host, rest) = bytes.split_at_checked(host_len)?;
        let port = match rest {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        Some(Self { host, port })
    }
}

fn port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |sum, &b| {
        let digit = b.is_ascii_digit().then(|| u16::from(b - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// A registered name or IPv4 address: unreserved, sub-delims but the comma, and percent escapes, not empty.
/// With a comma it could be two `Host` lines that somebody joined (RFC 9110 section 5.3), of which readers
/// take the one or the other.
fn is_reg_name(mut bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return false;
    }
    loop {
        match bytes {
            [] => return true,
            [b'%', a, b, rest @ ..] if unescaped(*a, *b).is_some() => bytes = rest,
            [b, rest @ ..] if is_unreserved(*b) || b"!$&'()*+;=".contains(b) => bytes = rest,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_table() {
        type Parts<'a> = Option<(&'a str, Option<u16>)>;
        let table: &[(&str, Parts<'_>)] = &[
            ("example.com", Some(("example.com", None))),
            ("Example.COM:8080", Some(("Example.COM", Some(8080)))),
            ("example.com:", Some(("example.com", None))),
            ("example.com.:1", Some(("example.com.", Some(1)))),
            ("a_b.example", Some(("a_b.example", None))),
            ("127.0.0.1:080", Some(("127.0.0.1", Some(80)))),
            ("[::1]", Some(("[::1]", None))),
            ("[2001:DB8::1]:65535", Some(("[2001:DB8::1]", Some(65535)))),
            ("a%20b", Some(("a%20b", None))),
            ("", None),
            (":80", None),
            ("a:65536", None),
            ("a:8x", None),
            ("a:-1", None),
            ("a:80:80", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]80", None),
            ("[::1%25eth0]", None),
            ("[example.com]", None),
            ("u@a", None),
            ("a/b", None),
            ("a?b", None),
            ("a#b", None),
            ("a b", None),
            ("a\\b", None),
            ("a%2", None),
            ("a,b", None),
            ("a,", None),
            ("a:80,b", None),
            ("ä.example", None),
        ];
        for (text, want) in table {
            let got =
                Authority::parse(text.as_bytes()).map(|a| (std::str::from_utf8(a.host).unwrap(), a.port));
            assert_eq!(got, *want, "{text}");
        }
    }
}
