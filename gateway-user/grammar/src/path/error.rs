//! Reasons for which a path is refused.

use std::fmt;

/// Reasons to refuse a path. The response is always 400 (RFC 9110 section 15.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathError {
    /// Does not begin with `/`.
    NotAbsolute,
    /// A `%` without two hexadecimal digits.
    BadEscape,
    /// A blank, control byte, byte from 0x80, `?` or `#`.
    BadByte,
    /// An escaped NUL or a bare backslash, unless [`Separators::Keep`](super::Separators::Keep); an escaped
    /// slash or backslash under [`Separators::Refuse`](super::Separators::Refuse).
    EncodedSeparator,
    /// A `.` or `..` segment for those who decode `%2F` and `%5C` or cut path parameters off, and for nobody
    /// else.
    HiddenDotSegment,
}

impl PathError {
    /// Stable code in snake_case.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::BadEscape => "bad_percent_escape",
            Self::BadByte => "bad_path_byte",
            Self::EncodedSeparator => "encoded_separator",
            Self::HiddenDotSegment => "hidden_dot_segment",
        }
    }

    /// The status of the response.
    pub fn status(self) -> u16 {
        400
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::BadEscape => "the path holds a malformed percent escape",
            Self::BadByte => "the path holds a byte that is not allowed there",
            Self::EncodedSeparator => {
                "the path holds a bare backslash, or an encoded slash, backslash or NUL"
            }
            Self::HiddenDotSegment => {
                "the path hides a dot segment behind an encoded separator or a path parameter"
            }
        })
    }
}

impl std::error::Error for PathError {}
