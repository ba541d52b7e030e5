//! From received to forwarded bytes, with the calls that the proxy makes and no socket.

use gateway_http::h1::encode::{self, ChunkSize, RequestOptions};
use gateway_http::h1::path::{PathOptions, normalize};
use gateway_http::h1::{
    BodyDecoder, BodyFraming, BodyLimits, HeadEdits, HeadLimits, Parsed, RequestHead, Scheme,
};

/// A request as it was understood, and the bytes that are forwarded for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub host: Vec<u8>,
    pub body: Vec<u8>,
    pub bytes: Vec<u8>,
}

/// Every request of a connection that is whole and accepted, up to the first that is not.
#[must_use]
pub fn forward(mut received: &[u8]) -> Vec<Forwarded> {
    let mut all = Vec::new();
    while let Some((request, used)) = first(received) {
        all.push(request);
        received = &received[used..];
    }
    all
}

fn first(received: &[u8]) -> Option<(Forwarded, usize)> {
    let mut head = RequestHead::new();
    let Ok(Parsed::Complete { consumed }) = head.parse(received, &HeadLimits::default()) else { return None };
    // As for a host whose routes name no field with an underscore.
    head.retain_fields(&received[..consumed], |field| !field.name.contains(&b'_'));
    let request = head.view(&received[..consumed]);
    let (mut bytes, mut storage, mut edits) = (Vec::new(), Vec::new(), HeadEdits::new());
    let path = normalize(request.path(), PathOptions::default(), &mut storage).ok()?;
    if path != request.path() {
        edits.set_path(path).expect("a normal path can be sent");
    }
    if request.announces_trailers() {
        edits.remove(b"trailer").expect("it frames nothing");
    }
    let options = RequestOptions { framing: request.framing(), ..RequestOptions::default() };
    encode::request(&mut bytes, &request.parts(Scheme::Http), &edits, &options)
        .expect("a Vec takes everything");
    let mut decoder = BodyDecoder::new(BodyLimits::default());
    decoder.begin(request.framing()).ok()?;
    let (mut body, mut at) = (Vec::new(), consumed);
    let chunked = request.framing() == BodyFraming::Chunked;
    while !decoder.is_finished() {
        let rest = &received[at..];
        let step = decoder.decode(rest).ok().filter(|step| step.consumed > 0)?;
        let data = &rest[step.data];
        body.extend_from_slice(data);
        if chunked && !data.is_empty() {
            bytes.extend_from_slice(ChunkSize::new(data.len() as u64).as_bytes());
            bytes.extend_from_slice(data);
            bytes.extend_from_slice(encode::CHUNK_END);
        } else {
            bytes.extend_from_slice(data);
        }
        at += step.consumed;
    }
    if chunked {
        decoder.retain_trailers(|_| false);
        encode::last_chunk(&mut bytes, decoder.trailers()).expect("a Vec takes everything");
    }
    let mut target = path.to_vec();
    if let Some(query) = request.query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let forwarded = Forwarded {
        method: request.method_token().to_vec(),
        target,
        host: request.authority().unwrap_or_default().to_vec(),
        body,
        bytes,
    };
    Some((forwarded, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_requests_go_on_as_two() {
        let all = forward(b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\ny\r\n0\r\n\r\nGET http://b/?q HTTP/1.0\r\n\r\nGET");
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].body.as_slice(), all[1].target.as_slice()), (&b"y"[..], &b"/?q"[..]));
        assert_eq!(all[1].bytes, b"GET /?q HTTP/1.1\r\nHost: b\r\n\r\n");
    }

    #[test]
    fn what_a_backend_could_misread_does_not_go_on() {
        let all = forward(b"POST /a/../b HTTP/1.1\r\nHost: a\r\nX_A: 1\r\nTrailer: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: 1\r\n\r\n");
        let want = b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(all.iter().map(|one| one.bytes.as_slice()).collect::<Vec<_>>(), [want]);
        assert_eq!(forward(b"GET /..;/a HTTP/1.1\r\nHost: a\r\n\r\n"), []);
    }
}
