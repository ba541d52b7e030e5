//! How much of a message is read before it is refused.

/// Bounds on a head. The defaults fit what browsers and common clients send with room to spare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the first line with its CRLF. A longer request line gets 414.
    pub first_line: usize,
    /// Bytes of the whole head, blank lines before it and the empty line after it included; at most
    /// [`Self::MAX_HEAD`].
    pub head: usize,
    /// Field lines; at most [`Self::MAX_FIELDS`].
    pub fields: usize,
}

impl HeadLimits {
    /// The most that [`Self::head`] can be: 1 MiB. More is treated as this.
    pub const MAX_HEAD: usize = 1 << 20;
    /// The most that [`Self::fields`] can be: the parser's table of lines lives on the stack. More is treated
    /// as this.
    pub const MAX_FIELDS: usize = 256;
    /// Connection options in one head: each is compared with every field name, so their number is bounded.
    pub const MAX_CONNECTION_OPTIONS: usize = 64;
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { first_line: 8 << 10, head: 32 << 10, fields: 100 }
    }
}

/// Bounds on a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of content; `u64::MAX` means no bound.
    pub content: u64,
    /// Bytes of one chunk-size line without its CRLF: size and extensions.
    pub chunk_line: usize,
    /// Bytes of chunk extensions in one body, to which a sixteenth of the content read so far is added.
    pub chunk_extensions: u64,
    /// Bytes of the trailer section.
    pub trailers: usize,
    /// Trailer lines; at most [`Self::MAX_TRAILERS`].
    pub trailer_fields: usize,
}

impl BodyLimits {
    /// The most that [`Self::trailer_fields`] can be. More is treated as this.
    pub const MAX_TRAILERS: usize = 64;
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            content: u64::MAX,
            chunk_line: 512,
            chunk_extensions: 16 << 10,
            trailers: 8 << 10,
            trailer_fields: Self::MAX_TRAILERS,
        }
    }
}
