//! Fields of heads and trailers without their text: entries that they put into the dynamic table of HPACK, and
//! pseudo-headers where none may be (RFC 7541 section 6).

use super::fragments::Fragments;
use super::frames::{Frame, kind};

/// Pseudo-headers are the first entries of the static table (RFC 7541 appendix A).
const LAST_PSEUDO: u32 = 14;
/// The index of the entry that was added last: the static table comes before.
const NEWEST: u32 = 62;
/// A colon at the beginning of a name in the Huffman code (RFC 7541 appendix B): 1011100, and a bit of what follows.
const COLON: u8 = 0b101_1100;

/// Reads the fragments of field blocks, which come in pieces of any size.
///
/// A malformed block is the decoder's to find: here it has any count.
#[derive(Debug, Default)]
pub(super) struct FieldScan {
    entries: u32,
    /// For each entry that was added to the dynamic table whether it is a pseudo-header, the last one in the lowest bit. The
    /// table has room for no more; entries that it has dropped are older than all that it has, so what they were called
    /// is nobody's question.
    added: [u64; 2],
    is_trailers: bool,
    has_pseudo_trailer: bool,
    /// The fields among the bytes of frames.
    fragments: Fragments,
    /// The next byte of the fields.
    next: Next,
}

/// A place in a field block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// The first byte of a representation.
    #[default]
    Representation,
    /// The rest of its index, or of a size.
    Index { of: Kind, value: u32, shift: u32 },
    /// The first byte of a string's length.
    Length { of: Text },
    /// The rest of it.
    LongLength { of: Text, value: u32, shift: u32 },
    /// The first byte of a name that has some.
    Name { left: u32, adds: bool, is_huffman: bool },
    /// Bytes of a string that do not matter.
    String { left: u32, is_name: bool },
}

/// A representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A size of the dynamic table, which is no field.
    Size,
    Indexed,
    /// With a value, and with a name unless its index is not zero.
    Literal {
        adds: bool,
    },
}

/// A string of a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Name { adds: bool, is_huffman: bool },
    Value,
}

impl FieldScan {
    /// Entries that were added to the table so far.
    pub(super) fn entries(&self) -> u64 {
        u64::from(self.entries)
    }

    /// True once trailers had a pseudo-header.
    pub(super) fn has_pseudo_trailer(&self) -> bool {
        self.has_pseudo_trailer
    }

    /// A frame begins; `is_trailers` tells of HEADERS that their block is behind a body.
    pub(super) fn begin(&mut self, frame: Frame, is_trailers: bool) {
        self.fragments.begin(frame);
        if frame.kind == kind::HEADERS {
            self.next = Next::Representation;
            self.is_trailers = is_trailers;
        }
    }

    /// The next bytes of its payload.
    pub(super) fn payload(&mut self, mut bytes: &[u8]) {
        while let Some(fields) = self.fragments.next(&mut bytes) {
            self.fields(fields);
        }
    }

