//! "Did you mean": the nearest name that exists, for fields, values, settings and objects.
//!
//! Names are users' to choose and to leave out, so the cost of a search is bounded: a route with 256
//! backendRefs that lead nowhere, beside 2,000 Services with names of the same length, would cost half a
//! minute, and again whenever anybody adds a Service.

use std::cell::Cell;

/// Names that are compared for one suggestion at most: a cluster with tens of thousands of mistakes and names
/// must not cost their product.
pub const CANDIDATES_MAX: usize = 2_000;

/// Pairs of characters that the searches of one budget may compare. A name of 20 characters among 600 of its
/// length takes all of them.
const PAIRS_MAX: usize = 1 << 18;
/// The least cost of a candidate, in pairs.
const MIN_COST: usize = 16;

/// The pairs that are left for a number of searches, such as those for one object. The result of a search
/// depends on those before it with the same budget and on nothing else, so that equal resources have equal
/// suggestions.
#[derive(Debug)]
pub struct SearchBudget(Cell<usize>);

impl Default for SearchBudget {
    fn default() -> Self {
        Self(Cell::new(PAIRS_MAX))
    }
}

impl SearchBudget {
    /// True if nothing more is searched for.
    pub fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// True if so much was left; if not, nothing is any more.
    fn spend(&self, pairs: usize) -> bool {
        let left = self.0.get().checked_sub(pairs);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// The candidate nearest to `wanted`, if it is at most `limit` changes away, which takes the characters of
/// `wanted` and those of the candidate. Letters compare without case, and two that changed places are one
/// change. Of names equally near the first in order wins, so that the order of candidates plays no part.
/// Where `budget` ends, the candidates until then count.
pub fn nearest<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    limit: impl Fn(usize, usize) -> usize,
    budget: &SearchBudget,
) -> Option<&'a str> {
    if budget.is_spent() {
        return None;
    }
    let lower = wanted.to_lowercase();
    let letters = wanted.chars().count();
    let distance = |name: &'a str| {
        let others = name.chars().count();
        let limit = limit(letters, others);
        // Each letter that one has more is a difference.
        let worth = letters.abs_diff(others) <= limit;
        let pairs = if worth { letters * others } else { 0 };
        budget.spend(pairs.max(MIN_COST)).then(|| {
            let distance = worth.then(|| strsim::osa_distance(&lower, &name.to_lowercase()))?;
            (distance <= limit).then_some((distance, name))
        })
    };
    let near = candidates.into_iter().take(CANDIDATES_MAX).map_while(distance).flatten();
    near.min().map(|(_, name)| name)
}

/// The name of a closed set, such as the fields of a type or the settings of a process, that `wrong` was most
/// probably meant to be: at most a third of its letters away.
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest(wrong, known, |_, letters| (letters / 3).clamp(1, 4), &SearchBudget::default())
}

/// `; did you mean "x"?`, for the end of a message.
pub fn question(name: &str) -> String {
    format!("; did you mean {name:?}?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quarter(letters: usize, others: usize) -> usize {
        (letters.max(others) / 4).max(2)
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["parentRefs", "hostnames", "rules"];
        assert_eq!(closest("parentRef", known), Some("parentRefs"));
        assert_eq!(closest("PARENTREFS", known), Some("parentRefs"));
        assert_eq!(closest("hosntames", known), Some("hostnames"));
        assert_eq!(closest("backends", known), None);
    }

    #[test]
    fn a_search_ends_however_many_names_there_are() {
        let names: Vec<String> = (0..2_000).map(|n| format!("{}{n:04}", "x".repeat(249))).collect();
        let wanted = "y".repeat(253);
        let budget = SearchBudget::default();
        let looked = Cell::new(0);
        for _ in 0..256 {
            let names = names.iter().map(String::as_str).inspect(|_| looked.set(looked.get() + 1));
            assert_eq!(nearest(&wanted, names, quarter, &budget), None);
        }
        assert!(budget.is_spent());
        assert_eq!(
            looked.get(),
            PAIRS_MAX / (253 * 253) + 1,
            "512,000 comparisons of 64,009 pairs were made"
        );
        // Names that cannot be near cost little, and not nothing.
        let budget = SearchBudget::default();
        let short: Vec<String> = (0..1_000).map(|n| format!("s{n}")).collect();
        assert_eq!(nearest(&wanted, short.iter().map(String::as_str), quarter, &budget), None);
        assert_eq!(budget.0.get(), PAIRS_MAX - 1_000 * MIN_COST);
    }
}
