//! The parts of a head, whatever the protocol.

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
    /// A body follows, or may; false for one that is announced as empty.
    pub has_body: bool,
    /// The client takes trailers (`TE: trailers`, RFC 9110 section 10.1.4).
    pub accepts_trailers: bool,
    /// A `Trailer` field announces trailers of this request (RFC 9110 section 6.6.2).
    pub announces_trailers: bool,
}

/// A response head whatever the protocol: borrowed bytes as received, checked by the codec that made it.
#[derive(Clone, Copy, Debug)]
pub struct ResponseParts<'a> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase as received; may be empty, may hold bytes from 0x80.
    pub reason: &'a [u8],
    /// The field lines, in the order received.
    pub fields: Fields<'a>,
    /// How much of a body follows.
    pub length: BodyLength,
}

/// The length of a response's body, in bytes of content, as its head tells it (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// No body follows (`HEAD`, 1xx, 204, 304); the length that a `GET` would have given, where it is told.
    None(Option<u64>),
    /// So many bytes.
    Known(u64),
    /// The body's own framing, or the end of the connection, tells where it ends.
    Unknown,
}

impl<'a> RequestParts<'a> {
    /// The host to route on, in lower case; `storage` is written only when there is an upper-case letter.
    pub fn host_lower<'s>(&self, storage: &'s mut Vec<u8>) -> Option<&'s [u8]>
    where
        'a: 's,
    {
        let host = self.host?;
        if !host.iter().any(u8::is_ascii_uppercase) {
            return Some(host);
        }
        storage.clear();
        storage.extend(host.iter().map(u8::to_ascii_lowercase));
        Some(storage)
    }
}

impl ResponseParts<'_> {
    /// True for an interim response (1xx but 101), after which another head follows (RFC 9110 section 15.2).
    pub fn is_interim(&self) -> bool {
        self.status < 200 && !self.is_upgrade()
    }

    /// True if the backend changes protocols (101): what follows is no HTTP.
    pub fn is_upgrade(&self) -> bool {
        self.status == 101
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{HeadLimits, RequestHead, ResponseHead};

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
        assert!(!parts.has_body && !parts.accepts_trailers && !parts.announces_trailers);
        let mut storage = Vec::new();
        assert_eq!(parts.host_lower(&mut storage), Some(&b"a.example"[..]));
    }

    #[test]
    fn a_body_and_trailers_are_told() {
        let bytes = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
        let mut head = RequestHead::new();
        head.parse(bytes, &HeadLimits::default()).unwrap();
        let parts = head.view(bytes).parts(Scheme::Http);
        assert!(parts.has_body && parts.accepts_trailers && parts.announces_trailers);
        let mut storage = Vec::new();
        assert_eq!(parts.host_lower(&mut storage), Some(&b"a"[..]));
        assert!(storage.is_empty(), "nothing to copy");
    }

    #[test]
    fn a_response_tells_how_much_follows() {
        let of = |text: &[u8], to| {
            let mut head = ResponseHead::new();
            head.parse(text, &HeadLimits::default(), to).unwrap();
            let parts = head.view(text).parts();
            (parts.status, parts.reason.to_vec(), parts.length)
        };
        let counted = b"HTTP/1.1 200 Fine\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(of(counted, Method::Get), (200, b"Fine".to_vec(), BodyLength::Known(3)));
        assert_eq!(of(counted, Method::Head).2, BodyLength::None(Some(3)));
        assert_eq!(of(b"HTTP/1.1 304 \r\n\r\n", Method::Get).2, BodyLength::None(None));
        assert_eq!(of(b"HTTP/1.1 200 OK\r\n\r\n", Method::Get).2, BodyLength::Unknown);
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(of(chunked, Method::Get).2, BodyLength::Unknown);
    }

    #[test]
    fn a_switch_of_protocols_is_no_interim_response() {
        let of = |text: &[u8]| {
            let mut head = ResponseHead::new();
            head.parse(text, &HeadLimits::default(), Method::Get).unwrap();
            let parts = head.view(text).parts();
            (parts.is_interim(), parts.is_upgrade())
        };
        assert_eq!(of(b"HTTP/1.1 103 Early Hints\r\n\r\n"), (true, false));
        assert_eq!(of(b"HTTP/1.1 101 Switching\r\n\r\n"), (false, true));
        assert_eq!(of(b"HTTP/1.1 200 OK\r\n\r\n"), (false, false));
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
