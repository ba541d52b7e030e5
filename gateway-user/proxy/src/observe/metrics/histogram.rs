//! Histograms with fixed bounds: an array of counts, a sum, no lock.

/// Most bounds that a histogram may have.
const MAX_BOUNDS: usize = 15;

/// Upper bounds for durations in microseconds: those that OpenTelemetry advises for
/// `http.server.request.duration` (semantic conventions, HTTP metrics).
pub const DURATION_BOUNDS_US: &[u64] = &[
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000,
    5_000_000, 7_500_000, 10_000_000,
];

/// Upper bounds for body sizes in bytes.
pub const SIZE_BOUNDS: &[u64] =
    &[0, 128, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864, 268_435_456];

/// Counts of values by bound, with their sum; the unit is that of the bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: [u64; MAX_BOUNDS + 1],
    sum: u64,
}

impl Histogram {
    /// An empty histogram with at most 15 ascending `bounds`; a value equal to a bound counts below it.
    pub const fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() <= MAX_BOUNDS, "a histogram has room for 15 bounds");
        Self { bounds, counts: [0; MAX_BOUNDS + 1], sum: 0 }
    }

    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// Adds another histogram of the same bounds.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds);
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Upper bounds and the count of values at or below each: Prometheus' cumulative `le` buckets, without `+Inf`.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.bounds.iter().zip(self.counts).scan(0, |total, (bound, count)| {
            *total += count;
            Some((*bound, *total))
        })
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_buckets_cumulative() {
        let mut sizes = Histogram::new(&[0, 10, 100]);
        for value in [0, 1, 10, 11, 100, 101, 5000] {
            sizes.record(value);
        }
        assert_eq!(sizes.cumulative().collect::<Vec<_>>(), [(0, 1), (10, 3), (100, 5)]);
        assert_eq!((sizes.count(), sizes.sum()), (7, 5223));
    }

    #[test]
    fn merging_adds_every_bucket() {
        let mut a = Histogram::new(DURATION_BOUNDS_US);
        let mut b = Histogram::new(DURATION_BOUNDS_US);
        a.record(4_000);
        b.record(20_000_000);
        a.merge(&b);
        assert_eq!((a.count(), a.sum()), (2, 20_004_000));
        assert_eq!(a.cumulative().last(), Some((10_000_000, 1)));
    }
}
