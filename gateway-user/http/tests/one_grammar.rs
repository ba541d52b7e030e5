//! One head as the text of HTTP/1.1 and as a list of HTTP/2: both readers come to the same verdict and the same head, but for
//! the rows of the table in `docs/http2.md` (decision 265).

use gateway_http::h1::{BodyFraming, Field, HeadLimits, Parsed, RequestError, RequestHead, eq_ignore_case};
use gateway_http::h2::write_request;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A head that neither version has a say in yet.
#[derive(Clone, Debug)]
struct Sent {
    method: String,
    target: String,
    authority: Option<String>,
    fields: Vec<(String, Vec<u8>)>,
    /// The head ends the message.
    ends: bool,
}

/// The verdict of a reader.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    method: Vec<u8>,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    framing: BodyFraming,
    accepts_trailers: bool,
    /// By lower-case name, in their order.
    fields: Vec<(String, Vec<u8>)>,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Reader(RequestError),
    /// The codec of HTTP/2 resets the stream before anybody reads a head.
    Codec,
}

const OF_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"];

fn is_blank(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| matches!(byte, b' ' | b'\t'))
}

impl Sent {
    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(own, _)| own == name)
    }

    fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.fields.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_slice())
    }

    /// Rows of what HTTP/2 alone refuses.
    fn is_refused(&self) -> bool {
        let blank = |value: &[u8]| is_blank(value.first()) || is_blank(value.last());
        let length = self.values("content-length").any(|length| length.iter().any(|&byte| byte != b'0'));
        OF_CONNECTION.iter().any(|name| self.has(name))
            || self.values("te").any(|value| !eq_ignore_case(value, b"trailers"))
            || self.fields.iter().any(|(_, value)| blank(value))
            || self.ends && length
            // A target that is no path, and bytes that no URI has.
            || self.uri().is_none()
    }

    /// Rows of what HTTP/2 alone reads in its own way: the same as the text has to say it.
    fn as_text(&self) -> Self {
        let mut same = self.clone();
        same.target.truncate(self.target.find('#').unwrap_or(self.target.len()));
        let mut hosts = self.values("host").map(|host| String::from_utf8_lossy(host).into_owned());
        if let (Some(host), None) = (hosts.next(), hosts.next()) {
            let place = same.authority.get_or_insert_with(|| host.clone());
            if place.eq_ignore_ascii_case(&host) {
                same.fields.retain(|(name, _)| name != "host");
            }
        }
        let crumbs: Vec<_> = self.values("cookie").collect();
        if !crumbs.is_empty() {
            let cookie = crumbs.join(&b"; "[..]);
            same.fields.retain(|(name, _)| name != "cookie");
            same.fields.push(("cookie".to_owned(), cookie.trim_ascii().to_vec()));
        }
        same
    }

    /// `:authority` and `:path` as the codec reads them.
    fn uri(&self) -> Option<Uri> {
        let mut parts = http::uri::Parts::default();
        if let Some(authority) = &self.authority {
            parts.scheme = Some(http::uri::Scheme::HTTP);
            parts.authority = Some(authority.parse().ok()?);
        }
        parts.path_and_query = Some(self.target.parse().ok()?);
        Uri::from_parts(parts).ok()
    }

    fn by_text(&self) -> Result<Head, Refused> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if let Some(authority) = &self.authority {
            text.extend(format!("Host: {authority}\r\n").into_bytes());
        }
        for (name, value) in &self.fields {
            text.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if !self.ends && !self.has("content-length") {
            text.extend(b"Transfer-Encoding: chunked\r\n");
        }
        text.extend(b"\r\n");
        read(&text).map_err(Refused::Reader)
    }

    fn by_list(&self) -> Result<Head, Refused> {
        let uri = self.uri().ok_or(Refused::Codec)?;
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| Refused::Codec)?;
        let mut request = Request::new(());
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        for (name, value) in &self.fields {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refused::Codec)?;
            let value = HeaderValue::from_bytes(value).map_err(|_| Refused::Codec)?;
            request.headers_mut().append(name, value);
        }
        let mut text = Vec::new();
        write_request(&mut text, &request.into_parts().0, self.ends, None).map_err(Refused::Reader)?;
        read(&text).map_err(Refused::Reader)
    }
}

fn read(text: &[u8]) -> Result<Head, RequestError> {
    let mut head = RequestHead::new();
    let parsed = head.parse(text, &HeadLimits::default())?;
    assert_eq!(parsed, Parsed::Complete { consumed: text.len() }, "{}", text.escape_ascii());
    let view = head.view(text);
    let field = |field: Field<'_>| (String::from_utf8_lossy(field.name).to_lowercase(), field.value.to_vec());
    let mut fields: Vec<_> =
        view.fields().iter().map(field).filter(|(name, _)| !is_told_anew(name)).collect();
    // A list has no order among names, and neither has a head.
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Head {
        method: view.method_token().to_vec(),
        path: view.path().to_vec(),
        query: view.query().map(<[u8]>::to_vec),
        authority: view.authority().map(<[u8]>::to_vec),
        framing: view.framing(),
        accepts_trailers: view.accepts_trailers(),
        fields,
    })
}

