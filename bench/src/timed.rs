//! Exchanges that are made one after the other for so long: their counts and times.

use std::time::Duration;

use anyhow::{Error, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// An exchange that takes longer has failed.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Counts and times of a run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimedReport {
    /// Exchanges that came to the end that they must have.
    pub done: u64,
    /// All others.
    pub failed: u64,
    /// How one of them failed.
    pub failure: Option<String>,
    /// Length of the run in seconds.
    pub seconds: f64,
    /// Median of their times in microseconds.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
}

/// The exchanges of one client, or of several.
pub(crate) struct Counts {
    /// Microseconds of each that was made, with three digits.
    times: Histogram<u64>,
    failed: u64,
    failure: Option<String>,
}

impl Counts {
    pub(crate) fn new() -> Result<Self> {
        let most = u64::try_from(3 * TIMEOUT.as_micros())?;
        Ok(Self { times: Histogram::new_with_max(most, 3)?, failed: 0, failure: None })
    }

    /// Counts one that took so long.
    pub(crate) fn add(&mut self, time: Duration) {
        self.times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts one that failed.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.failed += 1;
        self.failure.get_or_insert_with(|| format!("{error:#}"));
    }

    /// Adds those of another client.
    pub(crate) fn merge(&mut self, other: Self) -> Result<()> {
        self.times.add(other.times)?;
        self.failed += other.failed;
        self.failure = self.failure.take().or(other.failure);
        Ok(())
    }

    /// The report of a run that took so long.
    pub(crate) fn report(&self, took: Duration) -> TimedReport {
        TimedReport {
            done: self.times.len(),
            failed: self.failed,
            failure: self.failure.clone(),
            seconds: took.as_secs_f64(),
            p50_us: self.times.value_at_quantile(0.5),
            p99_us: self.times.value_at_quantile(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn clients_are_added_up() {
        let (mut one, mut other) = (Counts::new().unwrap(), Counts::new().unwrap());
        one.add(Duration::from_micros(100));
        other.add(Duration::from_micros(900));
        other.add(Duration::from_secs(1000));
        other.fail(&anyhow!("reset"));
        other.fail(&anyhow!("closed"));
        one.merge(other).unwrap();
        let report = one.report(Duration::from_secs(2));
        assert_eq!((report.done, report.failed, report.failure.as_deref()), (3, 2, Some("reset")));
        assert_eq!((report.p50_us, report.seconds), (900, 2.0));
        assert!(report.p99_us >= 30_000_000, "the longest counts as the longest that can be: {report:?}");
    }
}
