//! Verdicts of the kernel programs, summed over all CPUs.

use gateway_common::Verdict;

/// Counts per verdict since the programs were loaded. All zero without kernel programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    counts: [u64; Verdict::COUNT as usize],
}

impl Counters {
    /// Number of packets with this verdict.
    pub fn get(&self, verdict: Verdict) -> u64 {
        self.counts.get(verdict.index() as usize).copied().unwrap_or_default()
    }

    /// Every verdict and its count, in a stable order.
    pub fn iter(&self) -> impl Iterator<Item = (Verdict, u64)> + '_ {
        Verdict::ALL.into_iter().zip(self.counts)
    }

    pub(crate) fn set(&mut self, verdict: Verdict, count: u64) {
        if let Some(entry) = self.counts.get_mut(verdict.index() as usize) {
            *entry = count;
        }
    }
}
