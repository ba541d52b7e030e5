//! Lines on their way to the log, a batch at a time: the worker never waits for a disk.

use std::mem;

use super::Record;
use crate::clock::Clock;

/// Lines are handed over once this many bytes are waiting, or when the flush timer says so.
const BATCH_BYTES: usize = 32 * 1024;

/// The worker's unsent lines.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    lines: Vec<u8>,
    count: u64,
}

impl Batch {
    /// Appends a record's line; true once the batch is worth handing over.
    pub(crate) fn push(&mut self, record: &Record<'_>, clock: &Clock) -> bool {
        record.write(&mut self.lines, &clock.rfc3339(record.start_ms));
        self.count += 1;
        self.lines.len() >= BATCH_BYTES
    }

    /// Offers the waiting lines to `push`, which gives them back if it has no room. Returns the number of lines lost.
    ///
    /// A refused batch is dropped: keeping it would trade bounded memory for a log that is late for good.
    pub(crate) fn flush(&mut self, push: impl FnOnce(Vec<u8>) -> Result<(), Vec<u8>>) -> u64 {
        if self.lines.is_empty() {
            return 0;
        }
        let count = mem::take(&mut self.count);
        let lines = mem::replace(&mut self.lines, Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 4));
        match push(lines) {
            Ok(()) => 0,
            Err(mut refused) => {
                refused.clear();
                self.lines = refused;
                count
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_lines_are_counted_and_their_memory_kept() {
        let mut batch = Batch { lines: b"{}\n{}\n".to_vec(), count: 2 };
        assert_eq!(batch.flush(Err), 2);
        assert!(batch.lines.is_empty() && batch.lines.capacity() >= 6);
        assert_eq!(batch.flush(|_| panic!("nothing to push")), 0);
        batch.lines.extend_from_slice(b"{}\n");
        batch.count = 1;
        let mut seen = Vec::new();
        assert_eq!(
            batch.flush(|lines| {
                seen = lines;
                Ok(())
            }),
            0
        );
        assert_eq!(seen, b"{}\n");
    }
}
