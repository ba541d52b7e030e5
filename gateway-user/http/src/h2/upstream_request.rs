//! A request's head, from any protocol's to HTTP/2's.

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, SEC_WEBSOCKET_KEY, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};

use super::response::copy_fields;
use crate::grpc::is_call;
use crate::h1::BodyFraming;
use crate::head::{HeadEdits, RequestParts};

/// A client's request for a backend over HTTP/2, changed by `edits`: fields of the client's connection stay
/// behind, `Host` becomes `:authority`, a length is told where it is known. A request without a host, of HTTP/1.0,
/// names `endpoint`.
///
/// `:scheme` is that of the backend's connection: servers refuse another one (RFC 9113 section 8.3.1 leaves it to whoever
/// translates).
///
/// `None` if it cannot be said in HTTP/2: its authority is no URI's, or there are tens of thousands of fields.
pub fn upstream_request(
    head: &RequestParts<'_>,
    edits: &HeadEdits,
    framing: BodyFraming,
    scheme: Scheme,
    endpoint: impl FnOnce() -> String,
) -> Option<Request<()>> {
    let mut request = converted(head, edits, scheme, endpoint)?;
    *request.method_mut() = Method::from_bytes(head.method_token).ok()?;
    let fields = request.headers_mut();
    if let BodyFraming::Length(length) = framing {
        fields.try_insert(CONTENT_LENGTH, HeaderValue::from(length)).ok()?;
    }
    // Servers of gRPC want to be told so, and every client of gRPC takes them.
    if head.accepts_trailers || is_call(head) {
        fields.try_insert(TE, HeaderValue::from_static("trailers")).ok()?;
    }
    Some(request)
}

/// The same for a request that is to change protocols: an extended CONNECT (RFC 8441), without the `:protocol`. The key of a
/// WebSocket handshake stays behind, which HTTP/2 has no need of (section 5), and it has no body.
pub fn upstream_connect(
    head: &RequestParts<'_>,
    edits: &HeadEdits,
    scheme: Scheme,
    endpoint: impl FnOnce() -> String,
) -> Option<Request<()>> {
    let mut request = converted(head, edits, scheme, endpoint)?;
    *request.method_mut() = Method::CONNECT;
    request.headers_mut().remove(SEC_WEBSOCKET_KEY);
    Some(request)
}

/// URI and fields.
fn converted(
    head: &RequestParts<'_>,
    edits: &HeadEdits,
    scheme: Scheme,
    endpoint: impl FnOnce() -> String,
) -> Option<Request<()>> {
    let authority = match edits.host().or(head.authority).filter(|host| !host.is_empty()) {
        Some(host) => Authority::try_from(host).ok()?,
        None => Authority::try_from(endpoint()).ok()?,
    };
    let path = edits.path().unwrap_or(head.path);
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(target(path, edits.query(head.query))?);
    let mut fields = HeaderMap::with_capacity(head.fields.len() + 2);
    copy_fields(&mut fields, head.fields, edits)?;
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = fields;
    Some(request)
}

/// Path and query. Visible bytes that are no part of a URI (RFC 3986 section 2) are escaped: they mean the same.
fn target(path: &[u8], query: Option<&[u8]>) -> Option<PathAndQuery> {
    let mut text = escaped(path).into_owned();
    if let Some(query) = query {
        text.push(b'?');
        text.extend_from_slice(&escaped(query));
    }
    PathAndQuery::try_from(text).ok()
}

fn escaped(text: &[u8]) -> Cow<'_, [u8]> {
    let is_foreign =
        |byte: &u8| matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#');
    if !text.iter().any(is_foreign) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for byte in text {
        match is_foreign(byte) {
            true => out.extend(format!("%{byte:02X}").into_bytes()),
            false => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use gateway_grammar::Scheme;
    use http::uri;

    use super::*;
    use crate::h1::{HeadLimits, RequestHead};

    fn converted(wire: &[u8], edit: impl FnOnce(&mut HeadEdits)) -> Request<()> {
        let mut head = RequestHead::new();
        head.parse(wire, &HeadLimits::default()).unwrap();
        let view = head.view(wire);
        let mut edits = HeadEdits::new();
        edit(&mut edits);
        let endpoint = || "10.0.0.1:80".to_owned();
        upstream_request(&view.parts(Scheme::Https), &edits, view.framing(), uri::Scheme::HTTP, endpoint)
            .unwrap()
    }

    fn lines(request: &Request<()>) -> Vec<String> {
        let line =
            |(name, value): (&http::HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        request.headers().iter().map(line).collect()
    }

    #[test]
    fn fields_are_kept_but_for_those_of_the_connection() {
        let wire = b"POST /a%2Fb?c HTTP/1.1\r\nHost: A.example:81\r\nX-A: 1\r\nConnection: TE, X-Hop\r\nX-Hop: 1\r\n\
                     TE: trailers\r\nContent-Length: 3\r\nCookie: a=1; b=2\r\n\r\n";
        let request = converted(wire, |edits| {
            edits.set(b"x-b", b"2").unwrap();
        });
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "http://A.example:81/a%2Fb?c");
        assert_eq!(
            lines(&request),
            ["x-a: 1", "cookie: a=1; b=2", "x-b: 2", "content-length: 3", "te: trailers"]
        );
    }

    #[test]
    fn an_upgrade_is_an_extended_connect_without_its_key() {
        let wire = b"GET /chat?x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                     Content-Length: 0\r\n\r\n";
        let mut head = RequestHead::new();
        head.parse(wire, &HeadLimits::default()).unwrap();
        let parts = head.view(wire).parts(Scheme::Https);
        let request = upstream_connect(&parts, &HeadEdits::new(), uri::Scheme::HTTPS, String::new).unwrap();
        assert_eq!(
            (request.method(), request.uri().to_string().as_str()),
            (&Method::CONNECT, "https://a/chat?x")
        );
        assert_eq!(lines(&request), ["sec-websocket-version: 13"]);
    }

    #[test]
    fn a_body_of_unknown_length_has_no_field() {
        let wire = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(lines(&converted(wire, |_| {})).is_empty());
    }

    #[test]
    fn a_request_without_a_host_names_the_endpoint() {
        assert_eq!(converted(b"GET / HTTP/1.0\r\n\r\n", |_| {}).uri(), "http://10.0.0.1:80/");
    }

    #[test]
    fn bytes_that_no_uri_has_are_escaped() {
        let request = converted(b"GET /a<b>{c}|^`\"\\?q=<\"> HTTP/1.1\r\nHost: a\r\n\r\n", |_| {});
        assert_eq!(request.uri().path(), "/a%3Cb%3E%7Bc%7D%7C%5E%60%22%5C");
        assert_eq!(request.uri().query(), Some("q=%3C%22%3E"));
    }

    #[test]
    fn options_may_ask_for_the_server_itself() {
        let request = converted(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", |_| {});
        assert_eq!(request.uri().path_and_query().map(PathAndQuery::as_str), Some("*"));
    }
}
