//! Trailers of requests: dropped they are gone, and kept ones name nothing that a proxy or a filter writes,
//! to us and to hyper.
#![no_main]

use gateway_grammar::names::{is_alias, is_proxy_field};
use gateway_http::h1::encode::last_chunk;
use gateway_http::h1::{BodyDecoder, BodyFraming, BodyLimits, is_forbidden_trailer};
use gateway_snapshot::{FieldEdit, Filters};
use libfuzzer_sys::fuzz_target;
use sluice_fuzz::readers::hyper;

const WRITTEN: &[&str] = &["x-auth-user", "x_added", "x-debug"];

fn filters() -> Filters {
    let mut filters = Filters::default();
    let edit = |name: &&str| FieldEdit::Set { name: (*name).into(), value: Default::default() };
    filters.request.extend(WRITTEN.iter().map(edit));
    filters
}

/// A body that ends in these trailers, as it is forwarded; `None` if it is not whole or not valid.
fn forwarded(trailers: &[u8], keep: bool) -> Option<Vec<u8>> {
    let received = [b"1\r\nx\r\n0\r\n", trailers].concat();
    let mut decoder = BodyDecoder::new(BodyLimits::default());
    decoder.begin(BodyFraming::Chunked).expect("chunked has no length to refuse");
    let mut at = 0;
    while !decoder.is_finished() {
        at += decoder.decode(&received[at..]).ok().filter(|step| step.consumed > 0)?.consumed;
    }
    let filters = filters();
    decoder
        .retain_trailers(|trailer| keep && !is_proxy_field(trailer.name) && !filters.concern(trailer.name));
    let mut bytes = b"1\r\nx\r\n".to_vec();
    last_chunk(&mut bytes, decoder.trailers()).expect("a Vec takes everything");
    Some(bytes)
}

fuzz_target!(|data: &[u8]| {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let Some(dropped) = forwarded(data, false) else { return };
    assert_eq!(dropped, b"1\r\nx\r\n0\r\n\r\n");
    let kept = forwarded(data, true).expect("it was whole before");
    let again = forwarded(&kept[b"1\r\nx\r\n0\r\n".len()..], true);
    assert_eq!(again.as_deref(), Some(kept.as_slice()), "what went on goes on again as it is");
    for read in hyper(&[head, kept.as_slice()].concat()) {
        assert_eq!(read.body, b"x");
        for name in &read.trailers {
            let written = WRITTEN.iter().any(|written| is_alias(name, written.as_bytes()));
            assert!(
                !written && !is_proxy_field(name) && !is_forbidden_trailer(name),
                "{}",
                name.escape_ascii()
            );
        }
    }
});
