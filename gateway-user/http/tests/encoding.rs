//! The bytes that are written: forwarded heads byte for byte, edits, local replies, chunks.

use gateway_http::h1::encode::{
    self, ChunkSize, Full, LocalReply, Persistence, RequestOptions, ResponseOptions, SliceSink,
};
use gateway_http::h1::{
    BodyDecoder, BodyFraming, BodyLimits, EditError, HeadEdits, HeadLimits, Method, RequestHead,
    ResponseHead, Scheme, Version,
};

fn forward(text: &str, edits: &HeadEdits, upgrade: Option<&[u8]>) -> String {
    let mut head = RequestHead::new();
    head.parse(text.as_bytes(), &HeadLimits::default()).unwrap();
    let view = head.view(text.as_bytes());
    let mut out = Vec::new();
    let options = RequestOptions { framing: view.framing(), upgrade, close: false };
    encode::request(&mut out, &view.parts(Scheme::Http), edits, &options).unwrap();
    String::from_utf8(out).unwrap()
}

fn forward_back(text: &str, edits: &HeadEdits, options: &ResponseOptions<'_>) -> String {
    let mut head = ResponseHead::new();
    head.parse(text.as_bytes(), &HeadLimits::default(), Method::Get).unwrap();
    let mut out = Vec::new();
    encode::response(&mut out, &head.view(text.as_bytes()).parts(), edits, options).unwrap();
    String::from_utf8(out).unwrap()
}

fn edits(change: impl FnOnce(&mut HeadEdits)) -> HeadEdits {
    let mut edits = HeadEdits::new();
    change(&mut edits);
    edits
}

#[test]
fn hop_by_hop_fields_stay_behind() {
    let text = "POST /p?q HTTP/1.1\r\nA: 1\r\nHost: h:80\r\nConnection: close, X-Hop, Authorization, content-length\r\n\
        X-Hop: gone\r\nAuthorization: stays\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
        TE: gzip, trailers\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r\nTrailer: X-Sum\r\nB: 2\r\n\r\n";
    let want = "POST /p?q HTTP/1.1\r\nHost: h:80\r\nA: 1\r\nAuthorization: stays\r\nTrailer: X-Sum\r\nB: 2\r\n\
        Transfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
    assert_eq!(forward(text, &HeadEdits::new(), None), want);
}

#[test]
fn framing_is_written_anew() {
    let none = HeadEdits::new();
    let text = "PUT / HTTP/1.1\r\ncontent-LENGTH: 007\r\nHost: a\r\n\r\n";
    assert_eq!(forward(text, &none, None), "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n");
    let text = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n";
    assert!(forward(text, &none, None).ends_with("Content-Length: 18446744073709551615\r\n\r\n"));
    let text = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert!(forward(text, &none, None).ends_with("Content-Length: 0\r\n\r\n"));
}

#[test]
fn blanks_around_values_become_one_space() {
    let text = "GET / HTTP/1.0\r\nA:1\r\nB:  2\r\nC: 3 \t\r\nD:\r\nE: 5\r\nf:\t6\r\n\r\n";
    let want = "GET / HTTP/1.1\r\nHost: \r\nA: 1\r\nB: 2\r\nC: 3\r\nD: \r\nE: 5\r\nf: 6\r\n\r\n";
    assert_eq!(forward(text, &HeadEdits::new(), None), want);
}

#[test]
fn targets_are_written_in_origin_form() {
    let none = HeadEdits::new();
    let absolute = "GET http://b:8080/p?q HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(forward(absolute, &none, None), "GET /p?q HTTP/1.1\r\nHost: b:8080\r\n\r\n");
    let asterisk = "OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(forward(asterisk, &none, None), "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n");
    let path = edits(|e| e.set_path_parts(&[b"/", b"get"]).unwrap());
    assert_eq!(forward(absolute, &path, None), "GET /get?q HTTP/1.1\r\nHost: b:8080\r\n\r\n");
    let all = edits(|e| {
        e.set_path(b"/x").unwrap();
        e.set_query(None).unwrap();
        e.set_host(b"c").unwrap();
    });
    assert_eq!(forward(absolute, &all, None), "GET /x HTTP/1.1\r\nHost: c\r\n\r\n");
    let query = edits(|e| e.set_query(Some(b"r=1")).unwrap());
    assert_eq!(forward(absolute, &query, None), "GET /p?r=1 HTTP/1.1\r\nHost: b:8080\r\n\r\n");
}

