//! Properties over random input: nothing panics, what is accepted survives a round trip, normal paths stay
//! normal.

use gateway_http::h1::encode::{self, ChunkSize, RequestOptions, ResponseOptions};
use gateway_http::h1::path::{MergeSlashes, PathOptions, Separators, merged, normalize, unmerged_len};
use gateway_http::h1::{
    BodyDecoder, BodyFraming, BodyLimits, HeadEdits, HeadLimits, Method, Parsed, PartialHead, RequestHead,
    ResponseHead, Scheme,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Pieces that, in random order, come close to heads: whole, broken and ambiguous ones.
const PIECES: &[&str] = &[
    "GET",
    "POST",
    " ",
    "/",
    "*",
    "http://a",
    "a:1",
    " HTTP/1.1",
    " HTTP/1.0",
    "HTTP/1.1 ",
    "200",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    ":",
    ": ",
    "Host: a\r\n",
    "Host",
    "Content-Length: 3\r\n",
    "Content-Length",
    "Transfer-Encoding: chunked\r\n",
    "chunked",
    "Connection: close\r\n",
    "Connection",
    "x",
    "\t",
    ",",
    "5",
    "0",
    "\u{0}",
    "ä",
    "PRI * HTTP/2.0",
    "Expect: 100-continue\r\n",
];

fn near_heads() -> impl Strategy<Value = Vec<u8>> {
    vec(select(PIECES), 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        near_heads(),
        near_heads().prop_map(|tail| [b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec(), tail].concat()),
        near_heads().prop_map(|tail| [b"HTTP/1.1 200 OK\r\n".to_vec(), tail].concat()),
    ]
}

fn token() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}"
}

/// Names that no rule is about, so that they must come through.
fn plain_field() -> impl Strategy<Value = (String, Vec<u8>)> {
    let value = vec(prop_oneof![Just(b'\t'), 0x20..=0x7eu8, 0x80..=0xffu8], 0..30)
        .prop_map(|value| trim(&value).to_vec());
    (token().prop_map(|name| format!("x-{name}")), value)
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[derive(Debug, Clone)]
struct Message {
    method: String,
    target: String,
    host: String,
    fields: Vec<(String, Vec<u8>)>,
    framing: BodyFraming,
}

impl Message {
    fn write(&self, blanks: (&str, &str)) -> Vec<u8> {
        let mut out =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host).into_bytes();
        for (name, value) in &self.fields {
            out.extend(
                [name.as_bytes(), b":", blanks.0.as_bytes(), value, blanks.1.as_bytes(), b"\r\n"].concat(),
            );
        }
        match self.framing {
            BodyFraming::Length(length) => out.extend(format!("Content-Length: {length}\r\n").bytes()),
            BodyFraming::Chunked => out.extend(b"Transfer-Encoding: chunked\r\n"),
            BodyFraming::None | BodyFraming::UntilClose => {}
        }
        out.extend(b"\r\n");
        out
    }
}

fn message() -> impl Strategy<Value = Message> {
    let framing = prop_oneof![
        Just(BodyFraming::None),
        Just(BodyFraming::Chunked),
        any::<u64>().prop_map(BodyFraming::Length)
    ];
    let method = token().prop_filter("has a target form of its own", |m| m != "CONNECT");
    ((method, "/[!-\"$-~]{0,30}", "[a-zA-Z0-9.-]{1,20}(:[0-9]{1,4})?"), vec(plain_field(), 0..12), framing)
        .prop_map(|((method, target, host), fields, framing)| Message {
            method,
            target,
            host,
            fields,
            framing,
        })
}

