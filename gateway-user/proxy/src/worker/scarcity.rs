//! Says in the log that something is scarce, once a minute at most: each refused request is in the access log.

use std::time::{Duration, Instant};

use gateway_io::now;

use crate::metrics::Counters;

/// Between two lines.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Refusals at the time of the last log line.
#[derive(Debug, Default)]
pub(super) struct ScarcityLog {
    told: Option<Instant>,
    share: u64,
    memory: u64,
    client: u64,
}

impl ScarcityLog {
    /// Called every second.
    pub(super) fn look(&mut self, counters: &Counters) {
        let now = now();
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < LOG_INTERVAL) {
            return;
        }
        let Counters { share_refused, memory_refused, client_refused, .. } = *counters;
        let (share, memory) = (share_refused - self.share, memory_refused - self.memory);
        let client = client_refused - self.client;
        if share + memory + client == 0 {
            return;
        }
        *self =
            Self { told: Some(now), share: share_refused, memory: memory_refused, client: client_refused };
        tracing::warn!(
            overload_share = share,
            overload_memory = memory,
            overload_client = client,
            "something is scarce: a worker refused requests that others have to make room for; the access log has their reasons"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_once_a_minute_and_only_of_what_is_new() {
        let mut log = ScarcityLog::default();
        log.look(&Counters::default());
        assert_eq!(log.told, None);
        log.look(&Counters { share_refused: 3, ..Counters::default() });
        let told = log.told;
        assert!(told.is_some());
        log.look(&Counters { share_refused: 9, ..Counters::default() });
        assert_eq!((log.told, log.share), (told, 3), "not again so soon");
        log.told = told.and_then(|told| told.checked_sub(LOG_INTERVAL));
        log.look(&Counters { share_refused: 3, ..Counters::default() });
        assert_ne!(log.told, told, "nothing is new");
        log.look(&Counters { share_refused: 9, ..Counters::default() });
        assert_eq!(log.share, 9);
    }
}
