//! When a growing head is worth another parse.

use memchr::{memchr, memchr_iter};

/// The result of a parse of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Offer the same bytes again with more behind them.
    Incomplete,
    /// The head is whole; the body, or the next message, begins at `consumed`.
    Complete {
        /// Bytes of the head, blank lines before it and the empty line after it included.
        consumed: usize,
    },
}

/// Keeps the work on a head that trickles in proportional to its length: it is parsed at first sight, when
/// its first line has ended, then only when an empty line has come or when it has doubled (so that garbage is
/// still found out).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    seen: usize,
    tried: usize,
    line_ended: bool,
}

impl Scan {
    pub(crate) fn worth_parsing(&mut self, buf: &[u8]) -> bool {
        if buf.len() < self.seen {
            *self = Self::default();
        }
        let first = self.tried == 0;
        let worth =
            first || buf.len() / 2 >= self.tried || self.first_line_ended(buf) || self.new_empty_line(buf);
        self.seen = buf.len();
        if worth {
            self.tried = buf.len();
        }
        worth
    }

    fn first_line_ended(&mut self, buf: &[u8]) -> bool {
        let before = self.line_ended;
        self.line_ended = before || memchr(b'\n', buf.get(self.seen..).unwrap_or_default()).is_some();
        self.line_ended && !before
    }

    /// True if a line end directly behind another one came with the new bytes. A bare LF counts: it is an
    /// error to report.
    fn new_empty_line(&self, buf: &[u8]) -> bool {
        let tail = buf.get(self.seen.saturating_sub(2)..).unwrap_or_default();
        memchr_iter(b'\n', tail).any(|at| {
            let next = tail.get(at + 1..).unwrap_or_default();
            next.starts_with(b"\n") || next.starts_with(b"\r\n")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickling_head_is_parsed_a_logarithmic_number_of_times() {
        let head = [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"x-filler: aaaaaaaaaaaaaaaa\r\n".repeat(1000),
            b"\r\n".to_vec(),
        ]
        .concat();
        let mut scan = Scan::default();
        let parses = (1..=head.len()).filter(|&n| scan.worth_parsing(&head[..n])).count();
        assert!(parses < 20, "{parses} parses");
        let mut again = Scan::default();
        assert!((1..=head.len()).filter(|&n| again.worth_parsing(&head[..n])).any(|n| n == head.len()));
    }

    #[test]
    fn an_empty_line_is_seen_at_every_split() {
        for head in [&b"abcdefghijkl\r\n\r\n"[..], b"abcdefghijkl\n\n", b"abcdefghijkl\n\r\n"] {
            for split in 1..head.len() {
                let mut scan = Scan::default();
                scan.worth_parsing(&head[..split]);
                assert!(scan.worth_parsing(head), "split at {split}");
            }
        }
    }

    #[test]
    fn a_shorter_buffer_starts_anew() {
        let mut scan = Scan::default();
        assert!(scan.worth_parsing(b"GET / HTTP/1.1\r\n"));
        assert!(scan.worth_parsing(b"GET"));
    }
}
