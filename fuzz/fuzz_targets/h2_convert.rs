//! Heads from HTTP/1.1 to HTTP/2 and back: what comes back is the head that went, but for fields of the connection. The
//! first byte says which way: requests for backends or responses for clients.
#![no_main]

use std::collections::BTreeMap;

use gateway_grammar::Scheme;
use gateway_http::h1::{BodyFraming, HeadEdits, HeadLimits, Method, Parsed, RequestHead, ResponseHead};
use gateway_http::h2;
use gateway_http::head::{BodyLength, Fields};
use libfuzzer_sys::fuzz_target;

/// Fields that speak about one connection or are told anew.
const OWN: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "te",
    "host",
    "content-length",
    "proxy-authenticate",
];

fuzz_target!(|data: &[u8]| {
    let Some((&way, bytes)) = data.split_first() else { return };
    match way % 2 {
        0 => request(bytes),
        _ => response(bytes, if way & 2 == 0 { Method::Get } else { Method::Head }),
    }
});

fn roomy() -> HeadLimits {
    HeadLimits { first_line: 1 << 20, head: 1 << 20, fields: HeadLimits::MAX_FIELDS }
}

/// Values by name, in their order, but for names that `sent` names in `Connection`: some of them stay all the same. Lines of
/// `Cookie` are one (RFC 9113 section 8.2.3).
fn fields(of: Fields<'_>, sent: Fields<'_>) -> BTreeMap<String, Vec<Vec<u8>>> {
    let named: Vec<String> = sent.connection().map(lower).collect();
    let mut out: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for field in of.iter() {
        let name = lower(field.name);
        if !OWN.contains(&name.as_str()) && !named.contains(&name) {
            out.entry(name).or_default().push(field.value.to_vec());
        }
    }
    if let Some(crumbs) = out.get_mut("cookie") {
        // A crumb of none leaves a blank at the end, which is no part of a value.
        *crumbs = vec![crumbs.join(&b"; "[..]).trim_ascii().to_vec()];
    }
    out
}

fn lower(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

fn request(bytes: &[u8]) {
    let mut head = RequestHead::new();
    let Ok(Parsed::Complete { consumed }) = head.parse(bytes, &HeadLimits::default()) else { return };
    let sent = head.view(&bytes[..consumed]);
    let parts = sent.parts(Scheme::Http);
    let (scheme, endpoint) = (http::uri::Scheme::HTTP, || "192.0.2.1:80".to_owned());
    let converted = h2::upstream_request(&parts, &HeadEdits::new(), sent.framing(), scheme, endpoint);
    let Some(converted) = converted else { return };
    let (converted, ()) = converted.into_parts();
    let mut text = Vec::new();
    let written = h2::write_request(&mut text, &converted, sent.framing().is_empty(), None);
    assert_eq!(written, Ok(()), "{converted:?}");
    let mut again = RequestHead::new();
    let parsed = again.parse(&text, &roomy());
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: text.len() }), "{}", text.escape_ascii());
    let read = again.view(&text);
    assert_eq!(read.method_token(), sent.method_token());
    assert_eq!(read.path(), escaped(sent.path()));
    assert_eq!(read.query(), sent.query().map(escaped).as_deref());
    if let Some(host) = sent.authority().filter(|host| !host.is_empty()) {
        assert_eq!(read.authority(), Some(host));
    }
    let has_length = matches!(sent.framing(), BodyFraming::Length(_));
    assert!(
        read.framing() == sent.framing()
            || !has_length && sent.framing().is_empty() == read.framing().is_empty()
    );
    assert_eq!(fields(read.parts(Scheme::Http).fields, parts.fields), fields(parts.fields, parts.fields));
}

/// Bytes that no URI has are escaped.
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in text {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#' => {
                out.extend(format!("%{byte:02X}").bytes());
            }
            _ => out.push(*byte),
        }
    }
    out
}

fn response(bytes: &[u8], to: Method) {
    let mut head = ResponseHead::new();
    let Ok(Parsed::Complete { consumed }) = head.parse(bytes, &HeadLimits::default(), to) else { return };
    let sent = head.view(&bytes[..consumed]);
    let parts = sent.parts();
    if parts.is_upgrade() {
        return;
    }
    let Some(converted) = h2::response(&parts, &HeadEdits::new()) else { return };
    assert_eq!(converted.status().as_u16(), sent.status());
    let ends = matches!(parts.length, BodyLength::None(_) | BodyLength::Known(0));
    let mut text = Vec::new();
    let written = h2::write_response(&mut text, &converted, to, ends);
    assert_eq!(written, Ok(()), "{converted:?}");
    let mut again = ResponseHead::new();
    let parsed = again.parse(&text, &roomy(), to);
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: text.len() }), "{}", text.escape_ascii());
    let read = again.view(&text);
    assert_eq!(read.status(), sent.status());
    if let BodyLength::Known(length) = parts.length {
        assert!(matches!(read.parts().length, BodyLength::Known(same) if same == length));
    }
    assert_eq!(fields(read.parts().fields, parts.fields), fields(parts.fields, parts.fields));
}
