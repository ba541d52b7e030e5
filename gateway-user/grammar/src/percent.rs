//! Percent escapes (RFC 3986 section 2.1).

/// An escape in the form that paths are compared in (RFC 3986 sections 6.2.2.1 and 6.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// An unreserved character (section 2.3), which stands for itself.
    Plain(u8),
    /// Any other byte, and its two digits in upper case.
    Kept {
        /// The byte.
        byte: u8,
        /// The digits to write after the `%`.
        digits: [u8; 2],
    },
}

impl Escape {
    /// The escape with these two digits, the first one the high half of the byte; `None` if one is no
    /// hexadecimal digit.
    pub fn of(high: u8, low: u8) -> Option<Self> {
        let byte = unescaped(high, low)?;
        Some(if is_unreserved(byte) {
            Self::Plain(byte)
        } else {
            Self::Kept { byte, digits: [high.to_ascii_uppercase(), low.to_ascii_uppercase()] }
        })
    }
}

/// The byte that two hexadecimal digits stand for, in either case.
pub fn unescaped(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

/// The value of a hexadecimal digit, 0 to 15.
pub fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// True for a character that means the same escaped and plain (RFC 3986 section 2.3).
pub const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_unreserved_characters_are_plain() {
        assert_eq!(Escape::of(b'7', b'e'), Some(Escape::Plain(b'~')));
        assert_eq!(Escape::of(b'2', b'f'), Some(Escape::Kept { byte: b'/', digits: *b"2F" }));
        assert_eq!(Escape::of(b'f', b'F'), Some(Escape::Kept { byte: 0xff, digits: *b"FF" }));
        assert_eq!((Escape::of(b'g', b'0'), Escape::of(b'0', b' ')), (None, None));
        assert_eq!((0..=255).filter_map(hex_digit).count(), 22);
    }
}
