//! Chunked bodies: whatever the pieces they come in, content and end are the same.
#![no_main]

use gateway_http::h1::{BodyDecoder, BodyFraming, BodyLimits};
use libfuzzer_sys::fuzz_target;

/// Content and length if the body is whole.
fn decode(bytes: &[u8], piece: usize) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let mut decoder = BodyDecoder::new(BodyLimits::default());
    decoder.begin(BodyFraming::Chunked).expect("chunked has no length to refuse");
    let (mut content, mut at, mut end) = (Vec::new(), 0, 0);
    while !decoder.is_finished() {
        if at == end {
            if end == bytes.len() {
                return Ok(None);
            }
            end = (end + piece).min(bytes.len());
        }
        let step = decoder.decode(&bytes[at..end]).map_err(|_| ())?;
        assert!(step.consumed > 0 && step.data.end <= step.consumed && at + step.consumed <= end);
        content.extend_from_slice(&bytes[at..end][step.data]);
        at += step.consumed;
    }
    Ok(Some((content, at)))
}

fuzz_target!(|data: &[u8]| {
    let whole = decode(data, data.len().max(1));
    for piece in [1, 2, 7] {
        assert_eq!(whole, decode(data, piece), "in pieces of {piece}");
    }
});
