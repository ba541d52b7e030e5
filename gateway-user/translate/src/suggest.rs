//! "Did you mean": the nearest name that exists.
//!
//! Names are users' to choose and to leave out, so what a search may cost is bounded for each object: a route with 256
//! backendRefs that lead nowhere, beside 2,000 Services with names of the same length, cost half a minute, and again
//! whenever anybody added a Service.

use std::cell::Cell;

/// How many names are looked at for one suggestion: a cluster with tens of thousands of mistakes and names must not
/// cost their product.
pub(crate) const CANDIDATES_MAX: usize = 2_000;

/// Pairs of characters that the searches for one object may compare. A name of 20 characters among 600 of its length takes
/// all of them.
const PAIRS_MAX: usize = 1 << 18;
/// What a candidate costs at least, in pairs.
const MIN_COST: usize = 16;

/// What is left for the searches for one object. The answer to a search depends on those before it for the same object and
/// on nothing else, so that equal resources have equal answers.
#[derive(Debug)]
pub(crate) struct SearchBudget(Cell<usize>);

impl Default for SearchBudget {
    fn default() -> Self {
        Self(Cell::new(PAIRS_MAX))
    }
}

impl SearchBudget {
    /// Whether nothing more is searched for.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// Whether so much was left; if not, nothing is any more.
    fn spend(&self, pairs: usize) -> bool {
        let left = self.0.get().checked_sub(pairs);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// The candidate nearest to `wanted`, if it is near enough to be a slip of the pen.
///
/// Near enough is a quarter of the longer name's letters, at least two; letters that changed places count once. Of
/// names equally near the first in order wins, so that the answer does not depend on the order of candidates. Where
/// `budget` ends, those that were looked at until then count.
pub(crate) fn nearest<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    budget: &SearchBudget,
) -> Option<&'a str> {
    if budget.is_spent() {
        return None;
    }
    let letters = wanted.chars().count();
    let distance = |name: &'a str| {
        let others = name.chars().count();
        let length = letters.max(others);
        let limit = (length / 4).max(2).min(length.saturating_sub(1));
        // Each letter that one has more is a difference.
        let worth = name != wanted && letters.abs_diff(others) <= limit;
        let pairs = if worth { letters * others } else { 0 };
        budget.spend(pairs.max(MIN_COST)).then(|| {
            let distance = worth.then(|| strsim::osa_distance(wanted, name))?;
            (distance <= limit).then_some((distance, name))
        })
    };
    let near = candidates.into_iter().take(CANDIDATES_MAX).map_while(distance).flatten();
    near.min().map(|(_, name)| name)
}

/// `; did you mean "x"?` for a message's end, or nothing.
pub(crate) fn did_you_mean<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    budget: &SearchBudget,
) -> String {
    nearest(wanted, candidates, budget).map(question).unwrap_or_default()
}

/// `; did you mean "x"?`
pub(crate) fn question(name: &str) -> String {
    format!("; did you mean {name:?}?")
}

/// What a reference to a namespaced object may have meant, best guess first: the same name in another namespace, the
/// nearest name in the namespace asked for, the only object there (if `lone` holds: for kinds of which a namespace
/// has few, such as Gateways), the nearest name anywhere.
pub(crate) fn did_you_mean_object(
    (namespace, name): (&str, &str),
    candidates: &[(&str, &str)],
    lone: bool,
    budget: &SearchBudget,
) -> String {
    let named = |wanted: &str| candidates.iter().filter(|(_, other)| *other == wanted).min().copied();
    let here = || candidates.iter().filter(|(other, _)| *other == namespace).map(|(_, name)| *name);
    let only_here = || (lone && here().count() == 1).then(|| here().next()).flatten();
    named(name)
        .or_else(|| nearest(name, here(), budget).or_else(only_here).map(|found| (namespace, found)))
        .or_else(|| nearest(name, candidates.iter().map(|(_, name)| *name), budget).and_then(named))
        .map(|(namespace, name)| question(&format!("{namespace}/{name}")))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_of<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
        nearest(wanted, names.iter().copied(), &SearchBudget::default())
    }

    #[test]
    fn finds_slips_and_leaves_strangers_alone() {
        let names = ["http", "https", "metrics", "shared-gateway"];
        assert_eq!(nearest_of("htpp", &names), Some("http"));
        assert_eq!(nearest_of("metircs", &names), Some("metrics"));
        assert_eq!(nearest_of("shard-gatway", &names), Some("shared-gateway"));
        assert_eq!(nearest_of("postgres", &names), None);
        assert_eq!(nearest_of("ab", &["xy"]), None, "nothing in common");
        assert_eq!(did_you_mean("htpp", names, &SearchBudget::default()), "; did you mean \"http\"?");
        assert_eq!(did_you_mean("postgres", names, &SearchBudget::default()), "");
    }

    #[test]
    fn order_of_candidates_does_not_matter() {
        assert_eq!(nearest_of("team3", &["team1", "team2"]), Some("team1"));
        assert_eq!(nearest_of("team3", &["team2", "team1"]), Some("team1"));
    }

    #[test]
    fn an_object_in_another_namespace_is_the_best_answer() {
        let objects = [("ingress", "shared"), ("infra", "edge"), ("ingress", "edges")];
        let ask = |namespace, name| {
            did_you_mean_object((namespace, name), &objects, false, &SearchBudget::default())
        };
        assert_eq!(ask("ingress", "edge"), "; did you mean \"infra/edge\"?");
        assert_eq!(ask("ingress", "sharde"), "; did you mean \"ingress/shared\"?");
        assert_eq!(ask("nowhere", "shaerd"), "; did you mean \"ingress/shared\"?");
        assert_eq!(ask("nowhere", "postgres"), "");
    }

    #[test]
    fn the_only_gateway_of_a_namespace_is_what_was_meant() {
        let one = [("ingress", "shared-gateway"), ("infra", "edge")];
        let ask = |lone| did_you_mean_object(("ingress", "ingress"), &one, lone, &SearchBudget::default());
        assert_eq!(ask(true), "; did you mean \"ingress/shared-gateway\"?");
        assert_eq!(ask(false), "");
    }

    #[test]
    fn a_search_ends_however_many_names_there_are() {
        let names: Vec<String> = (0..2_000).map(|n| format!("{}{n:04}", "x".repeat(249))).collect();
        let wanted = "y".repeat(253);
        let budget = SearchBudget::default();
        let looked = Cell::new(0);
        for _ in 0..256 {
            let names = names.iter().map(String::as_str).inspect(|_| looked.set(looked.get() + 1));
            assert_eq!(nearest(&wanted, names, &budget), None);
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
        assert_eq!(nearest(&wanted, short.iter().map(String::as_str), &budget), None);
        assert_eq!(budget.0.get(), PAIRS_MAX - 1_000 * MIN_COST);
    }
}
