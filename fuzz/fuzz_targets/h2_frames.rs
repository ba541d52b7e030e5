//! Frames of HTTP/2 as the gateway looks at them: in pieces of any size they are those of a reader that has all bytes at
//! once, so are the entries that heads bring into HPACK's table and the pseudo-headers in blocks where none may be, and
//! what is bounded is never allowed more by less work.
//!
//! The first byte is the size of a piece; its highest bit asks for frames of which the reader of entries has to make sense.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The files themselves: they are the data plane's own, which has no other use for a name outside.
#[allow(dead_code)]
#[path = "../../gateway-user/proxy/src/h2"]
mod h2 {
    mod flood;
    mod fragments;
    mod frames;
    mod hpack;
    mod uploads;
    mod windows;

    use flood::{Frames, Peer};
    use frames::{Frame, FrameScan};
    use hpack::FieldScan;

    /// Frames as kind, length and stream, entries, and whether a block has a pseudo-header.
    type Seen = (Vec<(u8, u32, u32)>, (u64, bool));

    /// Every block is taken for trailers.
    pub(super) fn scanned(bytes: &[u8], piece: usize) -> Seen {
        let mut seen = (Vec::new(), FieldScan::default());
        let mut scan = FrameScan::new(0);
        let on = |seen: &mut (Vec<(u8, u32, u32)>, FieldScan), frame: Frame| {
            seen.0.push((frame.kind, frame.len, frame.stream));
            seen.1.begin(frame, true);
        };
        for part in bytes.chunks(piece.max(1)) {
            scan.take_all(part, &mut seen, on, |seen, bytes| seen.1.payload(bytes));
        }
        (seen.0, (seen.1.entries(), seen.1.has_pseudo_trailer()))
    }

    /// More seconds never make a flood of what was none.
    pub(super) fn time_allows(bytes: &[u8]) {
        for peer in [Peer::Client, Peer::Backend] {
            let mut frames = Frames::of(peer);
            let mut scan = FrameScan::new(0);
            scan.take_all(
                bytes,
                &mut frames,
                |frames, frame| frames.received(frame),
                |frames, bytes| frames.payload(bytes),
            );
            let mut kinds =
                [0, 1, 60, 3_600, 1 << 40].map(|seconds| frames.flood(seconds).is_some()).into_iter();
            assert!(!kinds.by_ref().skip_while(|flood| *flood).any(|flood| flood));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let bytes = if first & 0x80 == 0 { rest.to_vec() } else { framed(rest) };
    let piece = usize::from(first & 0x7f) + 1;
    let want = (model::frames(&bytes), model::fields(&bytes));
    assert_eq!(h2::scanned(&bytes, piece), want);
    assert_eq!(h2::scanned(&bytes, bytes.len()), want);
    h2::time_allows(&bytes);
});

/// A head in frames: a byte of flags and one of length, then the payload.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut kind = 1;
    while let [flags, length, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        out.extend([0, 0, payload.len() as u8, kind, *flags, 0, 0, 0, 1]);
        out.extend(payload);
        kind = if flags & 4 == 0 { 9 } else { 1 };
        bytes = rest;
    }
    out
}

/// A reader that has everything at once.
mod model {
    pub(super) fn frames(bytes: &[u8]) -> Vec<(u8, u32, u32)> {
        all(bytes).into_iter().map(|(kind, _, length, stream, _)| (kind, length, stream)).collect()
    }

