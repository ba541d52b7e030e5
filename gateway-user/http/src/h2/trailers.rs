//! Trailers between HTTP/2 and the text of HTTP/1.1.

use gateway_grammar::token::is_ows;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::h1::{BodyError, FieldError};
use crate::head::Fields;

/// Appends trailers as the end of a chunked body, for [`crate::h1::BodyDecoder::decode`], whose limits and rules they
/// meet there.
///
/// # Errors
/// A value has blanks around it (RFC 9113 section 8.2.1).
pub fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) -> Result<(), BodyError> {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        let value = value.as_bytes();
        if value.first().is_some_and(|&b| is_ows(b)) || value.last().is_some_and(|&b| is_ows(b)) {
            return Err(BodyError::Trailer(FieldError::BadValue));
        }
        [name.as_str().as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Trailers for a message over HTTP/2; one that it cannot say is left out.
pub fn read_trailers(trailers: Fields<'_>) -> HeaderMap {
    let named = trailers.iter().filter_map(|field| {
        Some((HeaderName::from_bytes(field.name).ok()?, HeaderValue::from_bytes(field.value).ok()?))
    });
    let mut fields = HeaderMap::new();
    for (name, value) in named {
        // Fails beyond tens of thousands of names; a trailer section is bounded far below.
        let _ = fields.try_append(name, value);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{BodyDecoder, BodyFraming, BodyLimits};

    #[test]
    fn trailers_come_back_as_they_were_but_for_forbidden_ones() {
        let mut sent = HeaderMap::new();
        for (name, value) in [("grpc-status", "0"), ("x-a", "1"), ("x-a", "2"), ("content-length", "5")] {
            sent.append(name, HeaderValue::from_static(value));
        }
        let mut text = Vec::new();
        write_trailers(&mut text, &sent).unwrap();
        let mut decoder = BodyDecoder::new(BodyLimits::default());
        decoder.begin(BodyFraming::Chunked).unwrap();
        let step = decoder.decode(&text).unwrap();
        assert_eq!((step.consumed, decoder.is_finished()), (text.len(), true));
        let got = read_trailers(decoder.trailers());
        sent.remove("content-length");
        assert_eq!(got, sent);
    }

    #[test]
    fn blanks_around_a_value_are_refused() {
        let mut sent = HeaderMap::new();
        sent.append("x-a", HeaderValue::from_static("1 "));
        let refused = write_trailers(&mut Vec::new(), &sent);
        assert_eq!(refused, Err(BodyError::Trailer(FieldError::BadValue)));
    }
}
