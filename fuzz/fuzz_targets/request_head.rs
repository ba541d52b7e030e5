//! Request heads: whole or growing they are read alike, never more generously than httparse reads them, and
//! what is written of one is read as the same again.
#![no_main]

use gateway_http::h1::encode::{self, RequestOptions};
use gateway_http::h1::{HeadEdits, HeadLimits, Parsed, PartialHead, RequestHead, Scheme};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (split, bytes) = data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest));
    let limits = HeadLimits::default();
    let mut head = RequestHead::new();
    let whole = head.parse(bytes, &limits);
    let mut growing = RequestHead::new();
    let first = growing.parse(&bytes[..split.min(bytes.len())], &limits);
    let last = if first == Ok(Parsed::Incomplete) { growing.parse(bytes, &limits) } else { first };
    let length = |parsed| match parsed {
        Ok(Parsed::Complete { consumed }) => Some(consumed),
        _ => None,
    };
    assert_eq!(length(whole), length(last), "{whole:?} {last:?}");
    let mut table = [httparse::EMPTY_HEADER; 256];
    let mut theirs = httparse::Request::new(&mut table);
    let reference = theirs.parse(bytes);
    let partial_head = PartialHead::of(bytes);
    let Some(consumed) = length(whole) else { return };
    assert_eq!(reference, Ok(httparse::Status::Complete(consumed)), "httparse is stricter");
    let request = head.view(&bytes[..consumed]);
    let cut = |part: &'_ [u8]| part.len().min(1024);
    assert_eq!(partial_head.method, &request.method_token()[..cut(request.method_token())]);
    let authority = request.authority().unwrap_or_default();
    assert_eq!(partial_head.authority, &authority[..cut(authority)]);
    let mut written = Vec::new();
    let options = RequestOptions { framing: request.framing(), ..RequestOptions::default() };
    encode::request(&mut written, &request.parts(Scheme::Http), &HeadEdits::new(), &options)
        .expect("a Vec takes everything");
    let mut again = RequestHead::new();
    let roomy = HeadLimits { first_line: usize::MAX / 2, head: usize::MAX / 2, ..limits };
    match again.parse(&written, &roomy) {
        Ok(Parsed::Complete { consumed }) => assert_eq!(consumed, written.len()),
        other => {
            // An HTTP/1.0 request may lack a host; ours then has an empty one, which nobody would accept.
            assert!(
                request.authority().is_none_or(<[u8]>::is_empty),
                "{other:?}: {}",
                written.escape_ascii()
            );
            return;
        }
    }
    let read = again.view(&written);
    assert_eq!((read.method_token(), read.path()), (request.method_token(), request.path()));
    assert_eq!((read.query(), read.host()), (request.query(), request.host()));
    assert_eq!(read.framing(), request.framing());
});
