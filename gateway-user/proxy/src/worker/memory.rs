//! When a worker gives memory back.

use gateway_io::give_back_free_memory;

/// Connections whose end is worth a look at the memory they had: about two megabytes.
const TRIM_THRESHOLD: u64 = 1000;

/// Peaks of a worker since it last gave memory back.
#[derive(Debug, Default)]
pub(super) struct MemoryTrimmer {
    connections: u64,
}

impl MemoryTrimmer {
    /// Called every second: gives a crowd's memory up once most of it has gone.
    pub(super) fn look(&mut self, connections: u64) {
        if self.has_gone(connections) {
            give_back_free_memory();
        }
    }

    /// True if most of a crowd has gone since the last time; half of the rest is the next crowd.
    fn has_gone(&mut self, connections: u64) -> bool {
        self.connections = self.connections.max(connections);
        let gone = self.connections >= TRIM_THRESHOLD && connections <= self.connections / 2;
        if gone {
            self.connections = connections;
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_goes_once_and_its_rest_counts_anew() {
        let mut water = MemoryTrimmer::default();
        let seen: Vec<bool> =
            [0, 999, 0, 8000, 7000, 4000, 4000, 2000, 600, 0, 0].map(|count| water.has_gone(count)).into();
        let gone: Vec<usize> = (0..seen.len()).filter(|at| seen[*at]).collect();
        assert_eq!(gone, [5, 7, 8], "half, half of that, and half of that");
    }
}
