//! The parts of a request head.

use gateway_grammar::{Method, Scheme};

use super::{Fields, Version};

/// A request head whatever the protocol: borrowed bytes as received, checked by the codec that made it.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// The method, classified.
    pub method: Method,
    /// The method token as received; methods are case-sensitive (RFC 9110 section 9.1).
    pub method_token: &'a [u8],
    /// The scheme by which the request arrived: that of the connection, never that of a target in absolute
    /// form.
    pub scheme: Scheme,
    /// `host[:port]` as received: the target's own, else `Host`. `None` only on HTTP/1.0.
    pub authority: Option<&'a [u8]>,
    /// The host to route on: no port, no final dot, case as received; an IPv6 address keeps its brackets.
    /// `None` only on HTTP/1.0.
    pub host: Option<&'a [u8]>,
    /// The path as received, neither decoded nor normalised (see [`gateway_grammar::path::normalize`]):
    /// begins with `/`, or is `*`.
    pub path: &'a [u8],
    /// The query without its `?`, as received; `Some(b"")` for `/?`.
    pub query: Option<&'a [u8]>,
    /// The version that the request names.
    pub version: Version,
    /// The field lines, in the order received.
    pub fields: Fields<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{HeadLimits, RequestHead};

    #[test]
    fn parts_are_what_the_request_says() {
        let bytes =
            b"PURGE http://A.example.:8080/a/../b?c=d HTTP/1.1\r\nHost: other\r\nX-A: 1\r\nx-a: 2\r\n\r\n";
        let mut head = RequestHead::new();
        head.parse(bytes, &HeadLimits::default()).unwrap();
        let parts = head.view(bytes).parts(Scheme::Https);
        assert_eq!((parts.method, parts.method_token), (Method::Other, &b"PURGE"[..]));
        assert_eq!((parts.scheme, parts.version), (Scheme::Https, Version::Http11));
        assert_eq!((parts.authority, parts.host), (Some(&b"A.example.:8080"[..]), Some(&b"A.example"[..])));
        assert_eq!((parts.path, parts.query), (&b"/a/../b"[..], Some(&b"c=d"[..])));
        assert_eq!(parts.fields.get_all(b"X-a").collect::<Vec<_>>(), [b"1", b"2"]);
    }

    #[test]
    fn a_request_of_http_1_0_may_have_no_host() {
        let bytes = b"OPTIONS * HTTP/1.0\r\n\r\n";
        let mut head = RequestHead::new();
        head.parse(bytes, &HeadLimits::default()).unwrap();
        let parts = head.view(bytes).parts(Scheme::Http);
        assert_eq!((parts.authority, parts.host, parts.query), (None, None, None));
        assert_eq!((parts.path, parts.version), (&b"*"[..], Version::Http10));
        assert!(parts.fields.is_empty());
    }
}