#[test]
fn edits_apply_in_order() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 1\r\nx: 2\r\nZ: 1\r\n\r\n";
    let lines = |change: fn(&mut HeadEdits)| {
        forward(text, &edits(change), None).replace("GET / HTTP/1.1\r\nHost: a\r\n", "").replace("\r\n", "|")
    };
    assert_eq!(lines(|_| ()), "X: 1|Y: 1|x: 2|Z: 1||");
    assert_eq!(lines(|e| e.set(b"x", b"n").unwrap()), "Y: 1|Z: 1|x: n||");
    assert_eq!(lines(|e| e.add(b"x", b" n ").unwrap()), "X: 1|Y: 1|x: 2|Z: 1|x: n||");
    assert_eq!(lines(|e| e.remove(b"X").unwrap()), "Y: 1|Z: 1||");
    let set_then_removed = |e: &mut HeadEdits| {
        e.set(b"x", b"n").unwrap();
        e.add(b"X", b"m").unwrap();
        e.remove(b"x").unwrap();
    };
    assert_eq!(lines(set_then_removed), "Y: 1|Z: 1||");
    let removed_then_added = |e: &mut HeadEdits| {
        e.remove(b"x").unwrap();
        e.add(b"X", b"m").unwrap();
        e.set_parts(b"w", &[b"1", b", ", b"2"]).unwrap();
        e.set(b"empty", b"").unwrap();
    };
    assert_eq!(lines(removed_then_added), "Y: 1|Z: 1|X: m|w: 1, 2|empty: ||");
    assert_eq!(
        forward(text, &edits(|e| e.set(b"HOST", b"b:1").unwrap()), None).lines().nth(1),
        Some("Host: b:1")
    );
}

#[test]
fn values_show_the_head_as_edited() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n";
    let mut head = RequestHead::new();
    head.parse(text, &HeadLimits::default()).unwrap();
    let fields = head.view(text).fields();
    let mut edits = HeadEdits::new();
    let values = |edits: &HeadEdits| edits.values(fields, b"x").map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert_eq!(values(&edits), [b"1".to_vec()]);
    edits.add(b"x", b"2").unwrap();
    assert_eq!(values(&edits), [b"1".to_vec(), b"2".to_vec()]);
    edits.set(b"X", b"3").unwrap();
    assert_eq!(values(&edits), [b"3".to_vec()]);
    edits.clear();
    assert_eq!(values(&edits), [b"1".to_vec()]);
}

#[test]
fn edits_that_would_split_or_reframe_are_refused() {
    let mut edits = HeadEdits::new();
    assert_eq!(edits.set(b"x", b"1\r\nEvil: 1"), Err(EditError::BadValue));
    assert_eq!(edits.set_parts(b"x", &[b"1", b"\n"]), Err(EditError::BadValue));
    assert_eq!(edits.add(b"x", b"\x00"), Err(EditError::BadValue));
    assert_eq!(edits.add(b"x y", b"1"), Err(EditError::BadName));
    assert_eq!(edits.remove(b""), Err(EditError::BadName));
    for name in [
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "TE",
        "upgrade",
        "keep-alive",
        "proxy-connection",
    ] {
        assert_eq!(edits.set(name.as_bytes(), b"1"), Err(EditError::Managed), "{name}");
    }
    assert_eq!(edits.remove(b"host"), Err(EditError::Managed));
    assert_eq!(edits.add(b"Host", b"a"), Err(EditError::Managed));
    assert_eq!(edits.set(b"Host", b"a b"), Err(EditError::BadHost));
    for path in ["", "a", "/a b", "/a?b", "/a#b", "/ä", "/a\r\n"] {
        assert_eq!(edits.set_path(path.as_bytes()), Err(EditError::BadTarget), "{path}");
    }
    assert_eq!(edits.set_query(Some(b"a b")), Err(EditError::BadTarget));
    let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(forward(text, &edits, None), text);
}

#[test]
fn upgrades_are_offered_when_asked() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
    assert_eq!(
        forward(text, &HeadEdits::new(), None),
        "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\n\r\n"
    );
    assert_eq!(
        forward(text, &HeadEdits::new(), Some(b"websocket")),
        "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    );
}

#[test]
fn answers_come_back_with_framing_of_ours() {
    let text =
        "HTTP/1.0 200\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n";
    let options = ResponseOptions {
        framing: BodyFraming::Chunked,
        persistence: Persistence::Keep,
        ..Default::default()
    };
    let want = "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(forward_back(text, &HeadEdits::new(), &options), want);
    let options = ResponseOptions {
        framing: BodyFraming::UntilClose,
        persistence: Persistence::new(Version::Http10, false),
        ..Default::default()
    };
    let want = "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nConnection: close\r\n\r\n";
    assert_eq!(forward_back(text, &HeadEdits::new(), &options), want);
    let options = ResponseOptions {
        framing: BodyFraming::Length(3),
        persistence: Persistence::new(Version::Http10, true),
        ..Default::default()
    };
    let edits = edits(|e| e.set(b"set-cookie", b"c").unwrap());
    let want = "HTTP/1.1 200 OK\r\nset-cookie: c\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(forward_back(text, &edits, &options), want);
}

