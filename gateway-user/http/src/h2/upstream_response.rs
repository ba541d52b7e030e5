//! A response's head from a backend over HTTP/2, as the text of HTTP/1.1.

use gateway_grammar::Method;
use gateway_grammar::token::is_ows;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, SEC_WEBSOCKET_ACCEPT};
use http::{Response, StatusCode};

use super::request::OF_CONNECTION;
use crate::h1::{FieldError, ResponseError};
use crate::websocket::Accept;

/// Appends a response's head to `out`, as HTTP/1.1, for [`crate::h1::ResponseHead::parse`]: `to` is the request's method,
/// `ends` tells that the head ends the stream. A body of a length that is not told becomes a chunked one, and one
/// that is not there has length 0.
///
/// # Errors
/// `Field`: a name belongs to the connection, or a value has blanks around it (RFC 9113 sections 8.2.1, 8.2.2).
/// `BadContentLength`: a body was announced and the stream is at its end (section 8.1.1). Everything else is the
/// parser's to find.
pub fn write_response<T>(
    out: &mut Vec<u8>,
    head: &Response<T>,
    to: Method,
    ends: bool,
) -> Result<(), ResponseError> {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status().as_str().as_bytes());
    out.extend_from_slice(b" \r\n");
    put_fields(out, head.headers(), &[])?;
    put_framing(out, head.headers(), has_body(head.status(), to), ends)?;
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// The same of a success that an extended CONNECT had (RFC 8441 section 5), as the switch of HTTP/1.1 that says so, with the
/// accept value that fits the client's key. A length says nothing there (RFC 9110 section 9.3.6).
///
/// # Errors
/// `Field`, as above.
pub fn write_switch<T>(
    out: &mut Vec<u8>,
    head: &Response<T>,
    protocol: &str,
    accept: Option<&Accept>,
) -> Result<(), ResponseError> {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    put_fields(out, head.headers(), &[CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT])?;
    let mut put = |part: &[u8]| out.extend_from_slice(part);
    [b"connection: upgrade\r\nupgrade: ", protocol.as_bytes(), b"\r\n"].into_iter().for_each(&mut put);
    if let Some(accept) = accept {
        [b"sec-websocket-accept: ", accept.as_bytes(), b"\r\n"].into_iter().for_each(&mut put);
    }
    put(b"\r\n");
    Ok(())
}

/// Every field but those that are left out.
fn put_fields(out: &mut Vec<u8>, fields: &HeaderMap, without: &[HeaderName]) -> Result<(), ResponseError> {
    for (name, value) in fields.iter().filter(|(name, _)| !without.contains(name)) {
        let (name, value) = (name.as_str(), value.as_bytes());
        if OF_CONNECTION.contains(&name) {
            return Err(FieldError::BadName.into());
        }
        if value.first().is_some_and(|&b| is_ows(b)) || value.last().is_some_and(|&b| is_ows(b)) {
            return Err(FieldError::BadValue.into());
        }
        [name.as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
    }
    Ok(())
}

/// False where no body can follow, whatever the fields say (RFC 9112 section 6.3).
fn has_body(status: StatusCode, to: Method) -> bool {
    to != Method::Head
        && !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn put_framing(
    out: &mut Vec<u8>,
    fields: &HeaderMap,
    has_body: bool,
    ends: bool,
) -> Result<(), ResponseError> {
    if !has_body {
        return Ok(());
    }
    match fields.get(CONTENT_LENGTH) {
        Some(length) if ends && length.as_bytes().iter().any(|&b| b != b'0') => {
            return Err(ResponseError::BadContentLength);
        }
        Some(_) => {}
        None if ends => out.extend_from_slice(b"content-length: 0\r\n"),
        None => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{HeadLimits, ResponseHead};
    use crate::head::BodyLength;

    fn length(
        status: u16,
        fields: &[(&str, &str)],
        to: Method,
        ends: bool,
    ) -> Result<BodyLength, ResponseError> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let mut out = Vec::new();
        write_response(&mut out, &response.body(()).unwrap(), to, ends)?;
        let mut head = ResponseHead::new();
        head.parse(&out, &HeadLimits::default(), to)?;
        let parts = head.view(&out).parts();
        assert_eq!(parts.status, status);
        Ok(parts.length)
    }

    #[test]
    fn a_success_becomes_the_switch_that_was_asked_for() {
        let response = Response::builder()
            .header("sec-websocket-protocol", "chat")
            .header("content-length", "3")
            .header("sec-websocket-accept", "wrong");
        let accept = Accept::of_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        let mut out = Vec::new();
        write_switch(&mut out, &response.body(()).unwrap(), "websocket", Some(&accept)).unwrap();
        let text = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: chat\r\nconnection: upgrade\r\n\
                    upgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
        let mut head = ResponseHead::new();
        head.parse(text.as_bytes(), &HeadLimits::default(), Method::Get).unwrap();
        assert!(head.view(text.as_bytes()).parts().is_upgrade());
        let hop = Response::builder().header("connection", "x").body(()).unwrap();
        assert_eq!(write_switch(&mut Vec::new(), &hop, "websocket", None), Err(FieldError::BadName.into()));
    }

    #[test]
    fn the_end_of_the_stream_and_a_length_say_how_much_follows() {
        let five = [("content-length", "5")];
        assert_eq!(length(200, &[], Method::Get, false), Ok(BodyLength::Unknown));
        assert_eq!(length(200, &[], Method::Get, true), Ok(BodyLength::Known(0)));
        assert_eq!(length(200, &five, Method::Get, false), Ok(BodyLength::Known(5)));
        assert_eq!(length(200, &five, Method::Head, true), Ok(BodyLength::None(Some(5))));
        assert_eq!(length(304, &five, Method::Get, true), Ok(BodyLength::None(Some(5))));
        assert_eq!(length(204, &[], Method::Get, true), Ok(BodyLength::None(None)));
        assert_eq!(length(103, &[("link", "</a>")], Method::Get, false), Ok(BodyLength::None(None)));
        assert_eq!(length(200, &five, Method::Get, true), Err(ResponseError::BadContentLength));
    }

    #[test]
    fn fields_of_the_connection_and_blanks_around_a_value_are_refused() {
        let of = |name, value| length(200, &[(name, value)], Method::Get, true);
        assert_eq!(of("connection", "close"), Err(FieldError::BadName.into()));
        assert_eq!(of("transfer-encoding", "chunked"), Err(FieldError::BadName.into()));
        assert_eq!(of("x-a", " b"), Err(FieldError::BadValue.into()));
    }
}
