//! The length of a response that is not looked at further.

use std::io;

/// Fields of a head that are read at the most.
const MAX_FIELDS: usize = 64;

/// Status and length in bytes, head and body, of the response at the start of `bytes`; `None` until its
/// head has come.
///
/// # Errors
/// No HTTP/1 response, or one without a Content-Length.
pub(crate) fn response_length(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(|e| invalid(e.to_string()))? else {
        return Ok(None);
    };
    let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let value = field.and_then(|field| std::str::from_utf8(field.value).ok());
    let body: usize = value
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| invalid("a response that does not say its length".to_owned()))?;
    Ok(Some((response.code.unwrap_or_default(), head + body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_of_any_status_ends_with_its_length() {
        let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\n";
        assert_eq!(response_length(b"HTTP/1.1 200").unwrap(), None);
        assert_eq!(response_length(head.as_bytes()).unwrap(), Some((503, head.len() + 4)));
        assert!(response_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
