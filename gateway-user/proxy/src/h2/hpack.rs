//! Entries that heads put into the dynamic table of HPACK, counted without decoding a field (RFC 7541 section 6).

use super::frames::{Frame, kind};

/// HEADERS: the payload begins with the length of the padding at its end (RFC 9113 section 6.2).
const PADDED: u8 = 0x8;
/// HEADERS: five bytes of priority come before the fields.
const PRIORITY: u8 = 0x20;
const PRIORITY_LEN: u32 = 5;

/// Counts entries in the fragments of field blocks, which come in pieces of any size.
///
/// A malformed head is the decoder's to find: here it has any count.
#[derive(Debug, Default)]
pub(super) struct EntryCount {
    entries: u64,
    /// The part of the frame's payload that the next byte belongs to.
    part: Part,
    /// Bytes of the frame's payload that are still to come.
    left: u32,
    /// The next byte of the fields.
    next: Next,
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

/// A place in a field block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// The first byte of a representation.
    #[default]
    Representation,
    /// The rest of an index, of which nothing but its end matters; strings follow it.
    Index { strings: u8 },
    /// The first byte of a string's length.
    Length { strings: u8 },
    /// The rest of it.
    LongLength { value: u32, shift: u32, strings: u8 },
    /// Bytes of a string.
    String { left: u32, strings: u8 },
}

impl EntryCount {
    /// Entries so far.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// A frame begins.
    pub(super) fn begin(&mut self, frame: Frame) {
        self.left = frame.len;
        self.part = match frame.kind {
            kind::HEADERS => {
                self.next = Next::Representation;
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

    /// The next bytes of its payload.
    pub(super) fn payload(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.part != Part::Other {
            let taken = self.take(bytes);
            self.left = self.left.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Takes a run of bytes of one part, one byte at least unless the part is at its end.
    fn take(&mut self, bytes: &[u8]) -> usize {
        match self.part {
            Part::Other => bytes.len(),
            Part::PadLength { has_priority } => {
                let padding = bytes.first().map_or(0, |length| u32::from(*length));
                let skip = if has_priority { PRIORITY_LEN } else { 0 };
                self.part = Part::Priority { skip, padding };
                1
            }
            Part::Priority { skip: 0, padding } => {
                self.part = Part::Fields { padding };
                0
            }
            Part::Priority { skip, padding } => {
                self.part = Part::Priority { skip: skip - 1, padding };
                1
            }
            Part::Fields { padding } => {
                let fields = self.left.saturating_sub(padding) as usize;
                let run = bytes.get(..fields.min(bytes.len())).unwrap_or_default();
                if run.is_empty() {
                    self.part = Part::Other;
                }
                self.fields(run);
                run.len()
            }
        }
    }

    fn fields(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Next::String { left, strings } = self.next {
                let skip = (left as usize).min(bytes.len());
                self.next = in_string(left - u32::try_from(skip).unwrap_or(left), strings);
                bytes = bytes.get(skip..).unwrap_or_default();
                continue;
            }
            self.next = self.after(byte);
            bytes = rest;
        }
    }

    /// The place behind a byte that belongs to no string.
    fn after(&mut self, byte: u8) -> Next {
        match self.next {
            Next::Representation => {
                // An index of all ones goes on in more bytes; one of zero stands for a name that is written out.
                let (mask, has_value) = match byte {
                    0x80.. => (0x7f, false),
                    0x40..=0x7f => {
                        self.entries += 1;
                        (0x3f, true)
                    }
                    0x20..=0x3f => (0x1f, false),
                    _ => (0x0f, true),
                };
                let index = byte & mask;
                let strings = u8::from(has_value) + u8::from(has_value && index == 0);
                if index == mask { Next::Index { strings } } else { before_string(strings) }
            }
            Next::Index { strings } if byte < 0x80 => before_string(strings),
            Next::Index { .. } => self.next,
            Next::Length { strings } => match u32::from(byte & 0x7f) {
                0x7f => Next::LongLength { value: 0x7f, shift: 0, strings },
                left => in_string(left, strings),
            },
            Next::LongLength { value, shift, strings } => {
                let more = u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(u32::MAX);
                let value = value.saturating_add(more);
                match byte < 0x80 {
                    true => in_string(value, strings),
                    false => Next::LongLength { value, shift: shift + 7, strings },
                }
            }
            Next::String { .. } => self.next,
        }
    }
}

/// The place before so many strings of a representation.
fn before_string(strings: u8) -> Next {
    if strings == 0 { Next::Representation } else { Next::Length { strings } }
}

/// The place before the last bytes of a string, which is the first of so many.
fn in_string(left: u32, strings: u8) -> Next {
    if left == 0 { before_string(strings.saturating_sub(1)) } else { Next::String { left, strings } }
}

#[cfg(test)]
mod tests {
    use super::super::frames::FrameScan;
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend([kind, flags, 0, 0, 0, 1]);
        out.extend(payload);
        out
    }

    fn counted(wire: &[u8], piece: usize) -> u64 {
        let (mut scan, mut count) = (FrameScan::new(0), EntryCount::default());
        for bytes in wire.chunks(piece) {
            scan.take_all(bytes, &mut count, EntryCount::begin, EntryCount::payload);
        }
        count.entries()
    }

    /// RFC 7541 appendix C.3 to C.5, and what they lack.
    fn block() -> Vec<u8> {
        let mut out = b"\x82\x86\x84\x41\x0fwww.example.com".to_vec();
        out.extend(b"\x40\x0acustom-key\x0dcustom-header");
        out.extend(b"\x04\x0c/sample/path\x10\x08password\x06secret");
        out.extend(b"\x3f\xe1\x1f\xff\x80\x01");
        // A name by a long index, a value of 300 bytes, and one of none.
        out.extend(b"\x7f\x00\x7f\xad\x01");
        out.extend([b'v'; 300]);
        out.extend(b"\x41\x00\x58\x83\xaa\xaa\xaa");
        out
    }

    #[test]
    fn entries_are_counted_whatever_the_pieces() {
        let wire = frame(kind::HEADERS, 4, &block());
        for piece in 1..wire.len() {
            assert_eq!(counted(&wire, piece), 5, "in pieces of {piece}");
        }
    }

    #[test]
    fn padding_priority_and_other_frames_hold_no_entry() {
        let block = block();
        let mut padded = vec![7, 0x40, 0x40, 0x40, 0x40, 0x40];
        padded.extend(&block[..30]);
        padded.extend([0x40; 7]);
        let wire = [
            frame(kind::DATA, 0, &[0x40; 50]),
            frame(kind::HEADERS, PADDED | PRIORITY, &padded),
            frame(kind::CONTINUATION, 0, &block[30..40]),
            frame(kind::CONTINUATION, 0, b""),
            frame(kind::CONTINUATION, 4, &block[40..]),
            frame(kind::PING, 0, &[0x40; 8]),
            frame(kind::HEADERS, PADDED | 4, &[200, 0x40, 0x40]),
        ]
        .concat();
        for piece in 1..60 {
            assert_eq!(counted(&wire, piece), 5, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_length_without_end_is_taken() {
        assert_eq!(counted(&frame(kind::HEADERS, 4, &[&[0x40, 0x7f][..], &[0xff; 100]].concat()), 7), 1);
    }
}
