//! Query parameters: taken apart once a request, when the first condition asks, decoded only where they are
//! compared.
//!
//! The rules are those of `application/x-www-form-urlencoded`: `&` separates, `+` is a space, `%` and two
//! digits are a byte, and a `%` without two digits is itself.

use std::ops::Range;

use gateway_grammar::percent::unescaped;

/// Reusable memory of one worker's lookups.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    params: Vec<Param>,
    parsed: bool,
    value: Vec<u8>,
}

/// Place of one parameter in the query string.
#[derive(Debug)]
struct Param {
    name: Range<usize>,
    value: Range<usize>,
}

impl Scratch {
    /// Forgets the last request.
    pub(crate) fn start(&mut self) {
        self.parsed = false;
    }

    /// An empty buffer.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.value.clear();
        &mut self.value
    }

    /// The encoded value of the first parameter named `name`; empty for one without `=`. `query` must be the
    /// same at every call since [`Scratch::start`].
    pub(crate) fn param<'q>(&mut self, query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
        if !self.parsed {
            self.params.clear();
            self.params.extend(split(query));
            self.parsed = true;
        }
        self.params.iter().find_map(|param| {
            let found = decodes_to(query.get(param.name.clone())?, name);
            found.then(|| query.get(param.value.clone())).flatten()
        })
    }

    /// `encoded` without its encoding, in place where it has none.
    pub(crate) fn decoded<'a>(&'a mut self, encoded: &'a [u8]) -> &'a [u8] {
        if memchr::memchr2(b'%', b'+', encoded).is_none() {
            return encoded;
        }
        let buffer = self.buffer();
        buffer.extend(decode(encoded));
        buffer
    }
}

/// True if `encoded` stands for `plain`.
pub(crate) fn decodes_to(encoded: &[u8], plain: &[u8]) -> bool {
    // Encoding never makes a text shorter.
    encoded.len() >= plain.len()
        && (encoded == plain && is_plain(encoded) || decode(encoded).eq(plain.iter().copied()))
}

fn is_plain(encoded: &[u8]) -> bool {
    memchr::memchr2(b'%', b'+', encoded).is_none()
}

fn split(query: &[u8]) -> impl Iterator<Item = Param> {
    let mut start = 0;
    query.split(|byte| *byte == b'&').filter_map(move |part| {
        let (from, to) = (start, start + part.len());
        start = to + 1;
        let equals = memchr::memchr(b'=', part);
        let name = from..equals.map_or(to, |at| from + at);
        let value = equals.map_or(to, |at| from + at + 1)..to;
        (!part.is_empty()).then_some(Param { name, value })
    })
}

fn decode(encoded: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = encoded;
    std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        rest = tail;
        match (first, tail) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, after @ ..]) => match unescaped(*high, *low) {
                Some(byte) => {
                    rest = after;
                    Some(byte)
                }
                None => Some(b'%'),
            },
            (byte, _) => Some(*byte),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_decoded_name_and_the_first_counts() {
        let mut scratch = Scratch::default();
        let query = b"a=1&&b&a=2&c%20d=3&e+f=%2B+&=x&g=h=i";
        for (name, want) in [
            ("a", Some("1")),
            ("b", Some("")),
            ("c d", Some("3")),
            ("e f", Some("+ ")),
            ("", Some("x")),
            ("g", Some("h=i")),
            ("A", None),
            ("c%20d", None),
        ] {
            let value = scratch.param(query, name.as_bytes());
            let decoded = value.map(|value| String::from_utf8(scratch.decoded(value).to_vec()).unwrap());
            assert_eq!(decoded.as_deref(), want, "{name:?}");
        }
        scratch.start();
        assert_eq!(scratch.param(b"A=9", b"A"), Some(&b"9"[..]));
    }

    #[test]
    fn decoding_compares_what_is_meant() {
        for (encoded, plain, want) in [
            ("abc", "abc", true),
            ("%61b%63", "abc", true),
            ("a+b", "a b", true),
            ("a+b", "a+b", false),
            ("a%2bb", "a+b", true),
            ("%zz", "%zz", true),
            ("100%", "100%", true),
            ("%4", "%4", true),
            ("%41", "%41", false),
            ("ab", "abc", false),
            ("abc", "ab", false),
            ("", "", true),
        ] {
            assert_eq!(decodes_to(encoded.as_bytes(), plain.as_bytes()), want, "{encoded:?} and {plain:?}");
        }
    }
}