proptest! {
    #[test]
    fn random_heads_never_panic_and_are_stricter_than_httparse(bytes in garbage(), split in 0usize..200) {
        let limits = HeadLimits::default();
        let mut head = RequestHead::new();
        let whole = head.parse(&bytes, &limits);
        let partial_head = PartialHead::of(&bytes);
        let mut table = [httparse::EMPTY_HEADER; 256];
        let mut theirs = httparse::Request::new(&mut table);
        let reference = theirs.parse(&bytes);
        if let Ok(Parsed::Complete { consumed }) = whole {
            prop_assert_eq!(reference, Ok(httparse::Status::Complete(consumed)));
            let view = head.view(&bytes);
            // A log line says the same of a head, refused or not.
            prop_assert_eq!(partial_head.method, view.method_token());
            prop_assert_eq!(partial_head.authority, view.authority().unwrap_or_default());
            prop_assert_eq!(view.method_token(), theirs.method.unwrap_or_default().as_bytes());
            let ours: Vec<_> = view.fields().iter().map(|f| (f.name, f.value)).collect();
            let fields: Vec<_> = theirs.headers.iter().map(|h| (h.name.as_bytes(), h.value)).collect();
            prop_assert_eq!(ours, fields);
            let mut out = Vec::new();
            prop_assert!(encode::request(&mut out, &view.parts(Scheme::Http), &HeadEdits::new(), &RequestOptions::default()).is_ok());
        }
        if reference.is_err() {
            prop_assert!(whole.is_err());
        }
        // Split in two: never a whole head where the whole bytes are refused, and the other way round.
        let mut growing = RequestHead::new();
        let first = growing.parse(&bytes[..split.min(bytes.len())], &limits);
        let last = if first == Ok(Parsed::Incomplete) { growing.parse(&bytes, &limits) } else { first };
        if let (Ok(Parsed::Complete { consumed: a }), Ok(Parsed::Complete { consumed: b })) = (whole, last) {
            prop_assert_eq!(a, b);
        }
        prop_assert_eq!(
            matches!(whole, Ok(Parsed::Complete { .. })),
            matches!(last, Ok(Parsed::Complete { .. })),
            "{:?} {:?}", whole, last
        );
    }

    #[test]
    fn random_answers_never_panic(bytes in garbage()) {
        let mut head = ResponseHead::new();
        if let Ok(Parsed::Complete { consumed }) = head.parse(&bytes, &HeadLimits::default(), Method::Get) {
            prop_assert!(consumed <= bytes.len());
            let mut out = Vec::new();
            let options = ResponseOptions::default();
            prop_assert!(encode::response(&mut out, &head.view(&bytes).parts(), &HeadEdits::new(), &options).is_ok());
        }
    }

    #[test]
    fn random_bodies_never_panic_and_always_move(bytes in vec(any::<u8>(), 0..200), valid in vec(select(PIECES), 0..9)) {
        for text in [bytes, valid.concat().into_bytes()] {
            let mut decoder = BodyDecoder::new(BodyLimits::default());
            decoder.begin(BodyFraming::Chunked).unwrap();
            let mut rest = &text[..];
            while !rest.is_empty() && !decoder.is_finished() {
                let Ok(step) = decoder.decode(rest) else { break };
                prop_assert!(step.consumed > 0 && step.data.end <= step.consumed && step.consumed <= rest.len());
                rest = &rest[step.consumed..];
            }
        }
    }

    #[test]
    fn valid_requests_survive_a_round_trip(
        message in message(),
        before in select(vec!["", " ", "\t ", "  "]),
        after in select(vec!["", " ", "\t"]),
    ) {
        let text = message.write((before, after));
        let mut head = RequestHead::new();
        prop_assert_eq!(head.parse(&text, &HeadLimits::default()), Ok(Parsed::Complete { consumed: text.len() }));
        let view = head.view(&text);
        prop_assert_eq!(view.framing(), message.framing);
        let mut out = Vec::new();
        let options = RequestOptions { framing: view.framing(), ..RequestOptions::default() };
        encode::request(&mut out, &view.parts(Scheme::Http), &HeadEdits::new(), &options).unwrap();
        prop_assert_eq!(out, message.write((" ", "")));
    }

    #[test]
    fn dropped_fields_are_gone_and_all_others_are_as_they_were(message in message()) {
        let text = message.write((" ", ""));
        let mut head = RequestHead::new();
        head.parse(&text, &HeadLimits::default()).unwrap();
        let is_left = |name: &str| !name.contains('_');
        prop_assert_eq!(head.has_underscores(), message.fields.iter().any(|(name, _)| !is_left(name)));
        head.retain_fields(&text, |field| !field.name.contains(&b'_'));
        prop_assert!(!head.has_underscores());
        let view = head.view(&text);
        let mut out = Vec::new();
        let options = RequestOptions { framing: view.framing(), ..RequestOptions::default() };
        encode::request(&mut out, &view.parts(Scheme::Http), &HeadEdits::new(), &options).unwrap();
        let fields = message.fields.iter().filter(|(name, _)| is_left(name)).cloned().collect();
        prop_assert_eq!(out, Message { fields, ..message }.write((" ", "")));
    }

    #[test]
    fn chunked_bodies_survive_any_chunks_and_any_pieces(
        chunks in vec((vec(any::<u8>(), 1..40), "(;[a-z]{0,5}(=[a-z]{1,5})?)?"), 0..8),
        trailers in vec(plain_field(), 0..4),
        cuts in vec(1usize..50, 0..40),
        followed in vec(any::<u8>(), 0..9),
    ) {
        let mut text = Vec::new();
        for (data, extension) in &chunks {
            text.extend(format!("{:X}{extension}\r\n", data.len()).bytes());
            text.extend(data);
            text.extend(b"\r\n");
        }
        text.extend(b"0\r\n");
        for (name, value) in &trailers {
            text.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        text.extend(b"\r\n");
        let length = text.len();
        text.extend(&followed);

        let (mut decoder, mut content, mut again) = (BodyDecoder::new(BodyLimits::default()), Vec::new(), Vec::new());
        decoder.begin(BodyFraming::Chunked).unwrap();
        let (mut at, mut cuts) = (0, cuts.into_iter());
        let mut end = 0;
        while !decoder.is_finished() {
            end = cuts.next().map_or(text.len(), |cut| (end + cut).min(text.len()));
            while at < end && !decoder.is_finished() {
                let step = decoder.decode(&text[at..end]).unwrap();
                let data = &text[at..end][step.data];
                if !data.is_empty() {
                    content.extend_from_slice(data);
                    again.extend_from_slice(ChunkSize::new(data.len() as u64).as_bytes());
                    again.extend_from_slice(data);
                    again.extend_from_slice(encode::CHUNK_END);
                }
                at += step.consumed;
            }
        }
        prop_assert_eq!(at, length);
        let want: Vec<u8> = chunks.iter().flat_map(|(data, _)| data.clone()).collect();
        prop_assert_eq!(&content, &want);
        let got: Vec<_> = decoder.trailers().iter().map(|f| (f.name.to_vec(), f.value.to_vec())).collect();
        let trailers: Vec<_> = trailers.into_iter().map(|(n, v)| (n.into_bytes(), v)).collect();
        prop_assert_eq!(got, trailers);

        // What we write of it reads the same.
        encode::last_chunk(&mut again, decoder.trailers()).unwrap();
        let mut reader = BodyDecoder::new(BodyLimits::default());
        reader.begin(BodyFraming::Chunked).unwrap();
        let (mut reread, mut rest) = (Vec::new(), &again[..]);
        while !reader.is_finished() {
            let step = reader.decode(rest).unwrap();
            reread.extend_from_slice(&rest[step.data]);
            rest = &rest[step.consumed..];
        }
        prop_assert_eq!(reread, want);
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn normal_paths_stay_normal_and_below_the_root(
        path in prop_oneof![
            "(/|\\.|%2e|%2F|%41|%7e|%c3|a|B|\\\\|%){0,20}",
            vec(select(vec!["/", ".", "..", "%2E", "%2f", "a", "%5c", "%00", "//", "/.", "/../", ";", "..;", "%252e", "\\"]), 0..16).prop_map(|p| p.concat()),
        ],
        merge_slashes in select(vec![MergeSlashes::Match, MergeSlashes::Always, MergeSlashes::Never]),
        separators in select(vec![Separators::Keep, Separators::RefuseDangerous, Separators::Refuse]),
    ) {
        let path = format!("/{path}");
        let options = PathOptions { merge_slashes, separators };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        if let Ok(normal) = normalize(path.as_bytes(), options, &mut first) {
            prop_assert_eq!(normal.first(), Some(&b'/'));
            prop_assert!(!normal[1..].split(|&b| b == b'/').any(|segment| segment == b"." || segment == b".."));
            prop_assert!(merge_slashes != MergeSlashes::Always || !normal.windows(2).any(|pair| pair == b"//"));
            if merge_slashes == MergeSlashes::Match {
                prop_assert!(!normal.starts_with(b"//"));
                // A server that merges sees what rules saw, and nothing in it is still to be resolved.
                let mut storage = Vec::new();
                let seen = merged(normal, &mut storage);
                prop_assert!(!seen.windows(2).any(|pair| pair == b"//"));
                let mut again = Vec::new();
                let merging = PathOptions { merge_slashes: MergeSlashes::Always, ..options };
                prop_assert_eq!(normalize(seen, merging, &mut again).unwrap(), seen);
                let mut again = Vec::new();
                prop_assert_eq!(normalize(normal, merging, &mut again).unwrap(), seen);
                for len in 0..=seen.len() {
                    let (part, mut out) = (&normal[..unmerged_len(normal, len)], Vec::new());
                    prop_assert_eq!(merged(part, &mut out), &seen[..len]);
                }
            }
            let normal = normal.to_vec();
            let again = normalize(&normal, options, &mut second).unwrap();
            prop_assert_eq!(again, &normal[..]);
            prop_assert!(second.is_empty(), "a normal path is lent back");
            // A reader that decodes separators and cuts parameters off sees no other dot segments than we
            // did: none.
            let text = String::from_utf8(normal).unwrap();
            let decoded = text.replace("%2F", "/").replace("%5C", "/");
            let hides = decoded.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")));
            prop_assert!(separators == Separators::Keep || !hides && !text.contains("%00") && !text.contains('\\'), "{}", text);
        }
    }
}
