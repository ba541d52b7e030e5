//! Frames that cost more than they are worth: each kind is counted against the work that was done meanwhile, and a
//! connection beyond its allowance is ended.
//!
//! The `h2` crate bounds some kinds by itself; those that it takes without end are bounded here, and what it resets is
//! counted here too: it gives no number of that. See decision 251 for what was measured.

use h2::Reason as Code;

use super::frames::{Frame, kind};
use super::hpack::EntryCount;

/// Frames of one kind that a connection may send for nothing.
const BASE: u64 = 200;
/// The same a second: keep-alives, and streams that come to nothing.
const PER_SECOND: u64 = 10;
/// Streams that may be reset for an error of the client.
const MAX_ERROR_RESETS: u64 = 100;
/// Streams that may be refused: before our settings have come, a client knows of no bound.
const MAX_REFUSED: u64 = 1_000;
/// Empty DATA frames after which a connection gets no more streams.
const EMPTY_DATA_OF_A_LIFE: u64 = 50;
/// Bytes of a response for which a client may widen a window once more.
const BYTES_PER_WINDOW_UPDATE: u64 = 512;

/// Entries of the dynamic table that a head may bring: more than its fields are new with every request to no honest client,
/// and each is one to make and one to evict.
const ENTRIES_PER_STREAM: u64 = 64;
/// The same for nothing: several whole tables of 4 KiB.
const ENTRIES: u64 = 1_000;

/// A kind of frame that was sent too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Streams that the client resets.
    Resets,
    /// Streams that are reset for the client's errors.
    Errors,
    /// Streams beyond those that may be open at once.
    Refused,
    Settings,
    Pings,
    Priorities,
    WindowUpdates,
    EmptyData,
    Unknown,
    /// Entries that heads put into the dynamic table.
    TableEntries,
}

impl Flood {
    /// Its name in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::Errors => "errors",
            Self::Refused => "refused",
            Self::Settings => "settings",
            Self::Pings => "pings",
            Self::Priorities => "priorities",
            Self::WindowUpdates => "window_updates",
            Self::EmptyData => "empty_data",
            Self::Unknown => "unknown_frames",
            Self::TableEntries => "table_entries",
        }
    }
}

/// The peer whose frames are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Peer {
    /// It begins streams.
    #[default]
    Client,
    /// It serves ours.
    Backend,
}

/// The frames of one connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    peer: Peer,
    resets: u64,
    settings: u64,
    pings: u64,
    priorities: u64,
    window_updates: u64,
    empty_data: u64,
    unknown: u64,
    entries: EntryCount,
    /// Streams the client began.
    streams: u64,
    /// Streams that ended with the last byte of a response; of a backend, those that were asked for.
    served: u64,
    /// Bytes of content that were sent, and frames of it.
    sent: u64,
    sent_frames: u64,
    /// Streams that were reset for errors of the peer, and those that were refused.
    errors: u64,
    refused: u64,
    /// Bytes of the code of the reset that is being sent, and what they say so far.
    code_left: u8,
    code: u32,
    /// A head has begun and is not whole.
    open_head: bool,
    /// The peer takes no more streams.
    going_away: bool,
    /// The highest stream that we began.
    last_stream: u32,
}

impl Frames {
    pub(super) fn of(peer: Peer) -> Self {
        Self { peer, ..Self::default() }
    }

    /// A frame of the peer's.
    pub(super) fn received(&mut self, frame: Frame) {
        self.entries.begin(frame);
        match frame.kind {
            kind::DATA => self.empty_data += u64::from(frame.len == 0 && !frame.ends_stream()),
            kind::HEADERS => {
                self.streams += u64::from(self.peer == Peer::Client);
                self.open_head = !frame.ends_head();
            }
            kind::CONTINUATION => self.open_head = !frame.ends_head(),
            kind::RST_STREAM => self.resets += 1,
            kind::SETTINGS if !frame.is_ack() => self.settings += 1,
            kind::PING if !frame.is_ack() => self.pings += 1,
            kind::PRIORITY => self.priorities += 1,
            kind::WINDOW_UPDATE => self.window_updates += 1,
            kind::GOAWAY => self.going_away = true,
            kind::SETTINGS | kind::PING | kind::PUSH_PROMISE => {}
            _ => self.unknown += 1,
        }
    }

    /// A piece of its payload.
    pub(super) fn payload(&mut self, bytes: &[u8]) {
        self.entries.payload(bytes);
    }

    /// A frame for the peer.
    pub(super) fn sent(&mut self, frame: Frame) {
        match frame.kind {
            kind::DATA => {
                self.sent += u64::from(frame.len);
                self.sent_frames += 1;
            }
            kind::RST_STREAM => (self.code_left, self.code) = (4, 0),
            kind::HEADERS if self.peer == Peer::Backend && self.begins(frame.stream) => {
                self.streams += 1;
                self.served += 1;
            }
            _ => {}
        }
        self.served += u64::from(self.peer == Peer::Client && frame.ends_stream());
    }

