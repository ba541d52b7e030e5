//! Streams on which a client has more to send: HEADERS on one of them are trailers.

use super::frames::{Frame, kind};

/// More than there may be at once. A client whose streams are passed over, because a drain takes no more of them, can
/// leave open as many as it likes.
const MOST: usize = 256;

/// The streams of one connection, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    open: Vec<u32>,
}

impl Uploads {
    /// A frame of the client's, which begins a stream if it `is_new`; true if it begins trailers.
    pub(super) fn received(&mut self, frame: Frame, is_new: bool) -> bool {
        match frame.kind {
            kind::HEADERS if is_new => {
                if !frame.ends_stream() && self.open.len() < MOST {
                    self.open.push(frame.stream);
                }
                false
            }
            kind::HEADERS if frame.ends_stream() => self.end(frame.stream),
            kind::HEADERS => self.open.contains(&frame.stream),
            kind::DATA if frame.ends_stream() => {
                self.end(frame.stream);
                false
            }
            kind::RST_STREAM => {
                self.end(frame.stream);
                false
            }
            _ => false,
        }
    }

    /// A frame for the client.
    pub(super) fn sent(&mut self, frame: Frame) {
        if frame.kind == kind::RST_STREAM {
            self.end(frame.stream);
        }
    }

    /// The end of what comes on a stream; false if nothing was to come.
    fn end(&mut self, stream: u32) -> bool {
        let place = self.open.iter().position(|open| *open == stream);
        place.map(|place| self.open.remove(place)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8) -> Frame {
        Frame::of([0, 0, 0, kind, flags, 0, 0, 0, stream])
    }

    #[test]
    fn headers_behind_a_body_are_trailers() {
        let mut uploads = Uploads::default();
        let mut last = 0;
        for (kind, flags, stream, is_trailers) in [
            (kind::HEADERS, 4, 1, false),
            (kind::HEADERS, 5, 3, false),
            (kind::HEADERS, 4, 5, false),
            (kind::DATA, 0, 1, false),
            (kind::HEADERS, 4, 1, true),
            (kind::HEADERS, 5, 1, true),
            (kind::HEADERS, 5, 1, false),
            (kind::HEADERS, 5, 3, false),
            (kind::DATA, 1, 5, false),
            (kind::HEADERS, 5, 5, false),
            (kind::HEADERS, 4, 7, false),
            (kind::RST_STREAM, 0, 7, false),
            (kind::HEADERS, 5, 7, false),
            (kind::HEADERS, 4, 9, false),
        ] {
            let is_new = kind == kind::HEADERS && stream > last;
            last = last.max(stream);
            let found = uploads.received(frame(kind, flags, stream), is_new);
            assert_eq!(found, is_trailers, "{kind} on {stream}");
        }
        uploads.sent(frame(kind::HEADERS, 5, 9));
        assert_eq!(uploads.open, [9], "a response may end before its request");
        uploads.sent(frame(kind::RST_STREAM, 0, 9));
        assert_eq!(uploads.open, [0; 0]);
    }

    #[test]
    fn streams_without_end_take_little() {
        let mut uploads = Uploads::default();
        for stream in (1..100_000_u32).step_by(2) {
            let [_, b, c, d] = stream.to_be_bytes();
            uploads.received(Frame::of([0, 0, 0, kind::HEADERS, 4, 0, b, c, d]), true);
        }
        assert_eq!(uploads.open.len(), MOST);
    }
}
