//! Content of no bytes, taken out of what a backend sends before the `h2` crate sees it: the crate takes 100 of these frames in
//! a connection's life, and a backend that flushes after each message sends one for each. They are counted all the same
//! ([`super::flood`]).

use tokio::io::ReadBuf;

use super::frames::{Frame, HEADER};

/// The filter of one connection.
#[derive(Debug, Default)]
pub(super) struct EmptyDataFilter {
    /// The header of the next frame, as far as it has come.
    header: [u8; HEADER],
    have: usize,
    /// Bytes of a whole header that were passed on.
    passed: usize,
    /// Bytes of the payload that are still to come.
    payload: usize,
}

impl EmptyDataFilter {
    /// Passes bytes on to `buffer`, and gives how many were taken: all of them, or as many as there is room for. A header waits
    /// here until it is whole.
    pub(super) fn pass(&mut self, bytes: &[u8], buffer: &mut ReadBuf<'_>) -> usize {
        let mut rest = bytes;
        loop {
            if self.have == HEADER {
                let header = self.header.get(self.passed..).unwrap_or_default();
                self.passed += put(header, buffer);
                if self.passed < HEADER {
                    break;
                }
                (self.have, self.passed) = (0, 0);
            }
            if self.payload > 0 {
                let piece = rest.get(..self.payload.min(rest.len())).unwrap_or_default();
                let taken = put(piece, buffer);
                self.payload -= taken;
                rest = rest.get(taken..).unwrap_or_default();
                if self.payload > 0 {
                    break;
                }
            }
            let piece = rest.get(..rest.len().min(HEADER - self.have)).unwrap_or_default();
            if let Some(place) = self.header.get_mut(self.have..self.have + piece.len()) {
                place.copy_from_slice(piece);
            }
            self.have += piece.len();
            rest = rest.get(piece.len()..).unwrap_or_default();
            if self.have < HEADER {
                break;
            }
            let frame = Frame::of(self.header);
            match frame.is_nothing() {
                true => self.have = 0,
                false => self.payload = frame.len as usize,
            }
        }
        bytes.len() - rest.len()
    }
}

/// As many bytes as there is room for.
fn put(bytes: &[u8], buffer: &mut ReadBuf<'_>) -> usize {
    let fits = bytes.len().min(buffer.remaining());
    buffer.put_slice(bytes.get(..fits).unwrap_or_default());
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that pass, in pieces and by room of any size.
    fn passed(bytes: &[u8], piece: usize, room: usize) -> Vec<u8> {
        let (mut filter, mut out) = (EmptyDataFilter::default(), Vec::new());
        for mut part in bytes.chunks(piece) {
            loop {
                let mut space = vec![0; room];
                let mut buffer = ReadBuf::new(&mut space);
                let taken = filter.pass(part, &mut buffer);
                out.extend_from_slice(buffer.filled());
                part = &part[taken..];
                if part.is_empty() && buffer.filled().is_empty() {
                    break;
                }
            }
        }
        out
    }

    #[test]
    fn empty_data_is_taken_out_and_nothing_else() {
        let frame = |kind: u8, flags: u8, payload: &[u8]| {
            let mut out = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1];
            out.extend(payload);
            out
        };
        let kept = [
            frame(4, 0, &[]),
            frame(1, 4, b"head"),
            frame(0, 0, b"content"),
            // Its end says something, and so does padding that is not there.
            frame(0, 1, &[]),
            frame(0, 8, &[]),
            frame(0, 8, &[0]),
            frame(9, 0, &[]),
        ];
        let empty = frame(0, 0, &[]);
        let all: Vec<u8> = kept.iter().flat_map(|one| [&empty[..], one, &empty].concat()).collect();
        let want = kept.concat();
        for piece in 1..all.len() {
            for room in [1, 2, 8, 9, 10, 1000] {
                assert_eq!(passed(&all, piece, room), want, "pieces of {piece}, room for {room}");
            }
        }
    }
}
