//! Tokens, field values and lists (RFC 9110 sections 5.1, 5.5 and 5.6).

/// True for a byte that may stand in a token (RFC 9110 section 5.6.2).
pub const fn is_tchar(b: u8) -> bool {
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

/// True for a token: a method or a field name.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_tchar(b))
}

/// True for a byte that may stand in a field value: tab, space, visible, or obs-text (RFC 9110 section 5.5).
pub const fn is_value_byte(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

/// True for spaces and tabs.
pub const fn is_ows(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// `bytes` without leading and trailing spaces and tabs.
pub fn trim_ows(mut bytes: &[u8]) -> &[u8] {
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

/// True if two field names or tokens are the same (RFC 9110 section 5.1).
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
    fn every_tchar_and_nothing_else_is_a_token_byte() {
        let tchars = (0..=255u8).filter(|&b| is_tchar(b)).count();
        assert_eq!(tchars, 26 + 26 + 10 + 15);
        assert!(!is_token(b"") && !is_token(b"a b") && !is_token(b"a:") && !is_token("ä".as_bytes()));
    }
}
