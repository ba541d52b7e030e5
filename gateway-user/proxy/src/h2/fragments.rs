//! Fields among the payloads of HEADERS and CONTINUATION, without padding and priority (RFC 9113 sections 6.2, 6.10).

use super::frames::{Frame, kind};

/// HEADERS: the payload begins with the length of the padding at its end.
pub(super) const PADDED: u8 = 0x8;
/// HEADERS: five bytes of priority come before the fields.
pub(super) const PRIORITY: u8 = 0x20;
const PRIORITY_LEN: u32 = 5;

/// A place in the payload of a frame.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    /// The part that the next byte belongs to.
    part: Part,
    /// Bytes that are still to come.
    left: u32,
}

/// A part of a HEADERS or CONTINUATION frame's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// None: it is another frame's.
    #[default]
    Other,
    PadLength {
        has_priority: bool,
    },
    /// Bytes of priority before the fields, and of padding behind them.
    Priority {
        skip: u32,
        padding: u32,
    },
    Fields {
        padding: u32,
    },
}

impl Fragments {
    /// A frame begins.
    pub(super) fn begin(&mut self, frame: Frame) {
        self.left = frame.len;
        self.part = match frame.kind {
            kind::HEADERS => {
                let has_priority = frame.has(PRIORITY);
                let skip = if has_priority { PRIORITY_LEN } else { 0 };
                match frame.has(PADDED) {
                    true => Part::PadLength { has_priority },
                    false => Part::Priority { skip, padding: 0 },
                }
            }
            kind::CONTINUATION => Part::Fields { padding: 0 },
            _ => Part::Other,
        };
    }

    /// Takes the next run of fields out of bytes of the payload, or all of them if there is none.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        while let Some((&first, rest)) = bytes.split_first() {
            match self.part {
                Part::Other => break,
                Part::PadLength { has_priority } => {
                    let skip = if has_priority { PRIORITY_LEN } else { 0 };
                    self.part = Part::Priority { skip, padding: u32::from(first) };
                }
                Part::Priority { skip: 0, padding } => {
                    self.part = Part::Fields { padding };
                    continue;
                }
                Part::Priority { skip, padding } => self.part = Part::Priority { skip: skip - 1, padding },
                Part::Fields { padding } => {
                    let most = self.left.saturating_sub(padding) as usize;
                    let (fields, rest) = bytes.split_at(most.min(bytes.len()));
                    if fields.is_empty() {
                        self.part = Part::Other;
                        break;
                    }
                    self.left -= u32::try_from(fields.len()).unwrap_or(self.left);
                    *bytes = rest;
                    return Some(fields);
                }
            }
            self.left = self.left.saturating_sub(1);
            *bytes = rest;
        }
        *bytes = &[];
        None
    }
}
