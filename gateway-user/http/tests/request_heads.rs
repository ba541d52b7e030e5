//! Request heads: what is accepted and what it means, what is refused and why, whole and at every split.

use gateway_http::h1::{
    BodyFraming, FieldError, HeadLimits, Method, Parsed, RequestError, RequestHead, Scheme, Version,
};

/// Offers the head whole, then growing byte by byte, and checks that both end the same.
fn parse(text: &[u8]) -> Result<RequestHead, RequestError> {
    let limits = HeadLimits::default();
    let mut whole = RequestHead::new();
    let result = whole.parse(text, &limits);
    let mut growing = RequestHead::new();
    let last =
        (1..=text.len()).map(|n| growing.parse(&text[..n], &limits)).find(|r| *r != Ok(Parsed::Incomplete));
    let last = last.unwrap_or(Ok(Parsed::Incomplete));
    assert_eq!(result, last, "whole and growing differ: {:?}", String::from_utf8_lossy(text));
    if result.is_ok() {
        let (a, b) = (format!("{:?}", whole.view(text)), format!("{:?}", growing.view(text)));
        assert_eq!(a, b, "whole and growing differ in the head");
    }
    match result? {
        Parsed::Complete { consumed } => assert_eq!(consumed, text.len()),
        Parsed::Incomplete => panic!("incomplete: {:?}", String::from_utf8_lossy(text)),
    }
    // What follows the head changes nothing.
    let mut followed = RequestHead::new();
    let more = [text, b"GET /next HTTP/1.1\r\n"].concat();
    assert_eq!(followed.parse(&more, &limits), Ok(Parsed::Complete { consumed: text.len() }));
    Ok(whole)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of heads and their parts")]
fn accepted_heads_mean_what_they_say() {
    type Row<'a> =
        (&'a str, Method, &'a str, Option<&'a str>, Option<&'a str>, Option<u16>, BodyFraming, bool);
    use BodyFraming::{Chunked, Length, None as NoBody};
    use Method::*;
    let rows: &[Row<'_>] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Get, "/", None, Some("a"), None, NoBody, true),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Get, "/", None, Some("a"), None, NoBody, true),
        (
            "GET /a?b=c?d HTTP/1.1\r\nhOsT:a:8\r\n\r\n",
            Get,
            "/a",
            Some("b=c?d"),
            Some("a"),
            Some(8),
            NoBody,
            true,
        ),
        ("GET /? HTTP/1.1\r\nHost: A.b.\r\n\r\n", Get, "/", Some(""), Some("A.b"), None, NoBody, true),
        (
            "GET //a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
            Get,
            "//a",
            None,
            Some("[::1]"),
            Some(80),
            NoBody,
            true,
        ),
        ("GET / HTTP/1.0\r\n\r\n", Get, "/", None, None, None, NoBody, false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Get, "/", None, None, None, NoBody, true),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
            Get,
            "/",
            None,
            Some("a"),
            None,
            NoBody,
            false,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
            Get,
            "/",
            None,
            Some("a"),
            None,
            NoBody,
            false,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            Post,
            "/",
            None,
            Some("a"),
            None,
            Length(0),
            true,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length:  5 \r\n\r\n",
            Put,
            "/",
            None,
            Some("a"),
            None,
            Length(5),
            true,
        ),
        (
            "PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
            Patch,
            "/",
            None,
            Some("a"),
            None,
            Chunked,
            true,
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Options, "*", None, Some("a"), None, NoBody, true),
        ("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", Options, "*", None, Some("b"), None, NoBody, true),
        ("OPTIONS http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Options, "/", None, Some("b"), None, NoBody, true),
        (
            "GET http://b:1/p?q HTTP/1.1\r\nHost: a\r\n\r\n",
            Get,
            "/p",
            Some("q"),
            Some("b"),
            Some(1),
            NoBody,
            true,
        ),
        ("GET HTTPS://b?q HTTP/1.1\r\nHost: b\r\n\r\n", Get, "/", Some("q"), Some("b"), None, NoBody, true),
        ("GET http://b HTTP/1.0\r\n\r\n", Get, "/", None, Some("b"), None, NoBody, false),
        (
            "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: a\r\n\r\n",
            Other,
            "/",
            None,
            Some("a"),
            None,
            NoBody,
            true,
        ),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", Other, "/", None, Some("a"), None, NoBody, true),
        ("GET /%zz|\"<> HTTP/1.1\r\nHost: a\r\n\r\n", Get, "/%zz|\"<>", None, Some("a"), None, NoBody, true),
    ];
    for (text, method, path, query, host, port, framing, keep) in rows {
        let head = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let view = head.view(text.as_bytes());
        let got_path = std::str::from_utf8(view.path()).unwrap();
        assert_eq!((view.method(), got_path), (*method, *path), "{text:?}");
        assert_eq!(view.query(), query.map(str::as_bytes), "{text:?}");
        assert_eq!((view.host(), view.port()), (host.map(str::as_bytes), *port), "{text:?}");
        assert_eq!((view.framing(), view.keep_alive()), (*framing, *keep), "{text:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of heads and their errors")]
fn refused_heads_say_why() {
    use RequestError::*;
    let field = |error| Field(error);
    let rows: &[(&[u8], RequestError)] = &[
        // First line.
        (b"GET / HTTP/1.1\nHost: a\n\n", field(FieldError::BareLf)),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", field(FieldError::BareLf)),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", field(FieldError::BareLf)),
        (b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", field(FieldError::BareLf)),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", field(FieldError::BareCr)),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", field(FieldError::BareCr)),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", BadRequestLine),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        (b"GET /\r\n", BadRequestLine),
        (b"GET\r\n", BadRequestLine),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", BadRequestLine),
        (b"GE\"T / HTTP/1.1\r\nHost: a\r\n\r\n", BadMethod),
        (b"GE\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", BadMethod),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", BadMethod),
        (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET /?\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", ConnectNotSupported),
        (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", UnsupportedVersion),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", UnsupportedVersion),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", UnsupportedVersion),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Http2Preface),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", TlsOnPlaintext),
        // Field lines.
        (b"GET / HTTP/1.1\r\nHost: a\nx: y\r\n\r\n", field(FieldError::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: \ny: z\r\n\r\n", field(FieldError::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx:\n\r\n", field(FieldError::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: y\r\n\n", field(FieldError::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: y\n\r\n", field(FieldError::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: y\rz: w\r\n\r\n", field(FieldError::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: y\r\r\n\r\n", field(FieldError::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: y\r\n z\r\n\r\n", field(FieldError::ObsFold)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx:\r\n\tz\r\n\r\n", field(FieldError::ObsFold)),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", field(FieldError::ObsFold)),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", field(FieldError::SpaceBeforeColon)),
        (b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", field(FieldError::SpaceBeforeColon)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", field(FieldError::BadName)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx y: z\r\n\r\n", field(FieldError::BadName)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx\xc3\xa4: z\r\n\r\n", field(FieldError::BadName)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx(y): z\r\n\r\n", field(FieldError::BadName)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx\x00: z\r\n\r\n", field(FieldError::BadName)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nxyz\r\n\r\n", field(FieldError::BadName)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: y\x00z\r\n\r\n", field(FieldError::BadValue)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: y\x7f\r\n\r\n", field(FieldError::BadValue)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: \x0by\r\n\r\n", field(FieldError::BadValue)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n", field(FieldError::BadValue)),
        // Host.
        (b"GET / HTTP/1.1\r\n\r\n", MissingHost),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", MissingHost),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", RepeatedHost),
        (b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", RepeatedHost),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", BadHost),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BadHost),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BadHost),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BadHost),
        (b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", BadHost),
        (b"GET / HTTP/1.0\r\nHost: a:x\r\n\r\n", BadHost),
        (b"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", BadHost),
        // Framing.
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            LengthWithTransferEncoding,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            LengthWithTransferEncoding,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            RepeatedContentLength,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", RepeatedContentLength),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", BadContentLength),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", BadContentLength),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", BadTransferEncoding),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, x\r\n\r\n", BadTransferEncoding),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            UnsupportedTransferCoding,
        ),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncodingOnHttp10),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\n", ExpectationFailed),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, teapot\r\n\r\n", ExpectationFailed),
    ];
    for (text, want) in rows {
        assert_eq!(parse(text).err(), Some(*want), "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn unusual_values_pass() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nEmpty:\r\nBlank: \t \r\nObs: \x80\xff\r\nTab:\ta\tb\t\r\n!#$%&'*+-.^_`|~: :\r\n\r\n";
    let head = parse(text).unwrap();
    let fields = head.view(text).fields();
    let values: Vec<_> = fields.iter().skip(1).map(|f| (f.name, f.value)).collect();
    let want: &[(&[u8], &[u8])] = &[
        (b"Empty", b""),
        (b"Blank", b""),
        (b"Obs", b"\x80\xff"),
        (b"Tab", b"a\tb"),
        (b"!#$%&'*+-.^_`|~", b":"),
    ];
    assert_eq!(values, want);
    assert_eq!(fields.get(b"obs"), Some(&b"\x80\xff"[..]));
    assert_eq!((fields.len(), fields.get(b"none")), (6, None));
}

#[test]
fn expectations_upgrades_and_trailers() {
    let head = |lines: &str, version: &str| {
        let text = format!("POST / {version}\r\nHost: a\r\n{lines}\r\n");
        let head = parse(text.as_bytes()).unwrap();
        let view = head.view(text.as_bytes());
        (view.expects_continue(), view.upgrade().map(<[u8]>::to_vec), view.accepts_trailers())
    };
    let (v11, v10) = ("HTTP/1.1", "HTTP/1.0");
    assert_eq!(head("Content-Length: 3\r\nExpect: 100-Continue\r\n", v11), (true, None, false));
    assert_eq!(head("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", v11), (true, None, false));
    assert_eq!(head("Expect: 100-continue\r\n", v11), (false, None, false), "there is no body to wait with");
    assert_eq!(head("Content-Length: 3\r\nExpect: 100-continue\r\n", v10), (false, None, false));
    for empty in ["Expect:\r\n", "Expect: ,\t, \r\n", "Expect:\r\nExpect: ,\r\n"] {
        assert_eq!(head(&format!("Content-Length: 3\r\n{empty}"), v11), (false, None, false), "{empty:?}");
    }
    assert_eq!(head("Content-Length: 3\r\nExpect: , 100-continue,\r\n", v11), (true, None, false));
    assert_eq!(head("Content-Length: 3\r\nExpect: teapot\r\n", v10), (false, None, false));
    let websocket = Some(b"websocket".to_vec());
    assert_eq!(head("Connection: Upgrade\r\nUpgrade: websocket\r\n", v11), (false, websocket, false));
    assert_eq!(head("Upgrade: websocket\r\n", v11), (false, None, false));
    assert_eq!(head("Connection: Upgrade\r\n", v11), (false, None, false));
    assert_eq!(head("Connection: Upgrade\r\nUpgrade: websocket\r\n", v10), (false, None, false));
    assert_eq!(head("TE: gzip;q=0.5, Trailers\r\nConnection: TE\r\n", v11), (false, None, true));
}

#[test]
fn host_is_lowered_only_when_it_must_be() {
    let mut scratch = Vec::new();
    let lower = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let head = parse(lower).unwrap();
    assert_eq!(head.view(lower).parts(Scheme::Http).host_lower(&mut scratch), Some(&b"a.example"[..]));
    assert_eq!(scratch.capacity(), 0);
    let upper = b"GET / HTTP/1.1\r\nHost: A.Example:80\r\n\r\n";
    let head = parse(upper).unwrap();
    assert_eq!(head.view(upper).parts(Scheme::Http).host_lower(&mut scratch), Some(&b"a.example"[..]));
    assert_eq!(head.view(upper).authority(), Some(&b"A.Example:80"[..]));
    assert_eq!(head.view(upper).version(), Version::Http11);
}

#[test]
fn limits_hold_whole_and_growing() {
    let limits = HeadLimits { first_line: 40, head: 120, fields: 3 };
    let run = |text: &[u8]| {
        let whole = RequestHead::new().parse(text, &limits);
        let mut head = RequestHead::new();
        let growing =
            (1..=text.len()).map(|n| head.parse(&text[..n], &limits)).find(|r| *r != Ok(Parsed::Incomplete));
        assert_eq!(Some(whole), growing.or(Some(Ok(Parsed::Incomplete))));
        whole.map(|_| ())
    };
    let line = |length: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(length - 16));
    let get = |line: String, fields: &str| format!("{line}Host: a\r\n{fields}\r\n").into_bytes();
    assert_eq!(run(&get(line(40), "")), Ok(()));
    assert_eq!(run(&get(line(41), "")), Err(RequestError::RequestLineTooLong));
    assert_eq!(run(&[b'A'; 200]), Err(RequestError::RequestLineTooLong));
    assert_eq!(run(&get(line(20), "a:1\r\nb:2\r\n")), Ok(()));
    assert_eq!(run(&get(line(20), "a:1\r\nb:2\r\nc:3\r\n")), Err(RequestError::TooManyHeaders));
    let filler = |total: usize| get(line(20), &format!("a: {}\r\n", "x".repeat(total - 20 - 9 - 2 - 5)));
    assert_eq!(filler(120).len(), 120);
    assert_eq!(run(&filler(120)), Ok(()));
    assert_eq!(run(&filler(121)), Err(RequestError::HeadTooLarge));
    assert_eq!(run(&b"\r\n".repeat(60)), Err(RequestError::HeadTooLarge));
}