    /// Kind, flags, length, stream and as much of the payload as there is.
    fn all(mut bytes: &[u8]) -> Vec<(u8, u8, u32, u32, &[u8])> {
        let mut out = Vec::new();
        while bytes.len() >= 9 {
            let length = u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2]);
            let stream = u32::from_be_bytes([bytes[5] & 0x7f, bytes[6], bytes[7], bytes[8]]);
            let end = (9 + length as usize).min(bytes.len());
            out.push((bytes[3], bytes[4], length, stream, &bytes[9..end]));
            bytes = &bytes[end..];
        }
        out
    }

    /// Literals with incremental indexing (RFC 7541 section 6.2.1) in all field blocks, and whether there is a pseudo-header:
    /// each block is put together first.
    pub(super) fn fields(bytes: &[u8]) -> (u64, bool) {
        let mut blocks: Vec<Vec<u8>> = vec![Vec::new()];
        for (kind, flags, length, _, payload) in all(bytes) {
            let (mut from, mut padding) = (0, 0);
            match kind {
                1 => {
                    blocks.push(Vec::new());
                    if flags & 0x8 != 0 {
                        from = 1;
                        padding = payload.first().map_or(0, |length| usize::from(*length));
                    }
                    from += if flags & 0x20 != 0 { 5 } else { 0 };
                }
                9 => {}
                _ => continue,
            }
            let end = (length as usize).saturating_sub(padding).min(payload.len());
            let fields = payload.get(from..end).unwrap_or_default();
            blocks.last_mut().expect("one at least").extend(fields);
        }
        let mut fields = Fields::default();
        for (n, block) in blocks.iter().enumerate() {
            // A block that is cut ends early.
            let _ = fields.read(block);
            // The first has no HEADERS.
            fields.has_pseudo &= n > 0;
        }
        (fields.entries, fields.has_pseudo)
    }

    #[derive(Default)]
    struct Fields {
        entries: u64,
        has_pseudo: bool,
        /// The dynamic table that drops nothing: whether each entry is a pseudo-header.
        table: Vec<bool>,
    }

    impl Fields {
        fn read(&mut self, mut block: &[u8]) -> Option<()> {
            while let Some((&first, _)) = block.split_first() {
                let (bits, has_value) = match first {
                    0x80.. => (7, false),
                    0x40.. => (6, true),
                    0x20.. => (5, false),
                    _ => (4, true),
                };
                let adds = (0x40..0x80).contains(&first);
                self.entries += u64::from(adds);
                let (index, mut rest) = integer(block, bits)?;
                if index > 0 && bits != 5 {
                    self.named(self.is_pseudo(index), adds);
                } else if has_value {
                    let (length, name) = integer(rest, 7)?;
                    let is_huffman = rest[0] & 0x80 != 0;
                    let is_pseudo = length > 0
                        && match is_huffman {
                            true => name.first()? >> 1 == 0x5c,
                            false => *name.first()? == b':',
                        };
                    self.named(is_pseudo, adds);
                    rest = name.get(usize::try_from(length).ok()?..)?;
                }
                if has_value {
                    let (length, value) = integer(rest, 7)?;
                    rest = value.get(usize::try_from(length).ok()?..)?;
                }
                block = rest;
            }
            Some(())
        }

        fn named(&mut self, is_pseudo: bool, adds: bool) {
            self.has_pseudo |= is_pseudo;
            if adds {
                self.table.push(is_pseudo);
            }
        }

        /// No table holds more than 128 entries, of 32 bytes at least each.
        fn is_pseudo(&self, index: u64) -> bool {
            match index {
                0..=14 => true,
                15..=61 => false,
                _ => {
                    let age = usize::try_from(index - 62).ok().filter(|age| *age < 128);
                    age.and_then(|age| self.table.iter().rev().nth(age)).is_some_and(|is_pseudo| *is_pseudo)
                }
            }
        }
    }

    /// An integer with a prefix of so many bits (RFC 7541 section 5.1), and what follows; beyond 32 bits it is the largest.
    fn integer(bytes: &[u8], bits: u32) -> Option<(u64, &[u8])> {
        let (&first, mut rest) = bytes.split_first()?;
        let most = (1_u64 << bits) - 1;
        let mut value = u64::from(first) & most;
        if value == most {
            let mut shift = 0_u32;
            loop {
                let (&byte, behind) = rest.split_first()?;
                rest = behind;
                let more = u64::from(byte & 0x7f) << shift.min(56);
                value = value.saturating_add(more).min(u64::from(u32::MAX));
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
        }
        Some((value, rest))
    }
}
