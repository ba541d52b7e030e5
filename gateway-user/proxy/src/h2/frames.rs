//! Frame headers in a stream of bytes (RFC 9113 section 4.1), without their payloads.

/// Bytes of a frame header.
pub(super) const HEADER: usize = 9;

/// The types of frames (RFC 9113 section 6); every other value is an extension's.
pub(super) mod kind {
    pub(in crate::h2) const DATA: u8 = 0;
    pub(in crate::h2) const HEADERS: u8 = 1;
    pub(in crate::h2) const PRIORITY: u8 = 2;
    pub(in crate::h2) const RST_STREAM: u8 = 3;
    pub(in crate::h2) const SETTINGS: u8 = 4;
    pub(in crate::h2) const PUSH_PROMISE: u8 = 5;
    pub(in crate::h2) const PING: u8 = 6;
    pub(in crate::h2) const GOAWAY: u8 = 7;
    pub(in crate::h2) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::h2) const CONTINUATION: u8 = 9;
}

/// DATA, HEADERS: nothing follows on the stream.
const END_STREAM: u8 = 0x1;
/// DATA, HEADERS: the payload begins with the length of its padding.
const PADDED: u8 = 0x8;
/// SETTINGS, PING: a response to one of ours.
const ACK: u8 = 0x1;
/// HEADERS, CONTINUATION: the head is whole.
const END_HEADERS: u8 = 0x4;

/// A frame as its header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    flags: u8,
    /// Bytes of payload, padding included.
    pub(super) len: u32,
    pub(super) stream: u32,
}

impl Frame {
    pub(super) fn of(header: [u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = header;
        Self {
            kind,
            flags,
            len: u32::from_be_bytes([0, a, b, c]),
            // The first bit is reserved.
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    pub(super) fn is_ack(self) -> bool {
        matches!(self.kind, kind::SETTINGS | kind::PING) && self.flags & ACK != 0
    }

    /// True for content of no bytes that ends nothing, as the `h2` crate counts it.
    pub(super) fn is_nothing(self) -> bool {
        self.kind == kind::DATA && self.len == 0 && self.flags & (END_STREAM | PADDED) == 0
    }

    pub(super) fn ends_stream(self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn ends_head(self) -> bool {
        matches!(self.kind, kind::HEADERS | kind::CONTINUATION) && self.flags & END_HEADERS != 0
    }
}

/// Finds frame headers in bytes that come in pieces of any size.
#[derive(Debug)]
pub(super) struct FrameScan {
    header: [u8; HEADER],
    have: usize,
    /// Bytes of the preface, or of a payload, that are still to come.
    skip: usize,
}

impl FrameScan {
    /// For a direction that begins with `preface` bytes which are no frame.
    pub(super) fn new(preface: usize) -> Self {
        Self { header: [0; HEADER], have: 0, skip: preface }
    }

    /// Takes the next bytes; calls `on` for each frame whose header is whole.
    #[cfg(test)]
    pub(super) fn take(&mut self, bytes: &[u8], on: impl FnMut(Frame)) {
        let mut on = on;
        self.take_all(bytes, &mut (), |(), frame| on(frame), |(), _| {});
    }

    /// Takes the next bytes; calls `on` for each frame whose header is whole, and then `payload` for the pieces of its
    /// payload as they come.
    pub(super) fn take_all<T: ?Sized>(
        &mut self,
        bytes: &[u8],
        to: &mut T,
        mut on: impl FnMut(&mut T, Frame),
        mut payload: impl FnMut(&mut T, &[u8]),
    ) {
        let mut rest = bytes;
        loop {
            let skipped = self.skip.min(rest.len());
            self.skip -= skipped;
            let (piece, behind) = rest.split_at_checked(skipped).unwrap_or_default();
            if !piece.is_empty() {
                payload(to, piece);
            }
            rest = behind;
            let needed = HEADER - self.have;
            let Some((now, later)) = rest.split_at_checked(needed) else {
                if let Some(place) = self.header.get_mut(self.have..self.have + rest.len()) {
                    place.copy_from_slice(rest);
                    self.have += rest.len();
                }
                return;
            };
            if let Some(place) = self.header.get_mut(self.have..) {
                place.copy_from_slice(now);
            }
            let frame = Frame::of(self.header);
            (self.have, self.skip, rest) = (0, frame.len as usize, later);
            on(to, frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend([kind, flags]);
        out.extend((stream | 0x8000_0000).to_be_bytes());
        out.extend(payload);
        out
    }

    #[test]
    fn every_split_gives_the_same_frames() {
        let mut wire = b"preface".to_vec();
        wire.extend(frame(kind::HEADERS, 5, 1, b"abc"));
        wire.extend(frame(kind::PING, 1, 0, &[0; 8]));
        wire.extend(frame(kind::SETTINGS, 0, 0, b""));
        wire.extend(frame(kind::DATA, 0, 3, &[1; 300]));
        let want = [(kind::HEADERS, 1, 3), (kind::PING, 0, 8), (kind::SETTINGS, 0, 0), (kind::DATA, 3, 300)];
        for at in 0..wire.len() {
            let mut scan = FrameScan::new(7);
            let mut found = Vec::new();
            let (front, back) = wire.split_at(at);
            for part in [front, back] {
                scan.take(part, |frame| found.push(frame));
            }
            let seen: Vec<_> = found.iter().map(|f| (f.kind, f.stream, f.len)).collect();
            assert_eq!(seen, want, "split at {at}");
            assert!(found[0].ends_stream() && found[0].ends_head() && found[1].is_ack());
            assert!(!found[1].ends_stream() && !found[2].is_ack() && !found[3].ends_stream());
        }
    }
}
