//! The four forms of a request target (RFC 9112 section 3.2).

use gateway_grammar::{Authority, Method};

/// A request target, split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// `/path?query`
    Origin { path: &'a [u8], query: Option<&'a [u8]> },
    /// `http://host[:port]/path?query`; the path may be empty.
    Absolute { authority: &'a [u8], path: &'a [u8], query: Option<&'a [u8]> },
    /// `*`
    Asterisk,
    /// `host:port`, for `CONNECT`.
    Authority,
}

impl<'a> Target<'a> {
    /// Splits a target of visible bytes; `None` if it has no form that its method allows, or holds a fragment
    /// or a byte outside ASCII.
    pub(crate) fn parse(method: Method, target: &'a [u8]) -> Option<Self> {
        if target.iter().any(|&b| b == b'#' || !b.is_ascii()) {
            return None;
        }
        match (method, target) {
            (Method::Connect, _) => {
                Authority::parse(target).filter(|authority| authority.port.is_some()).map(|_| Self::Authority)
            }
            (_, [b'/', ..]) => {
                let (path, query) = split_query(target);
                Some(Self::Origin { path, query })
            }
            (Method::Options, b"*") => Some(Self::Asterisk),
            _ => Self::absolute(target),
        }
    }

    /// The scheme is http or https; which of the two the request came by is known from the connection, not
    /// from here.
    fn absolute(target: &'a [u8]) -> Option<Self> {
        let rest = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
            let (head, rest) = target.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme).then_some(rest)
        })?;
        let end = rest.iter().position(|&b| b == b'/' || b == b'?').unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        Authority::parse(authority)?;
        let (path, query) = split_query(rest);
        Some(Self::Absolute { authority, path, query })
    }
}

fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => (target.get(..at).unwrap_or_default(), target.get(at + 1..)),
        None => (target, None),
    }
}
