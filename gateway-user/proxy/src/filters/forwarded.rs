//! `X-Forwarded-*` and `X-Request-Id`: what the backend is told about the client.
//!
//! A stranger's claims are replaced, every `X-Forwarded-*` and `Forwarded` field of theirs; a trusted proxy's are kept,
//! and `X-Forwarded-For` is continued.

use std::io::Cursor;
use std::net::IpAddr;

use gateway_grammar::token::eq_ignore_case;
use gateway_http::head::{EditError, HeadEdits, OwnName, RequestParts};

use crate::observe::text;

const FOR: OwnName = OwnName::new("x-forwarded-for");
const PROTO: OwnName = OwnName::new("x-forwarded-proto");
const HOST: OwnName = OwnName::new("x-forwarded-host");
const PORT: OwnName = OwnName::new("x-forwarded-port");
/// The client's certificate, as the backend is told of it. As received it is never forwarded (`FieldId::is_never_forwarded`), also
/// not from a trusted proxy: few of those remove what their own clients say.
pub(crate) const CLIENT_CERT: OwnName = OwnName::new("x-forwarded-client-cert");
const REQUEST_ID: OwnName = OwnName::new("x-request-id");
/// Longest text of an IP address.
const MAX_ADDRESS: usize = 45;
/// Most lines of `X-Forwarded-For` that are joined into one; further proxies join them sooner.
const MAX_LINES: usize = 8;

/// How a request arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) peer: IpAddr,
    /// The peer is a trusted proxy.
    pub(crate) trusted: bool,
    /// The port of the listener.
    pub(crate) port: u16,
    pub(crate) request_id: &'a [u8],
}

/// Sets the fields. Filters run later, so a rule may still change them.
pub(crate) fn set_forwarded(
    request: &RequestParts<'_>,
    arrival: &Arrival<'_>,
    edits: &mut HeadEdits,
) -> Result<(), EditError> {
    let mut peer = Cursor::new([0; MAX_ADDRESS]);
    // Fits: the buffer is as long as the longest address.
    let _ = text::ip(&mut peer, arrival.peer);
    if arrival.trusted {
        continue_chain(request, written(&peer), edits)?;
    } else {
        drop_claims(request, edits)?;
        edits.set_own(FOR, written(&peer))?;
    }
    let mut port = itoa::Buffer::new();
    let own = [
        (PROTO, request.scheme.as_str().as_bytes()),
        (HOST, request.authority.unwrap_or_default()),
        (PORT, port.format(arrival.port).as_bytes()),
    ];
    for (name, value) in own {
        let kept = arrival.trusted && request.fields.get(name.as_bytes()).is_some();
        if !kept && !value.is_empty() {
            edits.set_own(name, value)?;
        }
    }
    edits.set_own(REQUEST_ID, arrival.request_id)
}

/// Appends the peer to what it says, as one line: some recipients read the first line only.
fn continue_chain(request: &RequestParts<'_>, peer: &[u8], edits: &mut HeadEdits) -> Result<(), EditError> {
    let mut parts: [&[u8]; 2 * MAX_LINES + 1] = [b""; 2 * MAX_LINES + 1];
    let mut used = 0;
    for line in request.fields.get_all(b"x-forwarded-for").filter(|line| !line.is_empty()) {
        match parts.get_mut(used..used + 2) {
            Some([value, comma]) if used + 2 < 2 * MAX_LINES + 1 => (*value, *comma) = (line, b", "),
            _ => return edits.add(b"x-forwarded-for", peer),
        }
        used += 2;
    }
    if let Some(last) = parts.get_mut(used) {
        *last = peer;
    }
    edits.set_parts(b"x-forwarded-for", parts.get(..=used).unwrap_or_default())
}

