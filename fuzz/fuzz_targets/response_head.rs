//! Response heads: whole or growing they are read alike, and what is written of one is read as
//! the same again.
#![no_main]

use gateway_http::h1::encode::{self, ResponseOptions};
use gateway_http::h1::{HeadEdits, HeadLimits, Method, Parsed, ResponseHead};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (split, bytes) = data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest));
    let limits = HeadLimits::default();
    let method = if split % 2 == 0 { Method::Get } else { Method::Head };
    let mut head = ResponseHead::new();
    let whole = head.parse(bytes, &limits, method);
    let mut growing = ResponseHead::new();
    let first = growing.parse(&bytes[..split.min(bytes.len())], &limits, method);
    let last = if first == Ok(Parsed::Incomplete) { growing.parse(bytes, &limits, method) } else { first };
    let length = |parsed| match parsed {
        Ok(Parsed::Complete { consumed }) => Some(consumed),
        _ => None,
    };
    assert_eq!(length(whole), length(last), "{whole:?} {last:?}");
    if let Some(consumed) = length(whole) {
        let view = head.view(&bytes[..consumed]);
        let mut written = Vec::new();
        let options = ResponseOptions::default();
        encode::response(&mut written, &view.parts(), &HeadEdits::new(), &options)
            .expect("a Vec takes everything");
        let mut again = ResponseHead::new();
        let roomy = HeadLimits { first_line: usize::MAX / 2, head: usize::MAX / 2, ..limits };
        assert_eq!(
            again.parse(&written, &roomy, Method::Head),
            Ok(Parsed::Complete { consumed: written.len() }),
            "{}",
            written.escape_ascii()
        );
        assert_eq!(again.view(&written).status(), view.status());
    }
});
