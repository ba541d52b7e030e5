//! Waiting for a condition instead of for a time.

use std::thread;
use std::time::{Duration, Instant};

/// Longest time that a condition may take before a test fails: far above anything seen, so that a slow
/// machine passes.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

/// Polls `ready` until it gives a value.
///
/// # Panics
/// After [`WAIT_TIMEOUT`], naming `what`.
#[track_caller]
pub fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + WAIT_TIMEOUT;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < end, "gave up waiting for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
