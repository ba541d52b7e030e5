//! Heads: how long they are, and what the relay has to know of them.

use std::io;
use std::ops::Range;

use httparse::{EMPTY_HEADER, Header, Request, Response, Status};

/// Fields of a head that are looked at.
const MAX_FIELDS: usize = 64;

/// A request head at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// Its length with the empty line.
    pub(crate) length: usize,
    /// Where its path is.
    pub(crate) path: Range<usize>,
    /// True if the client wants the connection closed after the response.
    pub(crate) close: bool,
}

/// A response's head at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// Its length with the empty line.
    pub(crate) length: usize,
    /// Bytes of its body.
    pub(crate) body: usize,
    /// True if the backend closes the connection after it.
    pub(crate) close: bool,
}

/// The request head in `bytes`, if it is whole.
pub(crate) fn request_head(bytes: &[u8]) -> io::Result<Option<RequestHead>> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut request = Request::new(&mut fields);
    let Status::Complete(length) = request.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let (Some(method), Some(path)) = (request.method, request.path) else { return Ok(None) };
    let start = method.len() + 1;
    Ok(Some(RequestHead { length, path: start..start + path.len(), close: closes(request.headers) }))
}

/// The response's head in `bytes`, if it is whole.
pub(crate) fn response_head(bytes: &[u8]) -> io::Result<Option<ResponseHead>> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut response = Response::new(&mut fields);
    let Status::Complete(length) = response.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let body = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok())
        .ok_or_else(|| io::Error::other("a response without Content-Length"))?;
    Ok(Some(ResponseHead { length, body, close: closes(response.headers) }))
}

/// Hands over the status and the fields of the response's head in `bytes`, which is whole.
pub(crate) fn with_response(
    bytes: &[u8],
    take: impl FnOnce(u16, &mut dyn Iterator<Item = (&str, &[u8])>) -> io::Result<()>,
) -> io::Result<()> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut response = Response::new(&mut fields);
    let _ = response.parse(bytes).map_err(io::Error::other)?;
    let status = response.code.unwrap_or_default();
    take(status, &mut response.headers.iter().map(|field| (field.name, field.value)))
}

fn closes(fields: &[Header<'_>]) -> bool {
    fields.iter().any(|field| {
        field.name.eq_ignore_ascii_case("connection") && field.value.eq_ignore_ascii_case(b"close")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_measured() {
        let bytes = b"GET /app/100 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET";
        let head = request_head(bytes).unwrap().unwrap();
        assert_eq!((&bytes[head.path.clone()], head.length, head.close), (&b"/app/100"[..], 53, true));
        assert_eq!(request_head(&bytes[..20]).unwrap(), None);
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx";
        assert_eq!(response_head(bytes).unwrap(), Some(ResponseHead { length: 40, body: 100, close: false }));
        assert!(response_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "its end could not be told");
    }
}