    fn fields(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Next::String { left, is_name } = self.next {
                let skip = (left as usize).min(bytes.len());
                self.next = in_string(left - u32::try_from(skip).unwrap_or(left), is_name);
                bytes = bytes.get(skip..).unwrap_or_default();
                continue;
            }
            // Most fields of heads are one byte each, of which nothing is asked.
            let is_plain = matches!(self.next, Next::Representation) && (0x80..0xff).contains(&byte);
            if !is_plain || self.is_trailers {
                self.next = self.after(byte);
            }
            bytes = rest;
        }
    }

    /// The place behind a byte that is none of a string but its first.
    fn after(&mut self, byte: u8) -> Next {
        match self.next {
            Next::Representation => {
                let (mask, of) = match byte {
                    0x80.. => (0x7f, Kind::Indexed),
                    0x40..=0x7f => {
                        self.entries = self.entries.saturating_add(1);
                        (0x3f, Kind::Literal { adds: true })
                    }
                    0x20..=0x3f => (0x1f, Kind::Size),
                    _ => (0x0f, Kind::Literal { adds: false }),
                };
                // An index of all ones goes on in more bytes.
                match u32::from(byte & mask) {
                    value if byte & mask == mask => Next::Index { of, value, shift: 0 },
                    index => self.behind_index(of, index),
                }
            }
            Next::Index { of, value, shift } => match continued(byte, value, shift) {
                (value, true) => self.behind_index(of, value),
                (value, false) => Next::Index { of, value, shift: shift.saturating_add(7) },
            },
            Next::Length { of } => {
                let of = match of {
                    Text::Name { adds, .. } => Text::Name { adds, is_huffman: byte & 0x80 != 0 },
                    Text::Value => Text::Value,
                };
                match u32::from(byte & 0x7f) {
                    0x7f => Next::LongLength { of, value: 0x7f, shift: 0 },
                    left => self.behind_length(of, left),
                }
            }
            Next::LongLength { of, value, shift } => match continued(byte, value, shift) {
                (value, true) => self.behind_length(of, value),
                (value, false) => Next::LongLength { of, value, shift: shift.saturating_add(7) },
            },
            Next::Name { left, adds, is_huffman } => {
                let is_pseudo = if is_huffman { byte >> 1 == COLON } else { byte == b':' };
                self.field(is_pseudo, adds);
                in_string(left - 1, true)
            }
            Next::String { .. } => self.next,
        }
    }

    fn behind_index(&mut self, of: Kind, index: u32) -> Next {
        match (of, index) {
            (Kind::Size, _) | (Kind::Indexed, 0) => Next::Representation,
            // The name is written out.
            (Kind::Literal { adds }, 0) => Next::Length { of: Text::Name { adds, is_huffman: false } },
            (Kind::Literal { adds }, _) => {
                if adds || self.is_trailers {
                    self.field(self.is_pseudo(index), adds);
                }
                Next::Length { of: Text::Value }
            }
            (Kind::Indexed, _) => {
                if self.is_trailers {
                    self.field(self.is_pseudo(index), false);
                }
                Next::Representation
            }
        }
    }

    fn behind_length(&mut self, of: Text, left: u32) -> Next {
        match of {
            Text::Value => in_string(left, false),
            Text::Name { adds, .. } if left == 0 => {
                self.field(false, adds);
                in_string(0, true)
            }
            Text::Name { adds, is_huffman } => Next::Name { left, adds, is_huffman },
        }
    }

    /// A field whose name is known.
    fn field(&mut self, is_pseudo: bool, adds: bool) {
        if adds {
            let [low, high] = self.added;
            self.added = [low << 1 | u64::from(is_pseudo), high << 1 | low >> 63];
        }
        self.has_pseudo_trailer |= is_pseudo && self.is_trailers;
    }

    /// True if the entry with that index is a pseudo-header.
    fn is_pseudo(&self, index: u32) -> bool {
        let Some(age) = index.checked_sub(NEWEST) else { return index <= LAST_PSEUDO };
        let bits = usize::try_from(age / 64).ok().and_then(|word| self.added.get(word));
        bits.is_some_and(|bits| bits >> (age % 64) & 1 == 1)
    }
}

/// A number with its next seven bits, and whether these are its last; beyond 32 bits it is the largest.
fn continued(byte: u8, value: u32, shift: u32) -> (u32, bool) {
    let more = match u64::from(byte & 0x7f) {
        0 => 0,
        _ if shift >= u32::BITS => u32::MAX,
        bits => u32::try_from(bits << shift).unwrap_or(u32::MAX),
    };
    (value.saturating_add(more), byte < 0x80)
}

/// The place before the last bytes of a string.
fn in_string(left: u32, is_name: bool) -> Next {
    match (left, is_name) {
        (0, true) => Next::Length { of: Text::Value },
        (0, false) => Next::Representation,
        _ => Next::String { left, is_name },
    }
}

