//! Bodies: content, trailers and the end are found whatever the pieces they come in.

use gateway_http::h1::{BodyDecoder, BodyError, BodyFraming, BodyLimits, FieldError};

type Trailers = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, PartialEq, Eq, Clone)]
struct Read {
    content: Vec<u8>,
    trailers: Trailers,
    consumed: usize,
    finished: bool,
}

/// Feeds the pieces in turn; stops at the end of the body.
fn feed<'a>(
    framing: BodyFraming,
    limits: &BodyLimits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Read, BodyError> {
    let mut decoder = BodyDecoder::new(limits.clone());
    decoder.begin(framing)?;
    let mut read =
        Read { content: Vec::new(), trailers: Vec::new(), consumed: 0, finished: decoder.is_finished() };
    for mut piece in pieces {
        while !piece.is_empty() && !read.finished {
            let step = decoder.decode(piece).inspect_err(|error| {
                assert_eq!(decoder.decode(b"0\r\n\r\n"), Err(*error), "an error stays");
            })?;
            assert!(step.data.end <= step.consumed && step.consumed <= piece.len());
            assert!(step.consumed > 0, "no progress");
            read.content.extend_from_slice(&piece[step.data]);
            read.consumed += step.consumed;
            read.finished = step.finished;
            piece = &piece[step.consumed..];
        }
    }
    assert_eq!(decoder.content_read(), read.content.len() as u64);
    read.trailers = decoder.trailers().iter().map(|f| (f.name.to_vec(), f.value.to_vec())).collect();
    Ok(read)
}

/// Feeds whole, byte by byte, and split in two everywhere: all must agree.
fn agree(framing: BodyFraming, limits: &BodyLimits, text: &[u8]) -> Result<Read, BodyError> {
    let whole = feed(framing, limits, [text]);
    assert_eq!(
        feed(framing, limits, text.chunks(1)),
        whole,
        "byte by byte: {:?}",
        String::from_utf8_lossy(text)
    );
    for split in 0..=text.len() {
        let (a, b) = text.split_at(split);
        assert_eq!(
            feed(framing, limits, [a, b]),
            whole,
            "split at {split}: {:?}",
            String::from_utf8_lossy(text)
        );
    }
    whole
}

fn chunked(text: &[u8]) -> Result<Read, BodyError> {
    agree(BodyFraming::Chunked, &BodyLimits::default(), text)
}

#[test]
fn whole_chunked_bodies() {
    let rows: &[(&[u8], &[u8])] = &[
        (b"0\r\n\r\n", b""),
        (b"000\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789"),
        (b"2;a\r\n\r\n\r\n0;b=\"c;d\"\r\n\r\n", b"\r\n"),
        (b"1 ; a = b\r\nx\r\n0 \t;c\r\n\r\n", b"x"),
    ];
    for (text, content) in rows {
        let want = Read { content: content.to_vec(), trailers: vec![], consumed: text.len(), finished: true };
        assert_eq!(chunked(text), Ok(want.clone()), "{:?}", String::from_utf8_lossy(text));
        let followed = [text, &b"GET / HTTP/1.1\r\n\r\n"[..]].concat();
        assert_eq!(chunked(&followed), Ok(want));
    }
}

#[test]
fn trailers_are_kept_but_for_the_forbidden() {
    let text = b"1\r\na\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\nEmpty:\r\nHost: b\r\nTRANSFER-ENCODING: chunked\r\nx-sum:\t2 \r\n\r\n";
    let read = chunked(text).unwrap();
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    assert_eq!(read.trailers, [pair("X-Sum", "1"), pair("Empty", ""), pair("x-sum", "2")]);
    assert!(read.finished);
}