/// Removes what only a proxy may say.
fn drop_claims(request: &RequestParts<'_>, edits: &mut HeadEdits) -> Result<(), EditError> {
    for field in request.fields {
        let prefixed = field.name.get(..12).is_some_and(|start| eq_ignore_case(start, b"x-forwarded-"));
        if prefixed || (field.name.len() == 9 && eq_ignore_case(field.name, b"forwarded")) {
            edits.remove(field.name)?;
        }
    }
    Ok(())
}

/// The text that was written to the front of a buffer on the stack.
fn written(buffer: &Cursor<[u8; MAX_ADDRESS]>) -> &[u8] {
    let len = usize::try_from(buffer.position()).unwrap_or(MAX_ADDRESS);
    buffer.get_ref().get(..len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use gateway_grammar::Scheme;
    use gateway_http::h1::encode::{self, RequestOptions};
    use gateway_http::h1::{HeadLimits, RequestHead};

    use super::*;

    fn forwarded(trusted: bool, fields: &str) -> Vec<String> {
        arrived(Scheme::Http, trusted, fields)
    }

    fn arrived(scheme: Scheme, trusted: bool, fields: &str) -> Vec<String> {
        let wire = format!("GET / HTTP/1.1\r\nHost: a.example:81\r\n{fields}\r\n");
        let mut head = RequestHead::new();
        head.parse(wire.as_bytes(), &HeadLimits::default()).unwrap();
        let request = head.view(wire.as_bytes()).parts(scheme);
        let arrival = Arrival { peer: [192, 0, 2, 1].into(), trusted, port: 80, request_id: b"id" };
        let mut edits = HeadEdits::new();
        set_forwarded(&request, &arrival, &mut edits).unwrap();
        let mut out = Vec::new();
        encode::request(&mut out, &request, &edits, &RequestOptions::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut lines: Vec<_> =
            text.lines().skip(2).filter(|l| !l.is_empty()).map(str::to_lowercase).collect();
        lines.sort();
        lines
    }

    const FRESH: [&str; 5] = [
        "x-forwarded-for: 192.0.2.1",
        "x-forwarded-host: a.example:81",
        "x-forwarded-port: 80",
        "x-forwarded-proto: http",
        "x-request-id: id",
    ];

    #[test]
    fn strangers_are_not_believed() {
        let lies = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\nX-Forwarded-Proto: https\r\n\
                    X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Client-Cert: x\r\n\
                    Forwarded: for=6.6.6.6\r\nX-Request-Id: mine\r\n";
        assert_eq!(forwarded(false, lies), FRESH);
        assert_eq!(forwarded(false, ""), FRESH);
        assert_eq!(forwarded(true, ""), FRESH);
        let secured = arrived(Scheme::Https, false, "X-Forwarded-Proto: http\r\n");
        assert!(secured.contains(&"x-forwarded-proto: https".to_owned()), "{secured:?}");
    }

    #[test]
    fn nobody_speaks_of_a_certificate_but_the_gateway() {
        for trusted in [false, true] {
            for name in ["X-Forwarded-Client-Cert", "x_forwarded_client_cert", "X-FORWARDED_CLIENT-CERT"] {
                assert_eq!(
                    forwarded(trusted, &format!("{name}: Hash=1\r\n{name}: By=x\r\n")),
                    FRESH,
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn a_trusted_chain_is_continued_in_one_line() {
        let chain =
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7, 8.8.8.8\r\nX-Forwarded-Proto: https\r\n";
        let lines = forwarded(true, chain);
        assert!(
            lines.contains(&"x-forwarded-for: 6.6.6.6, 7.7.7.7, 8.8.8.8, 192.0.2.1".to_owned()),
            "{lines:?}"
        );
        assert!(lines.contains(&"x-forwarded-proto: https".to_owned()), "{lines:?}");
        let long = "X-Forwarded-For: 6.6.6.6\r\n".repeat(20);
        let lines = forwarded(true, &long);
        assert_eq!(lines.iter().filter(|l| l.starts_with("x-forwarded-for")).count(), 21);
    }
}