#[cfg(test)]
mod tests {
    use super::super::fragments::{PADDED, PRIORITY};
    use super::super::frames::FrameScan;
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend([kind, flags, 0, 0, 0, 1]);
        out.extend(payload);
        out
    }

    /// The findings where every HEADERS frame begins trailers, or none does.
    fn scanned(wire: &[u8], piece: usize, trailers: bool) -> FieldScan {
        let (mut scan, mut fields) = (FrameScan::new(0), FieldScan::default());
        for bytes in wire.chunks(piece) {
            let begin = |fields: &mut FieldScan, frame| fields.begin(frame, trailers);
            scan.take_all(bytes, &mut fields, begin, FieldScan::payload);
        }
        fields
    }

    fn counted(wire: &[u8], piece: usize) -> u64 {
        scanned(wire, piece, false).entries()
    }

    /// True if these trailers have a pseudo-header, whatever the pieces, behind that head.
    fn is_found(head: &[u8], trailers: &[u8]) -> bool {
        let wire = frame(kind::HEADERS, 4, trailers);
        let found: Vec<_> = (1..=wire.len())
            .map(|piece| {
                let mut fields = scanned(&frame(kind::HEADERS, 4, head), 1 << 14, false);
                assert!(!fields.has_pseudo_trailer(), "a head has them");
                let mut scan = FrameScan::new(0);
                for bytes in wire.chunks(piece) {
                    let begin = |fields: &mut FieldScan, frame| fields.begin(frame, true);
                    scan.take_all(bytes, &mut fields, begin, FieldScan::payload);
                }
                fields.has_pseudo_trailer()
            })
            .collect();
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
        found[0]
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

    #[test]
    fn pseudo_headers_of_trailers_are_found_however_they_are_written() {
        for (trailers, why) in [
            (&b"\x84"[..], "a whole field of the static table"),
            (b"\x8e", "its last pseudo-header"),
            (b"\x04\x01/", "a name of it"),
            (b"\x44\x01/", "a name of it, for the table"),
            (b"\x14\x01/", "a name of it, for no table"),
            (b"\x00\x05:path\x01/", "a name in words"),
            (b"\x00\x84\xb9\x58\xd3\x3f\x01/", "the same in the Huffman code"),
            (b"\x40\x01x\x01y\x00\x05:path\x01/", "behind another field"),
            (b"\x3f\xe1\x1f\x84", "behind a size of the table"),
        ] {
            assert!(is_found(b"", trailers), "{why}");
        }
        for (trailers, why) in [
            (&b"\x8f"[..], "a field of the static table"),
            (b"\x0f\x00\x01a", "a name of it"),
            (b"\x00\x05x-end\x05:path", "a value that begins with a colon"),
            (b"\x00\x00\x05:path", "the value of an empty name"),
            (b"\x00\x83\xf2\xb4\xa7\x01/", "another name in the Huffman code"),
            (b"\x24\x3f\x45", "sizes of the table, whose bytes are those of indices"),
        ] {
            assert!(!is_found(b"", trailers), "{why}");
        }
    }

    #[test]
    fn pseudo_headers_of_the_dynamic_table_are_found() {
        let path = b"\x44\x01/";
        let other = b"\x40\x01x\x01y";
        let head = |others: usize| [&path[..], &other.repeat(others)].concat();
        // Whole, by their name, and by their name for the table.
        assert!(is_found(path, b"\xbe") && is_found(path, b"\x0f\x2f\x01/") && is_found(path, b"\x7e\x01/"));
        assert!(!is_found(other, b"\xbe") && !is_found(other, b"\x0f\x2f\x01/"));
        assert!(is_found(&head(1), b"\xbf") && !is_found(&head(1), b"\xbe"));
        // An entry that has the name of one before.
        assert!(is_found(&[&path[..], b"\x7e\x01a", other].concat(), b"\xbf"));
        // The oldest of as many as there may be, on both sides of 64.
        for (others, index) in [(63, &b"\xfd"[..]), (64, b"\xfe"), (65, b"\xff\x00"), (126, b"\xff\x3d")] {
            assert!(is_found(&head(others), index), "{others}");
            assert!(!is_found(&head(others + 1), index) && !is_found(&head(others - 1), index), "{others}");
        }
        assert!(is_found(&head(65), b"\xff\x80\x00"), "zeros do not matter");
    }
}
