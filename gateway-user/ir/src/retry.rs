//! Retries of a rule: which attempts are followed by another one, and after which wait.

use serde::{Deserialize, Serialize};

/// `retry` of a rule (GEP-1731): requests are sent again after these statuses, and after connections that fail.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retry {
    /// Statuses that are followed by another attempt, 400 to 599, sorted, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
    /// Attempts beside the first, 1 to [`MAX_ATTEMPTS`](Self::MAX_ATTEMPTS).
    pub attempts: u32,
    /// Milliseconds between the first two attempts at least; later waits are longer.
    pub backoff_ms: u64,
}

/// The part of a backend's requests that retries may be (GEP-3388).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetryBudget {
    /// Hundredths of the requests of an interval, 0 to 100.
    pub percent: u8,
    /// The interval in milliseconds, 1 s to 1 h.
    pub interval_ms: u64,
    /// Retries that are allowed whatever their part is, in each `min_interval_ms`.
    pub min_count: u32,
    /// Milliseconds, up to 1 h.
    pub min_interval_ms: u64,
}

impl Default for RetryBudget {
    /// The budget of XBackendTrafficPolicy's own defaults.
    fn default() -> Self {
        Self { percent: 20, interval_ms: 10_000, min_count: 10, min_interval_ms: 1000 }
    }
}

impl Retry {
    /// Most attempts beside the first.
    pub const MAX_ATTEMPTS: u32 = 10;
    /// The wait of rules that name none, in milliseconds.
    pub const DEFAULT_BACKOFF_MS: u64 = 25;
    /// The longest wait that a rule may name, in milliseconds.
    pub const MAX_BACKOFF_MS: u64 = 60_000;

    /// True if this status is followed by another attempt.
    pub fn has_code(&self, status: u16) -> bool {
        self.codes.binary_search(&status).is_ok()
    }
}
