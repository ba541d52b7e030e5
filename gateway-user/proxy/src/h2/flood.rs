//! Frames that cost more than they are worth: each kind is counted against the work that was done meanwhile, and a
//! connection beyond its allowance is ended.
//!
//! The `h2` crate bounds some kinds by itself; those that it takes without end are bounded here, and what it resets is
//! counted here too: it gives no number of that. See decision 251 for what was measured.

use super::frames::{Frame, kind};
use super::hpack::FieldScan;
use super::uploads::Uploads;
use super::windows::{self, InitialWindow};

/// Frames of one kind that a connection may send for nothing.
const BASE: u64 = 200;
/// The same a second: keep-alives, and streams that come to nothing.
const PER_SECOND: u64 = 10;
/// Streams that may be reset for an error of the client.
const MAX_ERROR_RESETS: u64 = 100;
/// Streams that may be refused: before our settings have come, a client knows of no bound.
const MAX_REFUSED: u64 = 1_000;
/// Bytes of a response for which a client may widen a window once more.
const BYTES_PER_WINDOW_UPDATE: u64 = 512;

/// Room in the connection's window for which nothing has to wait.
const ROOM: u64 = 16 * 1024;

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
    /// Of these, those of the connection's window while it had room: they let nothing through.
    idle_updates: u64,
    empty_data: u64,
    /// DATA frames with content.
    content: u64,
    unknown: u64,
    fields: FieldScan,
    /// Of a client.
    uploads: Uploads,
    /// Bytes by which the connection's window was widened, and the update that is being read.
    widened: u64,
    update: Number,
    stream_window: InitialWindow,
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
    /// The code of the reset that is being sent.
    code: Number,
    /// A head has begun and is not whole.
    open_head: bool,
    /// The peer takes no more streams.
    going_away: bool,
    /// The highest stream that has begun.
    last_stream: u32,
}

impl Frames {
    pub(super) fn of(peer: Peer) -> Self {
        Self { peer, ..Self::default() }
    }

    /// A frame of the peer's.
    pub(super) fn received(&mut self, frame: Frame) {
        let is_trailers = self.peer == Peer::Client && {
            let is_new = frame.kind == kind::HEADERS && self.begins(frame.stream);
            self.uploads.received(frame, is_new)
        };
        self.fields.begin(frame, is_trailers);
        self.stream_window.begin(frame);
        self.update = Number::default();
        match frame.kind {
            kind::DATA => {
                self.empty_data += u64::from(frame.len == 0 && !frame.ends_stream());
                self.content += u64::from(frame.len > 0);
            }
            kind::HEADERS => {
                self.streams += u64::from(self.peer == Peer::Client);
                self.open_head = !frame.ends_head();
            }
            kind::CONTINUATION => self.open_head = !frame.ends_head(),
            kind::RST_STREAM => self.resets += 1,
            kind::SETTINGS if !frame.is_ack() => self.settings += 1,
            kind::PING if !frame.is_ack() => self.pings += 1,
            kind::PRIORITY => self.priorities += 1,
            kind::WINDOW_UPDATE => {
                self.window_updates += 1;
                if frame.stream == 0 {
                    self.idle_updates += u64::from(self.has_room());
                    self.update = Number::EXPECTED;
                }
            }
            kind::GOAWAY => self.going_away = true,
            kind::SETTINGS | kind::PING | kind::PUSH_PROMISE => {}
            _ => self.unknown += 1,
        }
    }

    /// A piece of its payload.
    pub(super) fn payload(&mut self, bytes: &[u8]) {
        self.fields.payload(bytes);
        self.stream_window.payload(bytes);
        // The first bit is reserved.
        let increment = self.update.take(bytes).map_or(0, |increment| increment & 0x7fff_ffff);
        self.widened = self.widened.saturating_add(u64::from(increment));
    }

    /// True if the connection's window holds nothing up.
    fn has_room(&self) -> bool {
        self.window() >= ROOM
    }

    /// Bytes that the connection's window has room for.
    pub(super) fn window(&self) -> u64 {
        windows::FIRST.saturating_add(self.widened).saturating_sub(self.sent)
    }

    /// Bytes that a new stream's window has room for.
    pub(super) fn stream_window(&self) -> u64 {
        self.stream_window.bytes()
    }

