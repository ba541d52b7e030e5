//! Weighted choice between a rule's backends.

use crate::Target;

/// Targets in proportion to their weights; at least one, none of them of weight 0.
#[derive(Debug)]
pub struct Picker {
    first: Target,
    rest: Box<[Target]>,
    /// For each target the sum of the weights up to and including its own.
    cumulative: Box<[u64]>,
}

impl Picker {
    /// Takes targets with their weights. `None` if all weights are 0, or there is no target: such a rule
    /// responds 500 (gateway-api `HTTPBackendRef.weight`).
    pub(crate) fn new(targets: impl IntoIterator<Item = (u32, Target)>) -> Option<Self> {
        let mut sum = 0u64;
        let mut cumulative = Vec::new();
        let mut kept = targets.into_iter().filter(|(weight, _)| *weight > 0).map(|(weight, target)| {
            sum = sum.saturating_add(u64::from(weight));
            cumulative.push(sum);
            target
        });
        let first = kept.next()?;
        let rest = kept.collect();
        Some(Self { first, rest, cumulative: cumulative.into() })
    }

    /// The target that owns `random`, which is uniform over all of `u64`. A target of weight `w` out of `t`
    /// owns `w/t` of the values, to within one value.
    pub fn pick(&self, random: u64) -> &Target {
        if self.rest.is_empty() {
            return &self.first;
        }
        let total = self.cumulative.last().copied().unwrap_or(1);
        let point = (u128::from(random) * u128::from(total)) >> 64;
        let at = self.cumulative.partition_point(|end| u128::from(*end) <= point);
        at.checked_sub(1).and_then(|at| self.rest.get(at)).unwrap_or(&self.first)
    }

    /// Every target that can be picked, with its weight.
    pub fn targets(&self) -> impl Iterator<Item = (u64, &Target)> {
        let starts = std::iter::once(0).chain(self.cumulative.iter().copied());
        let weights = self.cumulative.iter().zip(starts).map(|(end, start)| end - start);
        weights.zip(std::iter::once(&self.first).chain(&self.rest))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{ClusterId, Destination, Filters};

    fn picker(weights: &[u32]) -> Option<Picker> {
        let target = |id| Target {
            destination: Destination::Cluster(ClusterId(id)),
            filters: Arc::new(Filters::default()),
            mirrors: Box::default(),
        };
        Picker::new(weights.iter().zip(0..).map(|(weight, id)| (*weight, target(id))))
    }

    fn picked(picker: &Picker, random: u64) -> u32 {
        match picker.pick(random).destination {
            Destination::Cluster(ClusterId(id)) => id,
            Destination::Fail(_) => unreachable!("the picker was made of clusters"),
        }
    }

    /// Number of the 2^64 values that each target owns, found by bisecting for the ends of its range.
    fn shares(picker: &Picker, targets: u32) -> Vec<u128> {
        let first_beyond = |id: u32| {
            let (mut low, mut high) = (0u128, 1u128 << 64);
            while low < high {
                let middle = (low + high) / 2;
                let beyond = picked(picker, u64::try_from(middle).unwrap()) > id;
                if beyond { high = middle } else { low = middle + 1 }
            }
            low
        };
        let ends: Vec<u128> = (0..targets).map(first_beyond).collect();
        ends.iter().zip(std::iter::once(&0).chain(&ends)).map(|(end, start)| end - start).collect()
    }

    #[test]
    fn shares_are_exact_over_the_whole_range() {
        for weights in [
            vec![1, 1],
            vec![90, 10],
            vec![1, 2, 3, 4, 5],
            vec![0, 7, 0, 1_000_000, 1],
            vec![1_000_000; 16],
            vec![3],
        ] {
            let picker = picker(&weights).unwrap();
            let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            let shares = shares(&picker, u32::try_from(weights.len()).unwrap());
            assert_eq!(shares.iter().sum::<u128>(), 1 << 64);
            for (share, weight) in shares.iter().zip(&weights) {
                let off = (share * total).abs_diff(u128::from(*weight) << 64);
                assert!(off <= total, "{weights:?}: weight {weight} owns {share} values");
            }
        }
    }

    #[test]
    fn a_weight_of_zero_gets_nothing_and_all_zero_is_no_picker() {
        let some = picker(&[0, 5, 0]).unwrap();
        assert_eq!([0, 1, u64::MAX / 2, u64::MAX].map(|random| picked(&some, random)), [1; 4]);
        assert_eq!(some.targets().map(|(weight, _)| weight).collect::<Vec<_>>(), [5]);
        assert!(picker(&[0, 0]).is_none() && picker(&[]).is_none());
    }
}
