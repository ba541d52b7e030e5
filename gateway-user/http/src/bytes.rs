//! Spans into a buffer.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_another_buffer_is_empty_and_never_a_panic() {
        let span = Span::new(3..9).unwrap();
        assert_eq!(span.of(b"0123456789"), b"345678");
        assert_eq!(span.of(b"0123"), b"");
        assert_eq!(Span { start: 5, end: 2 }.of(b"0123456789"), b"");
    }
}
