//! Chunked framing of our own (RFC 9112 section 7.1).

use super::fields::put_line;
use super::sink::{Full, HeadSink};
use crate::head::Fields;

/// The line end after the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A chunk-size line: up to sixteen digits and CRLF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSize {
    bytes: [u8; 18],
    start: usize,
}

impl ChunkSize {
    /// The longest line, in bytes.
    pub const MAX: usize = 18;

    /// The line for that many bytes of data. Must not be 0: that would end the body.
    pub fn new(size: u64) -> Self {
        debug_assert!(size > 0, "an empty chunk ends the body");
        let mut bytes = *b"0000000000000000\r\n";
        let mut start = 16;
        let mut left = size;
        for (at, byte) in bytes.iter_mut().enumerate().take(16).rev() {
            let digit = (left & 15) as u8;
            *byte = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            start = at;
            left >>= 4;
            if left == 0 {
                break;
            }
        }
        Self { bytes, start }
    }

    /// The line.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// Writes the last chunk with trailer fields.
///
/// # Errors
/// [`Full`].
pub fn last_chunk<S: HeadSink + ?Sized>(sink: &mut S, trailers: Fields<'_>) -> Result<(), Full> {
    sink.put(b"0\r\n")?;
    for field in trailers {
        put_line(sink, field.name, field.value)?;
    }
    sink.put(b"\r\n")
}