#[test]
fn broken_chunked_bodies() {
    use BodyError::*;
    let rows: &[(&[u8], BodyError)] = &[
        (b"\r\n", BadChunkSize),
        (b"g\r\n", BadChunkSize),
        (b" 5\r\nhello\r\n", BadChunkSize),
        (b"+5\r\nhello\r\n", BadChunkSize),
        (b"-5\r\nhello\r\n", BadChunkSize),
        (b"0x5\r\nhello\r\n", BadChunkSize),
        (b";a\r\n", BadChunkSize),
        (b"5\nhello\r\n0\r\n\r\n", BadChunkSize),
        (b"00000000000000005\r\nhello", BadChunkSize),
        (b"fffffffffffffffff\r\n", BadChunkSize),
        (b"1\r\na\r\nffffffffffffffff\r\n", BadChunkSize),
        (b"5 \r\nhello\r\n", BadChunkLine),
        (b"5\rhello\r\n", BadChunkLine),
        (b"5;a\nhello\r\n", BadChunkLine),
        (b"5;a\rb\r\nhello\r\n", BadChunkLine),
        (b"5;a\x00\r\nhello\r\n", BadChunkLine),
        (b"5 5\r\nhello\r\n", BadChunkLine),
        (b"5\r\nhello0\r\n\r\n", BadChunkEnd),
        (b"5\r\nhello\n0\r\n\r\n", BadChunkEnd),
        (b"5\r\nhello\r0\r\n\r\n", BadChunkEnd),
        (b"0\r\n\n", Trailer(FieldError::BareLf)),
        (b"0\r\nx: y\n\r\n", Trailer(FieldError::BareLf)),
        (b"0\r\nx : y\r\n\r\n", Trailer(FieldError::SpaceBeforeColon)),
        (b"0\r\nx: y\r\n z\r\n\r\n", Trailer(FieldError::ObsFold)),
        (b"0\r\nx: y\rz\r\n\r\n", Trailer(FieldError::BareCr)),
        (b"0\r\nx: \x01\r\n\r\n", Trailer(FieldError::BadValue)),
        (b"0\r\nxyz\r\n\r\n", Trailer(FieldError::BadName)),
    ];
    for (text, want) in rows {
        assert_eq!(chunked(text), Err(*want), "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn lengths_and_closing() {
    let limits = BodyLimits::default();
    let read = agree(BodyFraming::Length(5), &limits, b"helloGET /").unwrap();
    assert_eq!((read.content.as_slice(), read.consumed, read.finished), (&b"hello"[..], 5, true));
    let read = agree(BodyFraming::Length(5), &limits, b"hel").unwrap();
    assert_eq!((read.consumed, read.finished), (3, false));
    for framing in [BodyFraming::None, BodyFraming::Length(0)] {
        let read = agree(framing, &limits, b"GET /").unwrap();
        assert_eq!((read.consumed, read.finished), (0, true));
    }
    let read = agree(BodyFraming::UntilClose, &limits, b"anything").unwrap();
    assert_eq!((read.content.as_slice(), read.finished), (&b"anything"[..], false));
}

#[test]
fn closing_early_is_told_from_closing_in_time() {
    let closed_after = |framing, text: &[u8]| {
        let mut decoder = BodyDecoder::new(BodyLimits::default());
        decoder.begin(framing).unwrap();
        decoder.decode(text).unwrap();
        decoder.close().map(|()| decoder.is_finished())
    };
    assert_eq!(closed_after(BodyFraming::UntilClose, b"abc"), Ok(true));
    assert_eq!(closed_after(BodyFraming::Length(3), b"abc"), Ok(true));
    assert_eq!(closed_after(BodyFraming::Length(3), b"ab"), Err(BodyError::Truncated));
    assert_eq!(closed_after(BodyFraming::Chunked, b"0\r\n\r\n"), Ok(true));
    for text in [&b""[..], b"3", b"3\r\nab", b"3\r\nabc\r\n", b"0\r\n", b"0\r\n\r"] {
        assert_eq!(closed_after(BodyFraming::Chunked, text), Err(BodyError::Truncated));
    }
}

#[test]
fn content_is_bounded() {
    let limits = BodyLimits { content: 4, ..BodyLimits::default() };
    assert!(agree(BodyFraming::Length(4), &limits, b"abcd").is_ok());
    assert_eq!(agree(BodyFraming::Length(5), &limits, b""), Err(BodyError::TooLong));
    assert!(agree(BodyFraming::Chunked, &limits, b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n").is_ok());
    assert_eq!(
        agree(BodyFraming::Chunked, &limits, b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
        Err(BodyError::TooLong)
    );
    assert_eq!(agree(BodyFraming::UntilClose, &limits, b"abcde"), Err(BodyError::TooLong));
}

#[test]
fn extensions_are_bounded_by_line_and_by_body() {
    let limits = BodyLimits { chunk_line: 10, chunk_extensions: 20, ..BodyLimits::default() };
    let run = |text: &str| agree(BodyFraming::Chunked, &limits, text.as_bytes()).map(|read| read.finished);
    assert_eq!(run("1;23456789\r\na\r\n0\r\n\r\n"), Ok(true));
    assert_eq!(run("1;234567890\r\na\r\n0\r\n\r\n"), Err(BodyError::ChunkExtensionsTooLong));
    assert_eq!(run(&format!("{}0\r\n\r\n", "1;23456789\r\na\r\n".repeat(2))), Ok(true));
    assert_eq!(
        run(&format!("{}0\r\n\r\n", "1;23456789\r\na\r\n".repeat(3))),
        Err(BodyError::ChunkExtensionsTooLong)
    );
    // A sixteenth of the content is allowed on top, so that signed uploads of any length pass.
    let chunk = format!("100;234567\r\n{}\r\n", "a".repeat(256));
    assert_eq!(run(&format!("{}0\r\n\r\n", chunk.repeat(6))), Ok(true));
}

#[test]
fn trailers_are_bounded() {
    let limits = BodyLimits { trailers: 20, trailer_fields: 2, ..BodyLimits::default() };
    let run =
        |text: &str| agree(BodyFraming::Chunked, &limits, text.as_bytes()).map(|read| read.trailers.len());
    assert_eq!(run("0\r\na: 1\r\nb: 2\r\n\r\n"), Ok(2));
    assert_eq!(run("0\r\na:1\r\nb:2\r\nc:3\r\n\r\n"), Err(BodyError::TrailersTooLarge));
    assert_eq!(run("0\r\na: 1234567890123456789\r\n\r\n"), Err(BodyError::TrailersTooLarge));
}

#[test]
fn a_decoder_reads_one_body_after_another() {
    let mut decoder = BodyDecoder::new(BodyLimits::default());
    decoder.begin(BodyFraming::Chunked).unwrap();
    assert!(decoder.decode(b"0\r\na: b\r\n\r\n").unwrap().finished);
    assert_eq!(decoder.trailers().len(), 1);
    decoder.begin(BodyFraming::Length(2)).unwrap();
    assert_eq!(decoder.trailers().len(), 0);
    assert!(decoder.decode(b"abc").unwrap().finished);
    decoder.begin(BodyFraming::Chunked).unwrap();
    assert!(decoder.decode(b"zz").is_err());
    decoder.begin(BodyFraming::Chunked).unwrap();
    assert!(decoder.decode(b"1\r\na\r\n0\r\n\r\n").is_ok());
}
