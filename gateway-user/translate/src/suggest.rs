//! "Did you mean" for the names of objects.

use gateway_api_types::suggest;
pub(crate) use gateway_api_types::suggest::{CANDIDATES_MAX, SearchBudget, question};

/// The candidate nearest to `wanted`, if it is near enough to be a slip of the pen: a quarter of the longer
/// name's letters, at least two, and not all of them.
pub(crate) fn nearest<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    budget: &SearchBudget,
) -> Option<&'a str> {
    let limit = |letters: usize, others: usize| {
        let length = letters.max(others);
        (length / 4).max(2).min(length.saturating_sub(1))
    };
    let others = candidates.into_iter().filter(|name| *name != wanted);
    suggest::nearest(wanted, others, limit, budget)
}

/// `; did you mean "x"?` for a message's end, or nothing.
pub(crate) fn did_you_mean<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    budget: &SearchBudget,
) -> String {
    nearest(wanted, candidates, budget).map(question).unwrap_or_default()
}

/// The object that a reference may have meant, best guess first: the same name in another namespace, the
/// nearest name in the namespace asked for, the only object there (if `lone` holds: for kinds of which a
/// namespace has few, such as Gateways), the nearest name anywhere.
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
}
