//! A request's head as HTTP/1.1 text.

use gateway_grammar::Authority;
use gateway_grammar::token::{eq_ignore_case, is_ows};
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, SEC_WEBSOCKET_KEY, TE};
use http::request::Parts;

use crate::h1::{FieldError, RequestError};
use crate::websocket::{self, KEY_TEXT};

/// Fields that speak about one connection, of which HTTP/2 has its own ways (RFC 9113 section 8.2.2).
pub(super) const OF_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"];

/// An extended CONNECT (RFC 8441), which goes on as the upgrade of HTTP/1.1 that asks for the same.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    /// `:protocol`, of one of the protocols that are tunnelled.
    pub protocol: &'a str,
    /// The key of a WebSocket handshake, which HTTP/2 has no need of (section 5). A new one for each.
    pub key: [u8; KEY_TEXT],
}

/// Appends a request's head to `out`, as HTTP/1.1 in origin form, for [`crate::h1::RequestHead::parse`]. `ends` tells
/// that the head ends the stream. A body of a length that is not told becomes a chunked one; lines of `Cookie` become
/// one (RFC 9113 section 8.2.3). `connect` makes the request the `GET` of an upgrade without a body.
///
/// # Errors
/// `BadTarget`: the path holds a byte that would end it in the text, or the scheme is empty (RFC 3986
/// section 3.1), or there is no path (RFC 9113 section 8.3.1). `BadHost`, `RepeatedHost`: `:authority` and `Host`
/// name two places (section 8.3.1). `Field`: a name belongs to the connection, or a value has blanks around it
/// (section 8.2.1). `BadContentLength`: a body was announced and the stream is at its end (section 8.1.1).
/// `ConnectNotSupported`, without `connect`. Everything else is the parser's to find.
pub fn write_request(
    out: &mut Vec<u8>,
    head: &Parts,
    ends: bool,
    connect: Option<&Connect<'_>>,
) -> Result<(), RequestError> {
    let is_connect = head.method == http::Method::CONNECT;
    if is_connect && connect.is_none() {
        return Err(RequestError::ConnectNotSupported);
    }
    // Without an authority beside it the codec drops the scheme, and what is missing then passes for the root.
    if head.uri.scheme_str() == Some("") || head.uri.path().is_empty() {
        return Err(RequestError::BadTarget);
    }
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(RequestError::BadTarget);
    }
    let method = if connect.is_some() { "GET" } else { head.method.as_str() };
    put(out, [method.as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
    if let Some(host) = host(head)? {
        put(out, [b"host: ", host, b"\r\n"]);
    }
    for (name, value) in &head.headers {
        let (name, value) = (name.as_str(), value.as_bytes());
        if OF_CONNECTION.contains(&name) {
            return Err(FieldError::BadName.into());
        }
        if value.first().is_some_and(|&b| is_ows(b)) || value.last().is_some_and(|&b| is_ows(b)) {
            return Err(FieldError::BadValue.into());
        }
        if name == HOST || name == COOKIE || (connect.is_some() && name == SEC_WEBSOCKET_KEY) {
            continue;
        }
        if name == TE && !eq_ignore_case(value, b"trailers") {
            return Err(FieldError::BadValue.into());
        }
        put(out, [name.as_bytes(), b": ", value, b"\r\n"]);
    }
    put_cookies(out, &head.headers);
    match connect {
        Some(connect) => put_upgrade(out, &head.headers, connect)?,
        None => put_framing(out, &head.headers, ends)?,
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn put<const N: usize>(out: &mut Vec<u8>, parts: [&[u8]; N]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// `:authority`, or `Host` where it stands alone, as in requests that came by HTTP/1.1 to a proxy before us.
fn host(head: &Parts) -> Result<Option<&[u8]>, RequestError> {
    let mut lines = head.headers.get_all(HOST).iter().map(http::HeaderValue::as_bytes);
    let (line, another) = (lines.next(), lines.next());
    if another.is_some() {
        return Err(RequestError::RepeatedHost);
    }
    let Some(authority) = head.uri.authority().map(|authority| authority.as_str().as_bytes()) else {
        return Ok(line);
    };
    match line {
        Some(line) if !same_place(line, authority) => Err(RequestError::BadHost),
        _ => Ok(Some(authority)),
    }
}

fn same_place(one: &[u8], other: &[u8]) -> bool {
    match (Authority::parse(one), Authority::parse(other)) {
        (Some(one), Some(other)) => one.host.eq_ignore_ascii_case(other.host) && (one.port == other.port),
        _ => false,
    }
}

fn put_cookies(out: &mut Vec<u8>, headers: &HeaderMap) {
    let mut before: &[u8] = b"cookie: ";
    for crumb in headers.get_all(COOKIE) {
        put(out, [before, crumb.as_bytes()]);
        before = b"; ";
    }
    if before == b"; " {
        out.extend_from_slice(b"\r\n");
    }
}

fn put_upgrade(out: &mut Vec<u8>, headers: &HeaderMap, connect: &Connect<'_>) -> Result<(), RequestError> {
    if headers.contains_key(CONTENT_LENGTH) {
        // The stream's content is no body (RFC 9113 section 8.5).
        return Err(RequestError::BadContentLength);
    }
    put(out, [b"connection: upgrade\r\nupgrade: ", connect.protocol.as_bytes(), b"\r\n"]);
    if connect.protocol.eq_ignore_ascii_case(websocket::TOKEN) {
        put(out, [b"sec-websocket-key: ", &connect.key, b"\r\n"]);
    }
    Ok(())
}

fn put_framing(out: &mut Vec<u8>, headers: &HeaderMap, ends: bool) -> Result<(), RequestError> {
    let length = headers.get(CONTENT_LENGTH);
    match length {
        Some(length) if ends && length.as_bytes().iter().any(|&b| b != b'0') => {
            Err(RequestError::BadContentLength)
        }
        None if !ends => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{BodyFraming, HeadLimits, Parsed, RequestHead};

    fn parts(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method("POST").uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn text(uri: &str, fields: &[(&str, &str)], ends: bool) -> Result<String, RequestError> {
        let mut out = Vec::new();
        write_request(&mut out, &parts(uri, fields), ends, None)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_head_becomes_the_text_of_the_same_request() {
        let fields = [("x-a", "1"), ("cookie", "a=1"), ("x-b", "2"), ("cookie", "b=2"), ("te", "trailers")];
        let wire = text("http://a.example:81/p?q=1", &fields, false).unwrap();
        let want = "POST /p?q=1 HTTP/1.1\r\nhost: a.example:81\r\nx-a: 1\r\nx-b: 2\r\nte: trailers\r\n\
                    cookie: a=1; b=2\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(wire, want);
        let mut head = RequestHead::new();
        let parsed = head.parse(wire.as_bytes(), &HeadLimits::default()).unwrap();
        assert_eq!(parsed, Parsed::Complete { consumed: wire.len() });
        let request = head.view(wire.as_bytes());
        assert_eq!((request.framing(), request.accepts_trailers()), (BodyFraming::Chunked, true));
    }

    #[test]
    fn the_end_of_the_stream_and_a_length_say_how_a_body_is_framed() {
        let framing = |fields: &[(&str, &str)], ends| {
            let wire = text("http://a/", fields, ends)?;
            let mut head = RequestHead::new();
            head.parse(wire.as_bytes(), &HeadLimits::default())?;
            Ok(head.view(wire.as_bytes()).framing())
        };
        assert_eq!(framing(&[], true), Ok(BodyFraming::None));
        assert_eq!(framing(&[("content-length", "5")], false), Ok(BodyFraming::Length(5)));
        assert_eq!(framing(&[("content-length", "0")], true), Ok(BodyFraming::Length(0)));
        assert_eq!(framing(&[("content-length", "5")], true), Err(RequestError::BadContentLength));
        let twice = [("content-length", "5"), ("content-length", "5")];
        assert_eq!(framing(&twice, false), Err(RequestError::RepeatedContentLength));
        assert_eq!(framing(&[("content-length", "+5")], false), Err(RequestError::BadContentLength));
    }

    #[test]
    fn authority_and_host_name_one_place() {
        let host = |uri, fields: &[(&str, &str)]| {
            let wire = text(uri, fields, true)?;
            Ok(wire.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned)))
        };
        assert_eq!(host("http://a.example/", &[("host", "A.example")]), Ok(Some("a.example".to_owned())));
        assert_eq!(host("/", &[("host", "b.example")]), Ok(Some("b.example".to_owned())));
        assert_eq!(host("/", &[]), Ok(None));
        assert_eq!(host("http://a/", &[("host", "b")]), Err(RequestError::BadHost));
        assert_eq!(host("http://a/", &[("host", "a:81")]), Err(RequestError::BadHost));
        assert_eq!(host("http://a/", &[("host", "a"), ("host", "a")]), Err(RequestError::RepeatedHost));
    }

    #[test]
    fn fields_of_the_connection_and_blanks_around_a_value_are_refused() {
        for name in OF_CONNECTION {
            assert_eq!(text("http://a/", &[(name, "x")], true), Err(FieldError::BadName.into()), "{name}");
        }
        for (name, value) in [("x-a", " b"), ("x-a", "b\t"), ("te", "gzip")] {
            assert_eq!(
                text("http://a/", &[(name, value)], true),
                Err(FieldError::BadValue.into()),
                "{value}"
            );
        }
        let mut empty = parts("http://a/", &[]);
        let mut uri = empty.uri.clone().into_parts();
        uri.scheme = Some("".parse().unwrap());
        empty.uri = http::Uri::from_parts(uri).unwrap();
        assert_eq!(write_request(&mut Vec::new(), &empty, true, None), Err(RequestError::BadTarget));
        empty.uri = http::Uri::from_parts(http::uri::Parts::default()).unwrap();
        empty.headers.insert(HOST, http::HeaderValue::from_static("a"));
        assert_eq!(write_request(&mut Vec::new(), &empty, true, None), Err(RequestError::BadTarget));
        let mut connect = parts("http://a/", &[]);
        connect.method = http::Method::CONNECT;
        assert_eq!(
            write_request(&mut Vec::new(), &connect, true, None),
            Err(RequestError::ConnectNotSupported)
        );
    }

    #[test]
    fn an_extended_connect_becomes_the_upgrade_of_http_1() {
        let connect = Connect { protocol: "websocket", key: *b"dGhlIHNhbXBsZSBub25jZQ==" };
        let text = |fields: &[(&str, &str)]| {
            let mut parts = parts("https://a.example/chat?x=1", fields);
            parts.method = http::Method::CONNECT;
            let mut out = Vec::new();
            write_request(&mut out, &parts, false, Some(&connect))?;
            Ok(out)
        };
        let wire = text(&[("sec-websocket-version", "13"), ("sec-websocket-key", "mine")]).unwrap();
        let mut head = RequestHead::new();
        let parsed = head.parse(&wire, &HeadLimits::default()).unwrap();
        assert_eq!(parsed, Parsed::Complete { consumed: wire.len() });
        let request = head.view(&wire);
        assert_eq!((request.method_token(), request.path()), (&b"GET"[..], &b"/chat"[..]));
        assert_eq!((request.upgrade(), request.framing()), (Some(&b"websocket"[..]), BodyFraming::None));
        let accept = websocket::check_request(&request).unwrap();
        assert_eq!(accept.as_bytes(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let refused = Err(RequestError::BadContentLength);
        assert_eq!(text(&[("content-length", "0")]), refused);
    }
}