    /// A frame for the peer.
    pub(super) fn sent(&mut self, frame: Frame) {
        match frame.kind {
            kind::DATA => {
                self.sent += u64::from(frame.len);
                self.sent_frames += 1;
            }
            kind::RST_STREAM => {
                self.code = Number::EXPECTED;
                self.uploads.sent(frame);
            }
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
        if let Some(code) = self.code.take(bytes) {
            self.errors += u64::from(code::ERRORS_OF_PEER.contains(&code));
            self.refused += u64::from(code == code::REFUSED_STREAM);
        }
    }

    /// True for the head of a stream that is new: trailers have its number once more.
    fn begins(&mut self, stream: u32) -> bool {
        let is_new = stream > self.last_stream;
        self.last_stream = self.last_stream.max(stream);
        is_new
    }

    /// True once the peer has sent its settings, which come before everything else.
    pub(super) fn has_settings(&self) -> bool {
        self.settings > 0
    }

    /// The peer takes no more streams.
    pub(super) fn takes_no_more(&self) -> bool {
        self.going_away
    }

    /// Streams that were reset for an error of the peer.
    pub(super) fn error_resets(&self) -> u64 {
        self.errors
    }

    /// A head has begun and is not whole: nothing else may come before its rest.
    pub(super) fn has_open_head(&self) -> bool {
        self.open_head
    }

    /// A client's trailers had a pseudo-header: they are malformed (RFC 9113 section 8.1), and the `h2` crate takes it away.
    pub(super) fn has_pseudo_trailer(&self) -> bool {
        self.fields.has_pseudo_trailer()
    }

    /// Streams that we began.
    fn asked(&self) -> u64 {
        if self.peer == Peer::Backend { self.streams } else { 0 }
    }

    /// The kind of which there are too many after so many seconds.
    pub(super) fn flood(&self, seconds: u64) -> Option<Flood> {
        let free = BASE + PER_SECOND.saturating_mul(seconds);
        let streams = self.streams.min(self.served.saturating_add(100));
        let allowances = [
            (self.resets, free + self.served, Flood::Resets),
            // One request of many may have no valid response.
            (self.errors, MAX_ERROR_RESETS.max(self.asked()), Flood::Errors),
            (self.refused, MAX_REFUSED + free + self.served, Flood::Refused),
            (self.settings, free, Flood::Settings),
            // Receivers measure their path with one for each piece that they get, however small: gRPC does so for as long as
            // a call goes on. Who has us cut pieces to nothing does it by its windows, which are bounded.
            (self.pings, free + self.sent_frames, Flood::Pings),
            (self.priorities, free + 4 * streams, Flood::Priorities),
            (
                self.window_updates,
                // grpc-go gives back what it has got before each of those pings.
                free + 2 * streams
                    + self.sent / BYTES_PER_WINDOW_UPDATE
                    + self.idle_updates.min(self.sent_frames),
                Flood::WindowUpdates,
            ),
            // Who flushes after each message sends one for each.
            (self.empty_data, free + streams + self.content, Flood::EmptyData),
            (self.unknown, free + 2 * streams, Flood::Unknown),
            (self.fields.entries(), ENTRIES + ENTRIES_PER_STREAM * streams, Flood::TableEntries),
        ];
        allowances.into_iter().find(|(count, allowed, _)| count > allowed).map(|(.., flood)| flood)
    }
}

/// Codes of resets (RFC 9113 section 7).
mod code {
    /// The stream was not looked at.
    pub(super) const REFUSED_STREAM: u32 = 0x7;
    /// Those that say what the peer did wrong: protocol, flow control, a closed stream, the size of a frame, compression, and
    /// too much of it all. Every other reset is for a reason of ours.
    pub(super) const ERRORS_OF_PEER: [u32; 6] = [0x1, 0x3, 0x5, 0x6, 0x9, 0xb];
}

/// The number that a payload consists of, whose four bytes may come in pieces; none for a frame of another kind.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    value: u32,
    /// Bytes that are to come.
    missing: u8,
}

impl Number {
    const EXPECTED: Self = Self { value: 0, missing: 4 };

    /// Takes a piece of the payload; gives the number once it is whole.
    fn take(&mut self, bytes: &[u8]) -> Option<u32> {
        let missing = usize::from(self.missing);
        for byte in bytes.iter().take(missing) {
            self.value = self.value << 8 | u32::from(*byte);
            self.missing -= 1;
        }
        (missing > 0 && self.missing == 0).then_some(self.value)
    }
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

    fn reset(seen: &mut Frames, code: u32) {
        seen.sent(frame(kind::RST_STREAM, 0, 4));
        // In pieces, as a full queue cuts them.
        let code = code.to_be_bytes();
        seen.sent_payload(&code[..1]);
        seen.sent_payload(&code[1..]);
    }

    #[test]
    fn a_reset_counts_by_its_code() {
        let mut seen = Frames::default();
        for _ in 0..10 * MAX_ERROR_RESETS {
            // Responses that were early, exchanges that broke, clients that left.
            for code in [0x0, 0x2, 0x8, 0xd] {
                reset(&mut seen, code);
            }
        }
        (0..MAX_ERROR_RESETS).for_each(|_| reset(&mut seen, 0x5));
        (0..MAX_REFUSED).for_each(|_| reset(&mut seen, code::REFUSED_STREAM));
        assert_eq!((seen.flood(0), seen.error_resets()), (None, MAX_ERROR_RESETS));
        reset(&mut seen, 0x1);
        assert_eq!(seen.flood(1000), Some(Flood::Errors));
        let mut seen = Frames::default();
        (0..=MAX_REFUSED + BASE).for_each(|_| reset(&mut seen, code::REFUSED_STREAM));
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
    fn small_messages_may_be_measured_one_by_one() {
        // grpc-go gives back what it has got and pings for each message that comes, twenty a second for an hour.
        let mut update = frame(kind::WINDOW_UPDATE, 0, 4);
        update.stream = 0;
        let mut seen = Frames::default();
        for _ in 0..72_000 {
            seen.sent(frame(kind::DATA, 0, 25));
            seen.received(update);
            [&[0, 0][..], &[0, 25]].iter().for_each(|part| seen.payload(part));
            seen.received(frame(kind::PING, 0, 8));
            assert_eq!(seen.flood(0), None);
        }
        // More of them than messages are for nothing.
        for _ in 0..5_000 {
            seen.received(update);
        }
        assert_eq!(seen.flood(0), Some(Flood::WindowUpdates));
        // A window that is full and widened by a byte at a time lets through a frame each, which earns nothing.
        let mut seen = Frames::default();
        seen.sent(frame(kind::DATA, 0, 65_535));
        for _ in 0..1_000 {
            seen.received(update);
            seen.payload(&1_u32.to_be_bytes());
            seen.sent(frame(kind::DATA, 0, 1));
        }
        assert_eq!(seen.flood(0), Some(Flood::WindowUpdates));
    }

    #[test]
    fn messages_may_have_an_empty_frame_behind_each() {
        let seen = after(10_000, &[frame(kind::DATA, 0, 20), frame(kind::DATA, 0, 0)]);
        assert_eq!(seen.flood(0), None);
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
