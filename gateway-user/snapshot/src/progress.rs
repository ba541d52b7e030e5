//! Progress of a lookup that lets others run on its way.
//!
//! With the default limits one request may have four mebibytes scanned, which is 10 to 50 ms of a worker:
//! long for requests that wait behind it, little for one that takes turns with others.

use crate::RouteMiss;
use crate::pattern::PatternId;

/// Progress of a lookup. It holds nothing of the tables; the verdicts on expressions are in it, since
/// other lookups overwrite the worker's memory of them.
#[derive(Debug)]
pub struct Progress {
    /// The budget of a step, in bytes as `gateway_regex::Matcher::effort` counts them.
    pub(crate) limit: u64,
    pub(crate) verdicts: Vec<(PatternId, bool)>,
    /// Hosts all of whose rules were tried.
    pub(crate) hosts: usize,
    /// Entries of the next one that were tried.
    pub(crate) entries: usize,
    /// Reason why there is no rule so far.
    pub(crate) miss: RouteMiss,
}

impl Progress {
    /// The default budget of a step, in bytes as `gateway_regex::Matcher::effort` counts them: a quarter to
    /// half a millisecond. Ordinary requests never come to its end.
    pub const STEP: u64 = 64 << 10;

    /// The start. The expression that passes `limit`, counted like [`Self::STEP`], ends its step.
    /// Allocates nothing.
    pub fn new(limit: u64) -> Self {
        Self {
            limit: limit.max(1),
            verdicts: Vec::new(),
            hosts: 0,
            entries: 0,
            miss: RouteMiss::NoRouteForHost,
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new(Self::STEP)
    }
}