/// Seen as framing and authority.
fn is_told_anew(name: &str) -> bool {
    matches!(name, "host" | "transfer-encoding")
}

fn targets() -> impl Strategy<Value = String> {
    let pieces = [
        "/", "/", "a", "%2F", "%zz", "..", ".", "?", "=", "&", ";", ":", "@", "*", "#", "{", "}", "\"", "<",
        ">", "|", "\\", "^", "`", "~", "'", "[", "]", "ä", "\u{7f}", "\t",
    ];
    let path = vec(select(pieces.to_vec()), 0..6).prop_map(|pieces| format!("/{}", pieces.concat()));
    let other = ["*", "", "a", "http://b/", "//b/", "?a"].map(str::to_owned).to_vec();
    prop_oneof![9 => path, 1 => select(other)]
}

fn authorities() -> impl Strategy<Value = Option<String>> {
    let pieces = [
        "a.example",
        "A.EXAMPLE",
        "a_b",
        "127.0.0.1",
        "[::1]",
        ":81",
        ":",
        ":0",
        ":99999",
        "@",
        "u",
        "%41",
        "!",
        "*",
        "-",
        ".",
        "ä",
    ];
    let odd = vec(select(pieces.to_vec()), 0..3).prop_map(|pieces| Some(pieces.concat()));
    prop_oneof![4 => Just(Some("a.example".to_owned())), 4 => odd, 1 => Just(None)]
}

fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let names = [
        "x-a",
        "x-b",
        "x_c",
        "cookie",
        "te",
        "trailer",
        "expect",
        "content-length",
        "content-type",
        "host",
        "connection",
        "keep-alive",
        "upgrade",
        "transfer-encoding",
        "proxy-connection",
        "http2-settings",
        "accept",
        "x-a b",
        "",
    ];
    let values: Vec<&[u8]> = vec![
        b"",
        b"a",
        b"a=1",
        b"trailers",
        b"Trailers",
        b"gzip",
        b"0",
        b"5",
        b"+5",
        b"5, 5",
        b"100-continue",
        b" a",
        b"a\t",
        b"a b",
        b"a.example",
        b"close",
        b"chunked",
        b"\xe4",
        b"a\x00b",
        b"a\x7f",
        b"a\rb",
    ];
    let field = (select(names.to_vec()), select(values));
    vec(field.prop_map(|(name, value)| (name.to_owned(), value.to_vec())), 0..4)
}

fn heads() -> impl Strategy<Value = Sent> {
    let methods = select(vec!["GET", "POST", "HEAD", "OPTIONS", "get", "X-OWN", "G@T", "", "G T"]);
    let head = (methods, targets(), authorities(), fields(), any::<bool>());
    head.prop_map(|(method, target, authority, fields, ends)| Sent {
        method: method.to_owned(),
        target,
        authority,
        fields,
        ends,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_readers_agree_but_for_the_rows_of_the_table(sent in heads()) {
        let list = sent.by_list();
        if sent.is_refused() {
            prop_assert!(list.is_err(), "{list:?}");
            return Ok(());
        }
        match (sent.as_text().by_text(), list) {
            // The codec says nothing of why.
            (Err(_), Err(_)) => {}
            (text, list) => prop_assert_eq!(text, list),
        }
    }
}

/// The row of bytes that no URI has, byte by byte.
#[test]
fn the_bytes_that_http_2_alone_refuses_are_these() {
    let differ = |make: &dyn Fn(char) -> (String, String)| -> String {
        let differs = |at: &char| {
            let (target, authority) = make(*at);
            let sent = Sent {
                method: "GET".to_owned(),
                target,
                authority: Some(authority),
                fields: Vec::new(),
                ends: true,
            };
            sent.by_text() != sent.by_list() && (sent.by_text().is_ok() || sent.by_list().is_ok())
        };
        ('\x01'..='\u{ff}').filter(differs).collect()
    };
    let differ = [
        differ(&|at| (format!("/a{at}b"), "a.example".to_owned())),
        differ(&|at| (format!("/a?b{at}c"), "a.example".to_owned())),
        differ(&|at| ("/".to_owned(), format!("a{at}b"))),
    ];
    // A fragment is taken away, all else is refused.
    assert_eq!(differ, ["#<>`", "\"#<>", ""]);
}
