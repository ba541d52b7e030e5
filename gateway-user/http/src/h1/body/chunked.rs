//! Chunk-size lines and chunk ends (RFC 9112 section 7.1).

use gateway_grammar::token::{is_ows, is_value_byte};

use super::super::error::BodyError;
use super::super::limits::BodyLimits;

/// Where a chunked body stands between two bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChunkState {
    at: At,
    /// The size read so far, then the data bytes left.
    size: u64,
    /// Bytes of the current chunk-size line.
    line: usize,
    /// Bytes of extensions in the body so far.
    extensions: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before or among the digits.
    #[default]
    Size,
    /// Blanks after the digits: only an extension may follow (BWS).
    Blank,
    Extension,
    /// After the CR of a chunk-size line.
    LineEnd,
    Data,
    /// After the data: its CR, then its LF.
    DataCr,
    DataLf,
    Trailers,
}

impl ChunkState {
    pub(super) fn data_left(&self) -> u64 {
        if self.at == At::Data { self.size } else { 0 }
    }

    pub(super) fn in_trailers(&self) -> bool {
        self.at == At::Trailers
    }

    pub(super) fn take_data(&mut self, length: u64) {
        self.size = self.size.saturating_sub(length);
        if self.size == 0 {
            self.at = At::DataCr;
        }
    }

    /// Reads framing bytes until data, trailers or the end of `input`. `content` is what the body has given
    /// so far.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        limits: &BodyLimits,
        content: u64,
    ) -> Result<usize, BodyError> {
        for (at, &byte) in input.iter().enumerate() {
            if matches!(self.at, At::Data | At::Trailers) {
                return Ok(at);
            }
            self.step(byte, limits, content)?;
        }
        Ok(input.len())
    }

    fn step(&mut self, byte: u8, limits: &BodyLimits, content: u64) -> Result<(), BodyError> {
        match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() => self.digit(byte, limits, content)?,
            (At::Size, _) if self.line == 0 => return Err(BodyError::BadChunkSize),
            (At::Size | At::Extension, b'\r') => self.at = At::LineEnd,
            (At::Size | At::Blank, b';') => self.at = At::Extension,
            (At::Size, _) if is_ows(byte) => self.at = At::Blank,
            (At::Size, _) => return Err(BodyError::BadChunkSize),
            (At::Blank, _) if is_ows(byte) => {}
            (At::Extension, _) if is_value_byte(byte) => {}
            (At::LineEnd, b'\n') => {
                self.at = if self.size == 0 { At::Trailers } else { At::Data };
                return Ok(());
            }
            (At::DataCr, b'\r') => {
                self.at = At::DataLf;
                return Ok(());
            }
            (At::DataLf, b'\n') => {
                *self = Self { extensions: self.extensions, ..Self::default() };
                return Ok(());
            }
            (At::DataCr | At::DataLf, _) => return Err(BodyError::BadChunkEnd),
            (At::Blank | At::Extension | At::LineEnd | At::Data | At::Trailers, _) => {
                return Err(BodyError::BadChunkLine);
            }
        }
        self.count(limits, content)
    }

    /// Sixteen digits hold 64 bits; more are refused, zeros too, so that the line is bounded.
    fn digit(&mut self, byte: u8, limits: &BodyLimits, content: u64) -> Result<(), BodyError> {
        if self.line >= 16 {
            return Err(BodyError::BadChunkSize);
        }
        let value = (byte as char).to_digit(16).ok_or(BodyError::BadChunkSize)?;
        self.size = self.size << 4 | u64::from(value);
        match content.checked_add(self.size) {
            None => Err(BodyError::BadChunkSize),
            Some(total) if total > limits.content => Err(BodyError::TooLong),
            Some(_) => Ok(()),
        }
    }

    /// Bounds the line, and what all lines waste on extensions: those are dropped, so a peer could send
    /// nothing else.
    fn count(&mut self, limits: &BodyLimits, content: u64) -> Result<(), BodyError> {
        self.line += 1;
        if matches!(self.at, At::Blank | At::Extension) {
            self.extensions += 1;
        }
        let allowed = limits.chunk_extensions.saturating_add(content / 16);
        // The CR is counted with the line, but is not part of it.
        if self.line > limits.chunk_line + 1 || self.extensions > allowed {
            return Err(BodyError::ChunkExtensionsTooLong);
        }
        Ok(())
    }
}
