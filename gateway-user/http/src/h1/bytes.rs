//! Small views over bytes: spans into a buffer, token lists, comparisons without case.

use std::ops::Range;

/// A range of the buffer that a head was parsed from; 32-bit, since heads are bounded far below that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// `None` where an offset does not fit, which [`super::HeadLimits`] rules out.
    pub(crate) fn new(range: Range<usize>) -> Option<Self> {
        Some(Self { start: u32::try_from(range.start).ok()?, end: u32::try_from(range.end).ok()? })
    }

    /// The bytes; empty when `bytes` is not the buffer the span was made for.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(crate) fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }
}

/// Where `part` begins inside `whole`, if it is a part of it.
pub(crate) fn offset_in(whole: &[u8], part: &[u8]) -> Option<usize> {
    let offset = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    (offset.checked_add(part.len())? <= whole.len()).then_some(offset)
}

/// Whether two field names or tokens are the same (RFC 9110 section 5.1).
#[inline]
pub fn eq_ignore_case(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.eq_ignore_ascii_case(b)
}

/// The elements of a comma-separated list (RFC 9110 section 5.6.1), trimmed; empty elements are left out.
///
/// A comma inside a quoted string also separates: for fields whose elements are tokens, such as `Connection`.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim_ows).filter(|element| !element.is_empty())
}

/// Whether a byte may stand in a token (RFC 9110 section 5.6.2).
pub(crate) const fn is_tchar(b: u8) -> bool {
    matches!(
        b,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) || b.is_ascii_alphanumeric()
}

/// Whether bytes are a token: a method or a field name.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_tchar(b))
}

/// Whether a byte may stand in a field value: tab, space, visible, or obs-text (RFC 9110 section 5.5).
pub(crate) const fn is_value_byte(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

/// Spaces and tabs.
pub(crate) const fn is_ows(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// Without leading and trailing spaces and tabs.
pub(crate) fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_ows(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_ows(*last)
    {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_lose_blanks_and_empty_elements() {
        let cases: &[(&[u8], &[&[u8]])] =
            &[(b"close", &[b"close"]), (b" a ,\tb,, ,c\t", &[b"a", b"b", b"c"]), (b"", &[]), (b" , ", &[])];
        for (value, want) in cases {
            assert_eq!(list(value).collect::<Vec<_>>(), *want);
        }
    }

    #[test]
    fn a_span_of_another_buffer_is_empty_and_never_a_panic() {
        let span = Span::new(3..9).unwrap();
        assert_eq!(span.of(b"0123456789"), b"345678");
        assert_eq!(span.of(b"0123"), b"");
        assert_eq!(Span { start: 5, end: 2 }.of(b"0123456789"), b"");
    }

    #[test]
    fn every_tchar_and_nothing_else_is_a_token_byte() {
        let tchars = (0..=255u8).filter(|&b| is_tchar(b)).count();
        assert_eq!(tchars, 26 + 26 + 10 + 15);
        assert!(!is_token(b"") && !is_token(b"a b") && !is_token(b"a:") && !is_token("ä".as_bytes()));
    }
}
