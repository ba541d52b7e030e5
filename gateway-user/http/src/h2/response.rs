//! A response's head, from any protocol's to HTTP/2's.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::head::{BodyLength, Fields, HeadEdits, ResponseParts};

/// A backend's response for the client, changed by `edits`: fields of its connection stay behind, its length is told
/// where it is known, its reason phrase is not (RFC 9113 section 8.3.2).
///
/// `None` if it cannot be said in HTTP/2: the status is out of range, or there are tens of thousands of fields.
pub fn response(head: &ResponseParts<'_>, edits: &HeadEdits) -> Option<Response<()>> {
    let mut fields = HeaderMap::with_capacity(head.fields.len() + 2);
    copy_fields(&mut fields, head.fields, edits)?;
    if let (BodyLength::Known(length) | BodyLength::None(Some(length)), false) =
        (head.length, head.is_interim())
    {
        fields.try_insert(CONTENT_LENGTH, HeaderValue::from(length)).ok()?;
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).ok()?;
    *response.headers_mut() = fields;
    Some(response)
}

/// Appends every field that is neither of the connection, nor ours to write, nor dropped by an edit, then those that edits
/// add.
pub(super) fn copy_fields(to: &mut HeaderMap, from: Fields<'_>, edits: &HeadEdits) -> Option<()> {
    for slot in from.slots() {
        let field = slot.field(from.bytes());
        if !slot.hop && (edits.drops_nothing() || !edits.drops(field.name)) {
            append(to, field.name, field.value)?;
        }
    }
    for (name, value) in edits.added() {
        append(to, name, value)?;
    }
    Some(())
}

fn append(fields: &mut HeaderMap, name: &[u8], value: &[u8]) -> Option<()> {
    let name = HeaderName::from_bytes(name).ok()?;
    let value = HeaderValue::from_bytes(value).ok()?;
    fields.try_append(name, value).ok().map(|_| ())
}

#[cfg(test)]
mod tests {
    use gateway_grammar::Method;

    use super::*;
    use crate::h1::{HeadLimits, ResponseHead};

    fn converted(wire: &[u8], to: Method, edit: impl FnOnce(&mut HeadEdits)) -> (u16, Vec<String>) {
        let mut head = ResponseHead::new();
        head.parse(wire, &HeadLimits::default(), to).unwrap();
        let mut edits = HeadEdits::new();
        edit(&mut edits);
        let response = response(&head.view(wire).parts(), &edits).unwrap();
        let mut lines: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        (response.status().as_u16(), lines)
    }

    #[test]
    fn fields_are_kept_but_for_those_of_the_connection() {
        let wire = b"HTTP/1.1 200 Fine\r\nServer: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nConnection: close, X-Hop\r\n\
                     X-Hop: 1\r\nKeep-Alive: 5\r\nContent-Length: 3\r\n\r\n";
        let (status, lines) = converted(wire, Method::Get, |_| {});
        assert_eq!(status, 200);
        assert_eq!(lines, ["content-length: 3", "server: x", "set-cookie: a", "set-cookie: b"]);
    }

    #[test]
    fn edits_are_made() {
        let wire = b"HTTP/1.1 404 No\r\nServer: x\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (status, lines) = converted(wire, Method::Get, |edits| {
            edits.remove(b"server").unwrap();
            edits.set(b"X-A", b"2").unwrap();
            edits.add(b"x-b", b"3").unwrap();
        });
        assert_eq!((status, lines), (404, vec!["x-a: 2".to_owned(), "x-b: 3".to_owned()]));
    }

    #[test]
    fn a_response_without_a_body_may_tell_the_length_it_would_have() {
        let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(converted(wire, Method::Head, |_| {}).1, ["content-length: 12"]);
        assert!(converted(b"HTTP/1.1 304 \r\n\r\n", Method::Get, |_| {}).1.is_empty());
        assert!(converted(b"HTTP/1.1 103 Hints\r\n\r\n", Method::Get, |_| {}).1.is_empty());
    }
}
