//! The records that the TLS library is shown while it makes a handshake.

use crate::side::Side;

/// The records that the connection is shown of those that are there. Where it makes the handshake alone it must not see what comes
/// behind, so they are shown one by one; but twice as many each time that none is used up: it tries again, and puts together, all
/// that it has seen.
pub(crate) struct Shown {
    /// Bytes that it has seen and not used up.
    pub(crate) kept: usize,
    /// Whole records to be shown behind them.
    more: usize,
    /// Those of the last time.
    step: usize,
}

impl Shown {
    /// To begin with bytes of which so many were seen before.
    pub(crate) fn behind(kept: usize) -> Self {
        Self { kept, more: 1, step: 1 }
    }

    /// The part of `bytes` that is shown now.
    pub(crate) fn part<'a, S: Side>(&mut self, bytes: &'a mut [u8]) -> &'a mut [u8] {
        if !S::HANDSHAKE_ONLY {
            return bytes;
        }
        let mut end = self.kept;
        for _ in 0..std::mem::take(&mut self.more) {
            let Some(length) = record_length(bytes.get(end..).unwrap_or_default()) else { return bytes };
            end += length;
        }
        bytes.get_mut(..end).unwrap_or_default()
    }

    /// Of `seen` bytes so many were used up.
    pub(crate) fn used(&mut self, seen: usize, discard: usize) {
        self.kept = seen.saturating_sub(discard);
        if discard > 0 {
            self.step = 0;
        }
    }

    /// It needs more.
    pub(crate) fn show_more(&mut self) {
        self.step = self.step.saturating_mul(2).max(1);
        self.more = self.step;
    }
}

/// Bytes of all whole records at the front.
pub(crate) fn whole_records(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(length) = record_length(bytes.get(end..).unwrap_or_default()) {
        end += length;
    }
    end
}

/// Bytes of the whole record that is there (RFC 8446 section 5.1: type, version, length, content).
pub(crate) fn record_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, _, _, high, low, content @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            (content.len() >= length).then_some(5 + length)
        }
        _ => None,
    }
}
