//! Response heads: framing by status and method, what a lying backend is told apart by, at every split.

use gateway_http::h1::{
    BodyFraming, FieldError, HeadLimits, Method, Parsed, ResponseError, ResponseHead, Version,
};

fn parse(text: &[u8], to: Method) -> Result<ResponseHead, ResponseError> {
    let limits = HeadLimits::default();
    let mut whole = ResponseHead::new();
    let result = whole.parse(text, &limits, to);
    let mut growing = ResponseHead::new();
    let last = (1..=text.len())
        .map(|n| growing.parse(&text[..n], &limits, to))
        .find(|r| *r != Ok(Parsed::Incomplete));
    assert_eq!(result, last.unwrap_or(Ok(Parsed::Incomplete)), "{:?}", String::from_utf8_lossy(text));
    match result? {
        Parsed::Complete { consumed } => assert_eq!(consumed, text.len()),
        Parsed::Incomplete => panic!("incomplete: {:?}", String::from_utf8_lossy(text)),
    }
    assert_eq!(format!("{:?}", whole.view(text)), format!("{:?}", growing.view(text)));
    Ok(whole)
}

#[test]
fn framing_follows_status_method_and_fields() {
    use BodyFraming::{Chunked, Length, None as NoBody, UntilClose};
    let rows: &[(&str, Method, BodyFraming, Option<u64>, bool)] = &[
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Get, Length(5), Some(5), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Method::Get, Length(0), Some(0), true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::Get, Chunked, None, true),
        ("HTTP/1.1 200 OK\r\n\r\n", Method::Get, UntilClose, None, false),
        ("HTTP/1.0 200 OK\r\n\r\n", Method::Get, UntilClose, None, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Get, Length(5), Some(5), false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
            Method::Get,
            Length(5),
            Some(5),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
            Method::Get,
            Length(5),
            Some(5),
            false,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Head, NoBody, Some(5), true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::Head, NoBody, None, true),
        ("HTTP/1.1 200 OK\r\n\r\n", Method::Head, NoBody, None, true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Method::Get, NoBody, Some(5), true),
        ("HTTP/1.1 204 No Content\r\n\r\n", Method::Get, NoBody, None, true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Method::Get, NoBody, None, true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Method::Get, NoBody, None, false),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", Method::Get, NoBody, None, false),
        ("HTTP/1.1 100 Continue\r\n\r\n", Method::Post, NoBody, None, true),
        ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", Method::Get, NoBody, None, true),
        ("HTTP/1.1 999 Odd\r\nContent-Length: 1\r\n\r\n", Method::Get, Length(1), Some(1), true),
    ];
    for (text, to, framing, declared, reusable) in rows {
        let head = parse(text.as_bytes(), *to).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let view = head.view(text.as_bytes());
        assert_eq!((view.framing(), view.declared_length()), (*framing, *declared), "{text:?}");
        assert_eq!(view.reusable(), *reusable, "{text:?}");
    }
}

#[test]
fn the_client_side_gets_framing_it_knows() {
    use BodyFraming::{Chunked, Length, None as NoBody, UntilClose};
    let framing = |text: &str, to: Method, client: Version| {
        let head = parse(text.as_bytes(), to).unwrap();
        BodyFraming::for_client(head.view(text.as_bytes()).parts().length, client)
    };
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
    let closes = "HTTP/1.0 200 OK\r\n\r\n";
    assert_eq!(framing(chunked, Method::Get, Version::Http11), (Chunked, false));
    assert_eq!(framing(chunked, Method::Get, Version::Http10), (UntilClose, true));
    assert_eq!(framing(chunked, Method::Head, Version::Http11), (NoBody, false));
    assert_eq!(framing(closes, Method::Get, Version::Http11), (Chunked, false));
    assert_eq!(framing(closes, Method::Get, Version::Http10), (UntilClose, true));
    assert_eq!(framing(length, Method::Get, Version::Http10), (Length(7), false));
    assert_eq!(framing(length, Method::Head, Version::Http11), (Length(7), false));
}

#[test]
fn status_lines_may_lack_a_reason() {
    let rows: &[(&[u8], u16, &[u8])] = &[
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 404 Not  Here\t\r\n\r\n", 404, b"Not  Here\t"),
        (b"HTTP/1.1 500 \xe4rgs\r\n\r\n", 500, b"\xe4rgs"),
    ];
    for (text, status, reason) in rows {
        let head = parse(text, Method::Get).unwrap();
        assert_eq!((head.view(text).status(), head.view(text).reason()), (*status, *reason));
    }
}

#[test]
fn interim_and_upgrade_are_told_apart() {
    let text = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let head = parse(text, Method::Get).unwrap();
    let view = head.view(text);
    assert!(view.parts().is_upgrade() && !view.parts().is_interim());
    assert_eq!(view.upgrade(), Some(&b"websocket"[..]));
    let text = b"HTTP/1.1 100 Continue\r\n\r\n";
    assert!(parse(text, Method::Get).unwrap().view(text).parts().is_interim());
}

#[test]
fn lying_backends_are_refused() {
    use ResponseError::*;
    let rows: &[(&[u8], ResponseError)] = &[
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", RepeatedContentLength),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n", RepeatedContentLength),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", BadContentLength),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            LengthWithTransferEncoding,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", BadTransferEncoding),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", BadTransferEncoding),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncodingOnHttp10),
        (b"HTTP/1.1 200 OK\nContent-Length: 5\n\n", Field(FieldError::BareLf)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n", Field(FieldError::BareLf)),
        (b"HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n", Field(FieldError::BareCr)),
        (b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n", Field(FieldError::ObsFold)),
        (b"HTTP/1.1 200 OK\r\nx : a\r\n\r\n", Field(FieldError::SpaceBeforeColon)),
        (b"HTTP/1.1 200 OK\r\nx: a\x00\r\n\r\n", Field(FieldError::BadValue)),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Field(FieldError::BadName)),
        (b"HTTP/1.1 200 O\x00K\r\n\r\n", BadStatusLine),
        (b"HTTP/1.1  200 OK\r\n\r\n", BadStatusLine),
        (b"HTTP/1.1 20 OK\r\n\r\n", BadStatusLine),
        (b"HTTP/1.1 2000 OK\r\n\r\n", BadStatusLine),
        (b"HTTP/1.1 099 Low\r\n\r\n", BadStatusLine),
        (b"HTTP/2.0 200 OK\r\n\r\n", BadStatusLine),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", BadStatusLine),
        (b"ICY 200 OK\r\n\r\n", BadStatusLine),
        (b"<html>\r\n\r\n", BadStatusLine),
    ];
    for (text, want) in rows {
        assert_eq!(parse(text, Method::Get).err(), Some(*want), "{:?}", String::from_utf8_lossy(text));
        assert!(want.reason().starts_with("backend_"));
    }
}

#[test]
fn an_endless_head_is_refused() {
    let text =
        [&b"HTTP/1.1 200 OK\r\n"[..], &b"x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(2000)].concat();
    let limits = HeadLimits { fields: 256, ..HeadLimits::default() };
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(&text, &limits, Method::Get), Err(ResponseError::TooManyHeaders));
    let text = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; 40_000]].concat();
    assert_eq!(head.parse(&text, &limits, Method::Get), Err(ResponseError::HeadTooLarge));
}
