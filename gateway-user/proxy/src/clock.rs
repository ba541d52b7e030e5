//! Time: the wall clock as text, formatted once a second per worker, and the worker's own clock for limits.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway_io::{AssertCancelSafe, with_deadline};
pub(crate) use gateway_io::{now, pause};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// `YYYY-MM-DDTHH:MM:SS`.
const RFC3339_SECONDS: usize = 19;
/// IMF-fixdate (RFC 9110 section 5.6.7).
const HTTP_DATE: usize = 29;

/// Waits for `work` at most about `limit`; `None` once that has passed. `work` is dropped then, so it must own no operation.
pub(crate) async fn within<T>(limit: Duration, work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    with_deadline(limit, AssertCancelSafe(work)).await.ok()
}

/// The current second, as the access log and the `Date` field write it.
#[derive(Debug)]
pub(crate) struct Clock {
    now: Cell<Formatted>,
}

#[derive(Clone, Copy, Debug)]
struct Formatted {
    second: u64,
    rfc3339: [u8; RFC3339_SECONDS],
    http: [u8; HTTP_DATE],
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { now: Cell::new(Formatted::at(0)) }
    }

    /// Milliseconds since 1970.
    pub(crate) fn wall_ms() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
    }

    /// The second of `wall_ms` as `YYYY-MM-DDTHH:MM:SS`, in UTC.
    pub(crate) fn rfc3339(&self, wall_ms: u64) -> [u8; RFC3339_SECONDS] {
        self.at(wall_ms / 1000).rfc3339
    }

    /// The current `Date`.
    pub(crate) fn http_date(&self) -> [u8; HTTP_DATE] {
        self.at(Self::wall_ms() / 1000).http
    }

    fn at(&self, second: u64) -> Formatted {
        let cached = self.now.get();
        if cached.second == second {
            return cached;
        }
        let fresh = Formatted::at(second);
        self.now.set(fresh);
        fresh
    }
}

impl Formatted {
    fn at(second: u64) -> Self {
        let time =
            i64::try_from(second).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or_default();
        let mut out =
            Self { second, rfc3339: *b"1970-01-01T00:00:00", http: *b"Thu, 01 Jan 1970 00:00:00 GMT" };
        copy(&mut out.rfc3339, time.to_string().as_bytes());
        if let Ok(text) = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time) {
            copy(&mut out.http, text.as_bytes());
        }
        out
    }
}

/// Copies a prefix of fixed length, or nothing if the text is shorter.
fn copy(to: &mut [u8], from: &[u8]) {
    if let Some(from) = from.get(..to.len()) {
        to.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_as_both_standards_ask() {
        let clock = Clock::new();
        assert_eq!(&clock.rfc3339(784_111_777_000), b"1994-11-06T08:49:37");
        assert_eq!(&clock.at(784_111_777).http, b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&clock.rfc3339(0), b"1970-01-01T00:00:00");
        assert_eq!(clock.at(u64::MAX).http.len(), 29);
    }
}