    /// A piece of the payload of a frame for the peer.
    pub(super) fn sent_payload(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().take(usize::from(self.code_left)) {
            self.code = self.code << 8 | u32::from(*byte);
            self.code_left -= 1;
            if self.code_left == 0 {
                let code = Code::from(self.code);
                self.errors += u64::from(is_error_of_peer(code));
                self.refused += u64::from(code == Code::REFUSED_STREAM);
            }
        }
    }

    /// True for the head of a stream of ours that is new: trailers have its number once more.
    fn begins(&mut self, stream: u32) -> bool {
        let is_new = stream > self.last_stream;
        self.last_stream = self.last_stream.max(stream);
        is_new
    }

    /// True once the peer has sent its settings, which come before everything else.
    pub(super) fn has_settings(&self) -> bool {
        self.settings > 0
    }

    /// The peer takes no more streams, or the `h2` crate would soon end the connection for empty DATA, of which it takes 100
    /// in a connection's life: what is under way ends before that.
    pub(super) fn takes_no_more(&self) -> bool {
        self.going_away || self.empty_data >= EMPTY_DATA_OF_A_LIFE
    }

    /// Streams that were reset for an error of the peer.
    pub(super) fn error_resets(&self) -> u64 {
        self.errors
    }

    /// A head has begun and is not whole: nothing else may come before its rest.
    pub(super) fn has_open_head(&self) -> bool {
        self.open_head
    }

    /// Streams that we began.
    fn asked(&self) -> u64 {
        if self.peer == Peer::Backend { self.streams } else { 0 }
    }

    /// The kind of which there are too many after so many seconds.
    pub(super) fn flood(&self, seconds: u64) -> Option<Flood> {
        let free = BASE + PER_SECOND.saturating_mul(seconds);
        // Full frames of the smallest size are work, whatever a window lets through at once.
        let data = self.sent_frames.min(self.sent / 1024);
        let streams = self.streams.min(self.served.saturating_add(100));
        let allowances = [
            (self.resets, free + self.served, Flood::Resets),
            // One request of many may have no valid response.
            (self.errors, MAX_ERROR_RESETS.max(self.asked()), Flood::Errors),
            (self.refused, MAX_REFUSED + free + self.served, Flood::Refused),
            (self.settings, free, Flood::Settings),
            // Senders measure their path with one for each piece that they receive.
            (self.pings, free + data, Flood::Pings),
            (self.priorities, free + 4 * streams, Flood::Priorities),
            (
                self.window_updates,
                free + 2 * streams + self.sent / BYTES_PER_WINDOW_UPDATE,
                Flood::WindowUpdates,
            ),
            (self.empty_data, free + streams, Flood::EmptyData),
            (self.unknown, free + 2 * streams, Flood::Unknown),
            (self.entries.entries(), ENTRIES + ENTRIES_PER_STREAM * streams, Flood::TableEntries),
        ];
        allowances.into_iter().find(|(count, allowed, _)| count > allowed).map(|(.., flood)| flood)
    }
}

