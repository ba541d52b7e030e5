//! Proof that the kernel programs steered connections.

use anyhow::{Result, ensure};

use crate::metrics::Page;

/// Counters of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SteeringCounters {
    /// Connections that workers accepted.
    pub(crate) accepted: u64,
    /// Connections that `sk_lookup` handed to the workers.
    pub(crate) steered: u64,
}

impl SteeringCounters {
    /// Reads them from what `/metrics` says; a counter that is not there has counted nothing.
    pub(crate) fn read(page: &Page) -> Self {
        let steered = ["program=\"sk_lookup\"", "verdict=\"steered\""];
        Self {
            accepted: page.series("sluice_accepted_total", &[]) as u64,
            steered: page.series("sluice_steering_verdicts_total", &steered) as u64,
        }
    }

    /// An error if a connection was accepted that no program steered, or, where traffic was tested, if
    /// there was none.
    pub(crate) fn judge(self, traffic: bool) -> Result<()> {
        let Self { accepted, steered } = self;
        ensure!(
            steered >= accepted,
            "{accepted} connections were accepted and only {steered} steered by the kernel programs"
        );
        ensure!(accepted > 0 || !traffic, "no connection was accepted, so no traffic was tested");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_connection_must_have_been_steered() {
        let metrics = "# TYPE sluice_accepted counter\n\
            sluice_accepted_total 7\n\
            sluice_accepted_total_other 9\n\
            sluice_steering_verdicts_total{program=\"sk_lookup\",verdict=\"steered\"} 8\n\
            sluice_steering_verdicts_total{program=\"sk_lookup\",verdict=\"not_ours\"} 50\n";
        let counters = SteeringCounters::read(&Page::from(metrics.to_owned()));
        assert_eq!(counters, SteeringCounters { accepted: 7, steered: 8 });
        counters.judge(true).unwrap();
        assert!(SteeringCounters { accepted: 7, steered: 6 }.judge(true).is_err());
        assert!(SteeringCounters::default().judge(true).is_err(), "nothing was tested");
        SteeringCounters::default().judge(false).unwrap();
    }
}
