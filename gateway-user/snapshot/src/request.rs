//! A request as lookups see it: borrowed bytes, whatever the protocol.

/// The field lines of a request head, in the order received.
pub trait FieldLines {
    /// The first line at position `from` or later whose name equals `name` without regard to case: its
    /// position and its value without surrounding white space. `name` is in lower case. Positions count all
    /// lines from 0.
    fn find(&self, name: &str, from: usize) -> Option<(usize, &[u8])>;
}

/// Field lines in a slice of name and value pairs.
#[derive(Clone, Copy, Debug)]
pub struct FieldList<'a, N, V>(
    /// Names in any case, with their values.
    pub &'a [(N, V)],
);

/// The parts of a request that routes ask about.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// The method token as received; methods are case-sensitive (RFC 9110 section 9.1).
    pub method: &'a [u8],
    /// The host in lower case, without port and without a trailing dot, an IPv6 address in its brackets.
    /// Empty when the request names none, as HTTP/1.0 may.
    pub host: &'a [u8],
    /// The path of the request target after normalisation, without the query: starts with `/`.
    pub path: &'a [u8],
    /// The query after the `?`, still encoded. `None` without a `?`.
    pub query: Option<&'a [u8]>,
    /// The header section.
    pub fields: &'a dyn FieldLines,
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FieldLines for FieldList<'_, N, V> {
    fn find(&self, name: &str, from: usize) -> Option<(usize, &[u8])> {
        self.0
            .iter()
            .enumerate()
            .skip(from)
            .find(|(_, (line, _))| line.as_ref().eq_ignore_ascii_case(name.as_bytes()))
            .map(|(at, (_, value))| (at, value.as_ref()))
    }
}