/// True for codes that say what the peer did wrong (RFC 9113 section 7): every other reset is for a reason of ours.
fn is_error_of_peer(code: Code) -> bool {
    [
        Code::PROTOCOL_ERROR,
        Code::FLOW_CONTROL_ERROR,
        Code::STREAM_CLOSED,
        Code::FRAME_SIZE_ERROR,
        Code::COMPRESSION_ERROR,
        Code::ENHANCE_YOUR_CALM,
    ]
    .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::super::frames::FrameScan;
    use super::*;

    fn frame(kind: u8, flags: u8, len: u32) -> Frame {
        let mut header = len.to_be_bytes();
        header.rotate_left(1);
        let mut found = None;
        let wire = [header[0], header[1], header[2], kind, flags, 0, 0, 0, 1];
        FrameScan::new(0).take(&wire, |frame| found = Some(frame));
        found.unwrap()
    }

    fn after(times: u64, frames: &[Frame]) -> Frames {
        let mut seen = Frames::default();
        for _ in 0..times {
            frames.iter().for_each(|frame| seen.received(*frame));
        }
        seen
    }

    #[test]
    fn each_kind_has_its_bound() {
        let cases = [
            (kind::RST_STREAM, 4, Flood::Resets),
            (kind::SETTINGS, 6, Flood::Settings),
            (kind::PING, 8, Flood::Pings),
            (kind::PRIORITY, 5, Flood::Priorities),
            (kind::WINDOW_UPDATE, 4, Flood::WindowUpdates),
            (kind::DATA, 0, Flood::EmptyData),
            (0xee, 10, Flood::Unknown),
        ];
        for (kind, len, flood) in cases {
            assert_eq!(after(BASE, &[frame(kind, 0, len)]).flood(0), None, "{flood:?}");
            assert_eq!(after(BASE + 1, &[frame(kind, 0, len)]).flood(0), Some(flood));
            assert_eq!(after(BASE + 1, &[frame(kind, 0, len)]).flood(1), None, "{flood:?} a second later");
        }
        let acks = after(10_000, &[frame(kind::SETTINGS, 1, 0), frame(kind::PING, 1, 8)]);
        assert_eq!(acks.flood(0), None);
    }

    fn reset(seen: &mut Frames, code: Code) {
        seen.sent(frame(kind::RST_STREAM, 0, 4));
        // In pieces, as a full queue cuts them.
        let code = u32::from(code).to_be_bytes();
        seen.sent_payload(&code[..1]);
        seen.sent_payload(&code[1..]);
    }

    #[test]
    fn a_reset_counts_by_its_code() {
        let mut seen = Frames::default();
        for _ in 0..10 * MAX_ERROR_RESETS {
            // Responses that were early, exchanges that broke, clients that left.
            for code in [Code::NO_ERROR, Code::INTERNAL_ERROR, Code::CANCEL, Code::HTTP_1_1_REQUIRED] {
                reset(&mut seen, code);
            }
        }
        (0..MAX_ERROR_RESETS).for_each(|_| reset(&mut seen, Code::STREAM_CLOSED));
        (0..MAX_REFUSED).for_each(|_| reset(&mut seen, Code::REFUSED_STREAM));
        assert_eq!((seen.flood(0), seen.error_resets()), (None, MAX_ERROR_RESETS));
        reset(&mut seen, Code::PROTOCOL_ERROR);
        assert_eq!(seen.flood(1000), Some(Flood::Errors));
        let mut seen = Frames::default();
        (0..=MAX_REFUSED + BASE).for_each(|_| reset(&mut seen, Code::REFUSED_STREAM));
        assert_eq!(seen.flood(0), Some(Flood::Refused));
        // What DATA holds is no code.
        seen.sent(frame(kind::DATA, 0, 4));
        seen.sent_payload(&[0, 0, 0, 1]);
        assert_eq!(seen.error_resets(), 0);
    }

    #[test]
    fn work_earns_more() {
        // One of each for every stream of 20 KB that was served.
        let mut seen = Frames::default();
        for _ in 0..100_000 {
            seen.received(frame(kind::HEADERS, 5, 50));
            seen.received(frame(kind::RST_STREAM, 0, 4));
            seen.received(frame(kind::PRIORITY, 0, 5));
            (0..2).for_each(|_| seen.received(frame(kind::WINDOW_UPDATE, 0, 4)));
            seen.received(frame(kind::PING, 0, 8));
            seen.sent(frame(kind::DATA, 0, 16_384));
            seen.sent(frame(kind::DATA, 1, 4_000));
        }
        assert_eq!(seen.flood(0), None);
        // A window widened by a byte at a time is no work.
        let mut seen = Frames::default();
        for _ in 0..1_000 {
            seen.received(frame(kind::WINDOW_UPDATE, 0, 4));
            seen.sent(frame(kind::DATA, 0, 1));
        }
        assert_eq!(seen.flood(0), Some(Flood::WindowUpdates));
    }

    #[test]
    fn honest_clients_stay_far_below() {
        // grpc-go pings every ten seconds, for a day, and measures its path by a ping for each piece that it gets.
        let mut seen = after(8_640, &[frame(kind::PING, 0, 8)]);
        assert_eq!(seen.flood(86_400), None);
        for _ in 0..100_000 {
            seen.sent(frame(kind::DATA, 0, 1_100));
            seen.received(frame(kind::PING, 0, 8));
        }
        assert_eq!(seen.flood(86_400), None);
        // Java widens the windows of a stream and of its connection for every frame that it takes, 2 GB of them.
        let mut seen = Frames::default();
        for _ in 0..(2_u64 << 30) / 16_384 {
            seen.sent(frame(kind::DATA, 0, 16_384));
            (0..2).for_each(|_| seen.received(frame(kind::WINDOW_UPDATE, 0, 4)));
            assert_eq!(seen.flood(0), None);
        }
        // Messages of twenty bytes are no frames for nothing, however many.
        assert_eq!(after(1_000_000, &[frame(kind::DATA, 0, 20)]).flood(0), None);
    }

    #[test]
    fn entries_of_the_table_are_bound_to_streams() {
        let entries = |heads: u64, each: usize| {
            let mut seen = Frames::default();
            for _ in 0..heads {
                seen.received(frame(kind::HEADERS, 5, 3 * each as u32));
                seen.payload(&b"\x7e\x01v".repeat(each));
                seen.sent(frame(kind::DATA, 1, 100));
            }
            seen.flood(1_000)
        };
        assert_eq!(entries(10_000, ENTRIES_PER_STREAM as usize), None);
        assert_eq!(entries(20, 200), Some(Flood::TableEntries));
    }

    #[test]
    fn a_head_that_is_not_whole_is_known() {
        let mut seen = after(1, &[frame(kind::HEADERS, 1, 50)]);
        assert!(seen.has_open_head());
        seen.received(frame(kind::CONTINUATION, 0, 5));
        assert!(seen.has_open_head());
        seen.received(frame(kind::CONTINUATION, 4, 5));
        assert!(!seen.has_open_head());
    }
}
