//! Observations of a run, whatever the gateway was started as.

use anyhow::{Error, anyhow};

use super::gateway::Cost;
use super::suite::Run;
use crate::steering::SteeringCounters;

/// A run of the suite, with the gateway's side of it.
pub(super) struct Observed {
    pub(super) run: Run,
    pub(super) counters: SteeringCounters,
    /// Resources that the gateway used, where it is one process.
    pub(super) cost: Option<Cost>,
    /// Reasons for which the run is not valid, beside those of [`Observed::invalid`].
    pub(super) invalid: Vec<Error>,
}

impl Observed {
    /// All reasons for which the run is not valid; `all` says that no test was chosen by name.
    pub(super) fn invalid(&mut self, all: bool) -> Vec<Error> {
        let whole = if self.run.whole { Ok(()) } else { Err(anyhow!("the suite was cut short")) };
        let of_run = [whole, self.counters.judge(all)];
        let mut invalid: Vec<_> = of_run.into_iter().filter_map(Result::err).collect();
        invalid.append(&mut self.invalid);
        invalid
    }
}
