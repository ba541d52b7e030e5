//! A sign on disk that the copy is served: a process that starts knows by it whether the one before was killed a moment ago.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The sign is given so often.
const INTERVAL: Duration = Duration::from_secs(5);
/// A process was there a moment ago if it gave its sign no longer before.
const FRESH: Duration = Duration::from_secs(15);

/// True if a process of this node served what the copy has until a moment ago: then the copy is no older than what clients had.
pub(in super::super) fn was_served_lately(copy: &Path) -> bool {
    let signed = fs::metadata(path(copy)).and_then(|metadata| metadata.modified());
    // A time to come, of a clock that was set, says nothing.
    signed.is_ok_and(|signed| signed.elapsed().is_ok_and(|since| since < FRESH))
}

/// The file whose time says until when the copy was served.
fn path(copy: &Path) -> PathBuf {
    copy.with_extension("served")
}

/// The signs of one process.
#[derive(Debug, Default)]
pub(super) struct Sign {
    next: Option<Instant>,
}

impl Sign {
    /// Begins, once there is a copy of this process.
    pub(super) fn begin(&mut self, now: Instant) {
        self.next.get_or_insert(now);
    }

    /// Time for the next one.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Gives a sign, if it is time.
    pub(super) fn give(&mut self, copy: &Path, now: Instant) {
        if self.next.is_some_and(|next| now >= next) {
            // Without it a process that starts waits longer for its controller.
            let _ = fs::write(path(copy), []);
            self.next = Some(now + INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use gateway_testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn a_sign_is_believed_until_it_is_old_and_not_if_it_is_of_a_time_to_come() {
        let dir = Scratch::new("sign").unwrap();
        let (copy, begun) = (dir.join("copy"), Instant::now());
        let mut sign = Sign::default();
        sign.give(&copy, begun);
        assert!(!was_served_lately(&copy), "there is no copy of this process");
        sign.begin(begun);
        sign.give(&copy, begun);
        assert!(was_served_lately(&copy));
        assert_eq!(sign.next(), Some(begun + INTERVAL));
        let file = fs::File::options().write(true).open(path(&copy)).unwrap();
        let now = SystemTime::now();
        for (at, lately) in [(now - FRESH, false), (now - FRESH / 2, true), (now + FRESH, false)] {
            file.set_modified(at).unwrap();
            assert_eq!(was_served_lately(&copy), lately, "{at:?}");
        }
        sign.give(&copy, begun + INTERVAL);
        assert!(was_served_lately(&copy));
    }
}