#[test]
fn connection_options_are_bounded() {
    let with = |count: usize| {
        let options = vec!["x"; count].join(",");
        parse(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {options}\r\n\r\n").as_bytes()).err()
    };
    assert_eq!(with(HeadLimits::MAX_CONNECTION_OPTIONS), None);
    assert_eq!(with(HeadLimits::MAX_CONNECTION_OPTIONS + 1), Some(RequestError::TooManyConnectionOptions));
}

#[test]
fn storage_is_fit_for_the_next_head() {
    let limits = HeadLimits::default();
    let mut head = RequestHead::new();
    let first = b"POST http://b/x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\nTE: trailers\r\n\r\n";
    let second = b"GET / HTTP/1.0\r\n\r\n";
    assert!(head.parse(first, &limits).is_ok());
    assert!(head.parse(b"GET / HTTP/9.9\r\n\r\n", &limits).is_err());
    assert_eq!(head.view(first).fields().len(), 0);
    assert!(head.parse(first, &limits).is_ok());
    assert!(head.parse(second, &limits).is_ok());
    let mut fresh = RequestHead::new();
    fresh.parse(second, &limits).unwrap();
    assert_eq!(format!("{:?}", head.view(second)), format!("{:?}", fresh.view(second)));
}

#[test]
fn reasons_are_stable_and_statuses_fit() {
    let table = [
        (RequestError::RequestLineTooLong, "request_line_too_long", 414),
        (RequestError::HeadTooLarge, "head_too_large", 431),
        (RequestError::TooManyHeaders, "too_many_headers", 431),
        (RequestError::UnsupportedVersion, "unsupported_version", 505),
        (RequestError::Http2Preface, "http2_preface", 505),
        (RequestError::UnsupportedTransferCoding, "unsupported_transfer_coding", 501),
        (RequestError::ConnectNotSupported, "connect_not_supported", 501),
        (RequestError::ExpectationFailed, "expectation_failed", 417),
        (RequestError::BadHost, "bad_host", 400),
        (RequestError::Field(FieldError::ObsFold), "obs_fold", 400),
    ];
    for (error, reason, status) in table {
        assert_eq!((error.reason(), error.status()), (reason, status));
    }
}
