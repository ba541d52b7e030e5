//! The name of one request.

use std::fmt;
use std::str::FromStr;

/// Which client a request is from; two clients of one backend need two tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(u32);

/// One request of one client. Text form: 16 hexadecimal digits, the tag first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// The text is no tag or no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId;

const SEQUENCE_BITS: u32 = 40;

impl Tag {
    /// Keeps the low 24 bits.
    pub const fn new(n: u32) -> Self {
        Self(n & 0x00ff_ffff)
    }

    /// The id of this client's request number `sequence`, of which the low 40 bits count.
    pub const fn request(self, sequence: u64) -> RequestId {
        RequestId((self.0 as u64) << SEQUENCE_BITS | sequence & ((1 << SEQUENCE_BITS) - 1))
    }
}

impl RequestId {
    /// The client.
    pub const fn tag(self) -> Tag {
        Tag((self.0 >> SEQUENCE_BITS) as u32)
    }

    /// All 64 bits; the seed of the request's body.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}", self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Tag {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        u32::from_str_radix(text, 16).map(Self::new).map_err(|_| InvalidId)
    }
}

impl FromStr for RequestId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() != 16 {
            return Err(InvalidId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidId)
    }
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id: write hexadecimal digits")
    }
}

impl std::error::Error for InvalidId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = Tag::new(0xabc).request(0x12_3456);
        assert_eq!(id.to_string(), "000abc0000123456");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.tag(), Tag::new(0xabc));
        assert_eq!("abc".parse::<Tag>(), Ok(Tag::new(0xabc)));
        assert_eq!("12".parse::<RequestId>(), Err(InvalidId));
    }
}