#[test]
fn interim_answers_and_upgrades_carry_no_framing() {
    let options = ResponseOptions {
        framing: BodyFraming::Length(3),
        persistence: Persistence::Close,
        ..Default::default()
    };
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    assert_eq!(forward_back(hints, &HeadEdits::new(), &options), hints);
    let text = "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX: 1\r\n\r\n";
    let options = ResponseOptions { upgrade: Some(b"websocket"), ..options };
    let want = "HTTP/1.1 101 Go\r\nX: 1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    assert_eq!(forward_back(text, &HeadEdits::new(), &options), want);
}

#[test]
fn answers_of_our_own() {
    let write = |a: &LocalReply<'_>| {
        let mut out = Vec::new();
        encode::local_reply(&mut out, a).unwrap();
        String::from_utf8(out).unwrap()
    };
    let base = LocalReply {
        status: 404,
        reason: "no_route",
        content_type: Some("text/plain"),
        body: b"no\n",
        ..LocalReply::default()
    };
    let head = "HTTP/1.1 404 Not Found\r\nx-sluice-reason: no_route\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n";
    assert_eq!(write(&base), format!("{head}\r\nno\n"));
    assert_eq!(write(&LocalReply { to_head: true, ..base }), format!("{head}\r\n"));
    let close = LocalReply { persistence: Persistence::Close, ..base };
    assert_eq!(write(&close), format!("{head}Connection: close\r\n\r\nno\n"));
    let redirect = LocalReply {
        status: 301,
        fields: &[("Location", b"https://a/")],
        date: Some(b"Sun, 06 Nov 1994 08:49:37 GMT"),
        ..LocalReply::default()
    };
    let want = "HTTP/1.1 301 Moved Permanently\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nLocation: https://a/\r\n\
        Content-Length: 0\r\n\r\n";
    assert_eq!(write(&redirect), want);
    assert_eq!(
        write(&LocalReply { status: 204, body: b"x", ..LocalReply::default() }),
        "HTTP/1.1 204 No Content\r\n\r\n"
    );
    assert_eq!(
        write(&LocalReply { status: 599, ..LocalReply::default() }),
        "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn chunk_sizes() {
    for (size, want) in [
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (0xabcdef, "abcdef\r\n"),
        (u64::MAX, "ffffffffffffffff\r\n"),
    ] {
        assert_eq!(ChunkSize::new(size).as_bytes(), want.as_bytes());
    }
}

#[test]
fn trailers_are_passed_on() {
    let mut decoder = BodyDecoder::new(BodyLimits::default());
    decoder.begin(BodyFraming::Chunked).unwrap();
    assert!(decoder.decode(b"0\r\nx-sum:  1\r\nHost: evil\r\n\r\n").unwrap().finished);
    let mut out = Vec::new();
    encode::last_chunk(&mut out, decoder.trailers()).unwrap();
    assert_eq!(out, b"0\r\nx-sum: 1\r\n\r\n");
    decoder.begin(BodyFraming::None).unwrap();
    out.clear();
    encode::last_chunk(&mut out, decoder.trailers()).unwrap();
    assert_eq!(out, encode::LAST_CHUNK);
}

#[test]
fn a_full_sink_is_reported_at_every_length() {
    let text = "GET /path HTTP/1.1\r\nHost: a\r\nX: 1\r\nY:2\r\n\r\n";
    let mut head = RequestHead::new();
    head.parse(text.as_bytes(), &HeadLimits::default()).unwrap();
    let view = head.view(text.as_bytes());
    let whole = forward(text, &HeadEdits::new(), None);
    for room in 0..=whole.len() {
        let mut buffer = vec![0; room];
        let mut sink = SliceSink::new(&mut buffer);
        let result = encode::request(
            &mut sink,
            &view.parts(Scheme::Http),
            &HeadEdits::new(),
            &RequestOptions::default(),
        );
        assert_eq!(result, if room < whole.len() { Err(Full) } else { Ok(()) });
        let filled = sink.filled();
        assert!(filled <= room && buffer[..filled] == whole.as_bytes()[..filled]);
    }
}
