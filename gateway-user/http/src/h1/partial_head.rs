//! The parts of a request head that was refused, or that never became whole, as far as they can be told: for
//! logs only.

use gateway_grammar::token::{eq_ignore_case, trim_ows};
use memchr::{memchr, memrchr};

/// Most bytes of each part.
const PART_MAX: usize = 1024;

/// The parts of a request head that were read. Each part is a piece of the bytes as they came, neither
/// checked nor whole for sure, of 1 KiB at most, and empty if it was not found. User information is cut off.
/// No field but `Host` is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartialHead<'a> {
    /// The first word of the request line.
    pub method: &'a [u8],
    /// The target without scheme and authority, with its query.
    pub path: &'a [u8],
    /// The last word of the request line, if it begins with `HTTP/`.
    pub protocol: &'a [u8],
    /// That of the target, else the first `Host`.
    pub authority: &'a [u8],
}

impl<'a> PartialHead<'a> {
    /// Looks at the beginning of what a client sent.
    pub fn of(bytes: &'a [u8]) -> Self {
        let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
        let bytes = bytes.get(start..).unwrap_or_default();
        // The type of a TLS handshake record: none of it is text.
        if bytes.first() == Some(&0x16) {
            return Self::default();
        }
        let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
        let (line, fields) = bytes.split_at(end);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (method, rest) = split_word(line);
        let (target, protocol) = split_protocol(rest);
        let (authority, path) = split_target(method, target);
        let authority = authority.or_else(|| host(fields)).map(without_user_information).unwrap_or_default();
        Self { method: cut(method), path: cut(path), protocol: cut(protocol), authority: cut(authority) }
    }
}

fn cut(part: &[u8]) -> &[u8] {
    part.get(..PART_MAX).unwrap_or(part)
}

fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr(b' ', line).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    (word, trim_ows(rest))
}

/// The last word, if it is a protocol; a target that holds blanks is bad, but not to be lost.
fn split_protocol(rest: &[u8]) -> (&[u8], &[u8]) {
    let at = memrchr(b' ', rest).map_or(0, |blank| blank + 1);
    let (target, last) = rest.split_at(at);
    if last.starts_with(b"HTTP/") { (trim_ows(target), last) } else { (rest, b"") }
}

/// Authority, if the target has one, and path.
fn split_target<'a>(method: &[u8], target: &'a [u8]) -> (Option<&'a [u8]>, &'a [u8]) {
    if target.starts_with(b"/") {
        return (None, target);
    }
    let is_end = |b: &u8| matches!(b, b'/' | b'?' | b'#');
    let scheme =
        memchr(b':', target).filter(|at| target.get(*at..).is_some_and(|rest| rest.starts_with(b"://")));
    let (has_authority, rest) = match scheme {
        Some(at) => (true, target.get(at + 3..).unwrap_or_default()),
        // `user:password@host` without a scheme is nothing that anybody asks for, but secrets are cut out of
        // it.
        None => (method == b"CONNECT" || target.contains(&b'@'), target),
    };
    if !has_authority {
        return (None, target);
    }
    let (authority, path) = rest.split_at(rest.iter().position(is_end).unwrap_or(rest.len()));
    (Some(authority), path)
}

/// The part after the last `@`: a password may hold one itself.
fn without_user_information(authority: &[u8]) -> &[u8] {
    memrchr(b'@', authority).and_then(|at| authority.get(at + 1..)).unwrap_or(authority)
}

/// The value of the first `Host` line before an empty one; `fields` begin with the end of the request line.
fn host(fields: &[u8]) -> Option<&[u8]> {
    let lines = fields.get(1..)?.split(|b| *b == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_at(memchr(b':', line)?);
        eq_ignore_case(trim_ows(name), b"host").then(|| trim_ows(value.get(1..).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, path, protocol, authority.
    fn parts(text: &str) -> [&str; 4] {
        let PartialHead { method, path, protocol, authority } = PartialHead::of(text.as_bytes());
        [method, path, protocol, authority].map(|part| std::str::from_utf8(part).unwrap())
    }

    #[test]
    fn parts_of_refused_heads_are_found() {
        for (text, want) in [
            (
                "GET /a?b=c HTTP/1.1\r\nCookie: x\r\nHOST: a.example:80\r\n\r\n",
                ["GET", "/a?b=c", "HTTP/1.1", "a.example:80"],
            ),
            ("\r\n\r\nGET / HTTP/3.0\nHost :\ta \n", ["GET", "/", "HTTP/3.0", "a"]),
            ("GET /a b c HTTP/1.1\r\n", ["GET", "/a b c", "HTTP/1.1", ""]),
            ("GET  /x\r\n", ["GET", "/x", "", ""]),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ["PRI", "*", "HTTP/2.0", ""]),
            ("CONNECT u:p@a:443 HTTP/1.1\r\nHost: b\r\n", ["CONNECT", "", "HTTP/1.1", "a:443"]),
            (
                "GET http://u:p@w@a.example/x?y HTTP/1.1\r\nHost: b\r\n",
                ["GET", "/x?y", "HTTP/1.1", "a.example"],
            ),
            ("GET ftp://u:p@a HTTP/1.1\r\nHost: b\r\n", ["GET", "", "HTTP/1.1", "a"]),
            ("GET u:p@a/x HTTP/1.1\r\nHost: b\r\n", ["GET", "/x", "HTTP/1.1", "a"]),
            ("GET / HTTP/1.1\r\nHost: u:secret@a\r\nHost: b\r\n", ["GET", "/", "HTTP/1.1", "a"]),
            ("GET /@x HTTP/1.1\r\nHos", ["GET", "/@x", "HTTP/1.1", ""]),
            ("GET / HTTP/1.0\r\n\r\nHost: body\r\n", ["GET", "/", "HTTP/1.0", ""]),
            ("GE", ["GE", "", "", ""]),
            ("\u{16}\u{3}\u{1} / HTTP/1.1", ["", "", "", ""]),
            ("", ["", "", "", ""]),
        ] {
            assert_eq!(parts(text), want, "{text:?}");
        }
    }

    #[test]
    fn each_part_has_a_bound() {
        let long = "x".repeat(5000);
        let text = format!("{long} http://{long}/{long} HTTP/{long}\r\n");
        assert!(parts(&text).iter().all(|part| part.len() == PART_MAX));
        let text = format!("GET /{long}");
        assert_eq!(parts(&text)[1].len(), PART_MAX);
    }

    #[test]
    fn no_bytes_are_a_panic() {
        let text = b"GET http://u:p@a/x HTTP/1.1\r\nHost: b\r\n\r\n";
        for at in 0..text.len() {
            let _ = PartialHead::of(&text[..at]);
            for byte in [0, b' ', b'\n', b'@', b':', b'/', 0xff] {
                let mut changed = *text;
                changed[at] = byte;
                let _ = PartialHead::of(&changed);
            }
        }
    }
}
