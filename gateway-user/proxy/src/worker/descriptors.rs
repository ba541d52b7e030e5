//! Descriptors are the process's: a worker that has none to accept with asks the others for theirs.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often any worker of this process has asked.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// One worker's view of the others' requests for descriptors.
#[derive(Debug)]
pub(super) struct Want {
    seen: u64,
}

impl Want {
    /// Nobody has asked since now.
    pub(super) fn new() -> Self {
        Self { seen: ASKED.load(Ordering::Relaxed) }
    }

    /// True if somebody has asked since the last time.
    pub(super) fn is_new(&mut self) -> bool {
        let asked = ASKED.load(Ordering::Relaxed);
        std::mem::replace(&mut self.seen, asked) != asked
    }
}

/// Asks all workers to give back idle upstream connections; they do so within a fifth of a second.
pub(super) fn ask() {
    ASKED.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_want_is_new_once() {
        let mut want = Want::new();
        ask();
        assert!(want.is_new());
        // Other tests of this process may ask at any time, but not for ever.
        assert!((0..1000).any(|_| !want.is_new()));
    }
}
