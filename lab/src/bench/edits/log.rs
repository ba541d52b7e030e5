//! Log lines of published versions, laid beside the events that they follow, by the time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

/// The filter that shows them.
pub(super) const FILTER: &str = "info,gateway_control::reconcile=debug";
/// The log line of a version that all workers have.
const PUBLISHED: &str = "published";
const DAY: Duration = Duration::from_hours(24);

pub(super) fn time_of_day() -> Result<Duration> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Duration::new(since.as_secs() % DAY.as_secs(), since.subsec_nanos()))
}

/// The time of day in a log line, `2026-01-02T03:04:05.678901Z`, if it tells of a version that all workers have.
pub(super) fn published_at(line: &str) -> Option<Duration> {
    let (stamp, rest) = line.split_once(' ')?;
    if !rest.contains(PUBLISHED) {
        return None;
    }
    let (_, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    let mut parts = time.splitn(3, ':');
    let (hours, minutes) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
    let seconds = parts.next()?.parse::<f64>().ok().filter(|seconds| (0.0..61.0).contains(seconds))?;
    Some(Duration::from_secs(3600 * hours + 60 * minutes) + Duration::from_secs_f64(seconds))
}

/// The time that such a line gives for compiling.
pub(super) fn compile_time(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once("compile_us=")?;
    rest.split_whitespace().next()?.parse().ok().map(Duration::from_micros)
}

/// From an event to the first of these times of day that is not before it; midnight may be between.
pub(super) fn first_after(times: &[Duration], event: Duration) -> Option<Duration> {
    let after = |time: &Duration| if *time >= event { *time - event } else { *time + DAY - event };
    times.iter().map(after).min().filter(|after| *after < DAY / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_published_versions_are_read_and_laid_beside_events() {
        let line = "2026-01-02T23:59:59.999000Z DEBUG published generation=3 compile_us=5";
        let at = published_at(line).unwrap();
        assert_eq!((DAY - at).as_micros(), 1000);
        assert_eq!(compile_time(line), Some(Duration::from_micros(5)));
        assert_eq!(published_at(&line.replace(PUBLISHED, "prepared")), None);
        for broken in ["published", "x published", "2026-01-02T23:59Z published", "T1:2:99Z published"] {
            assert_eq!(published_at(broken), None, "{broken}");
        }
        let seconds = Duration::from_secs;
        let times = [seconds(10), seconds(20), seconds(1)];
        assert_eq!(first_after(&times, seconds(10)), Some(seconds(0)));
        assert_eq!(first_after(&times, seconds(11)), Some(seconds(9)));
        assert_eq!(first_after(&times, DAY - seconds(2)), Some(seconds(3)), "midnight");
        assert_eq!(first_after(&times, seconds(21)), None, "that is the day before");
        assert_eq!(first_after(&[], seconds(1)), None);
    }
}
