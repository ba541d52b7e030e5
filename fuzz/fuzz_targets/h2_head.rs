//! Heads of HTTP/2 as text: what is written is read as one request, with the fields, the target and the place that it was
//! given, and no others; trailers likewise.
//!
//! Input is lines: a method, a target, an authority, then `name: value` each.
#![no_main]

use gateway_http::h1::{BodyDecoder, BodyFraming, BodyLimits, HeadLimits, Parsed, RequestHead};
use gateway_http::h2::{read_trailers, write_request, write_trailers};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (ends, text) = data.split_first().map_or((true, data), |(first, rest)| (first % 2 == 0, rest));
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (method, target, authority) = (line(), line(), line());
    let mut uri = Uri::builder().scheme("http").authority(authority);
    if !target.is_empty() {
        uri = uri.path_and_query(target);
    }
    let Ok(uri) = uri.build() else { return };
    let Ok(mut request) = Request::builder().method(method).uri(uri).body(()) else { return };
    for line in lines {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..at], &line[at + 1..]);
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else {
            continue;
        };
        request.headers_mut().append(name, value);
    }
    let (parts, ()) = request.into_parts();
    trailers(&parts.headers);
    let mut text = Vec::new();
    if write_request(&mut text, &parts, ends, None).is_err() {
        return;
    }
    let mut head = RequestHead::new();
    let limits = HeadLimits { first_line: 1 << 16, head: 1 << 20, fields: HeadLimits::MAX_FIELDS };
    let Ok(parsed) = head.parse(&text, &limits) else { return };
    assert_eq!(parsed, Parsed::Complete { consumed: text.len() }, "{}", text.escape_ascii());
    let read = head.view(&text);
    assert_eq!(read.method_token(), parts.method.as_str().as_bytes());
    assert_eq!(read.path(), parts.uri.path().as_bytes());
    assert_eq!(read.query(), parts.uri.query().map(str::as_bytes));
    assert_eq!(read.authority(), parts.uri.authority().map(|authority| authority.as_str().as_bytes()));
    assert_eq!(
        read.framing().is_empty(),
        ends || parts.headers.get("content-length").is_some_and(|l| l.as_bytes().iter().all(|b| *b == b'0'))
    );
    for (name, value) in &parts.headers {
        if matches!(name.as_str(), "host" | "cookie") {
            continue;
        }
        let given = parts.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        assert!(read.fields().get_all(name.as_str().as_bytes()).eq(given), "{name}: {value:?}");
    }
    for field in read.fields() {
        let own = matches!(field.name, b"host" | b"cookie" | b"transfer-encoding");
        let given = std::str::from_utf8(field.name).is_ok_and(|name| parts.headers.contains_key(name));
        assert!(own || given, "{}", field.name.escape_ascii());
    }
});

fn trailers(sent: &HeaderMap) {
    let mut text = Vec::new();
    if write_trailers(&mut text, sent).is_err() {
        return;
    }
    let mut decoder = BodyDecoder::new(BodyLimits::default());
    decoder.begin(BodyFraming::Chunked).expect("no length is announced");
    let Ok(step) = decoder.decode(&text) else { return };
    assert!(decoder.is_finished() && step.consumed == text.len(), "{}", text.escape_ascii());
    let read = read_trailers(decoder.trailers());
    for (name, _) in &read {
        assert!(read.get_all(name).iter().eq(sent.get_all(name).iter()), "{name}");
    }
}
