//! "Did you mean": the nearest name that exists.

/// How many names are looked at for one suggestion: a cluster with tens of thousands of mistakes and names must not
/// cost their product.
pub(crate) const CANDIDATES_MAX: usize = 2_000;

/// The candidate nearest to `wanted`, if it is near enough to be a slip of the pen.
///
/// Near enough is a quarter of the longer name's letters, at least two; letters that changed places count once. Of
/// names equally near the first in order wins, so that the answer does not depend on the order of candidates.
pub(crate) fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|name| *name != wanted)
        .map(|name| (strsim::osa_distance(wanted, name), name))
        .filter(|(distance, name)| {
            let length = wanted.chars().count().max(name.chars().count());
            *distance <= (length / 4).max(2) && *distance < length
        })
        .min()
        .map(|(_, name)| name)
}

/// `; did you mean "x"?` for a message's end, or nothing.
pub(crate) fn did_you_mean<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wanted, candidates).map(question).unwrap_or_default()
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
) -> String {
    let named = |wanted: &str| candidates.iter().filter(|(_, other)| *other == wanted).min().copied();
    let here = || candidates.iter().filter(|(other, _)| *other == namespace).map(|(_, name)| *name);
    let only_here = || (lone && here().count() == 1).then(|| here().next()).flatten();
    named(name)
        .or_else(|| nearest(name, here()).or_else(only_here).map(|found| (namespace, found)))
        .or_else(|| nearest(name, candidates.iter().map(|(_, name)| *name)).and_then(named))
        .map(|(namespace, name)| question(&format!("{namespace}/{name}")))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, did_you_mean_object, nearest};

    #[test]
    fn finds_slips_and_leaves_strangers_alone() {
        let names = ["http", "https", "metrics", "shared-gateway"];
        assert_eq!(nearest("htpp", names), Some("http"));
        assert_eq!(nearest("metircs", names), Some("metrics"));
        assert_eq!(nearest("shard-gatway", names), Some("shared-gateway"));
        assert_eq!(nearest("postgres", names), None);
        assert_eq!(nearest("ab", ["xy"]), None, "nothing in common");
        assert_eq!(did_you_mean("htpp", names), "; did you mean \"http\"?");
        assert_eq!(did_you_mean("postgres", names), "");
    }

    #[test]
    fn order_of_candidates_does_not_matter() {
        assert_eq!(nearest("team3", ["team1", "team2"]), Some("team1"));
        assert_eq!(nearest("team3", ["team2", "team1"]), Some("team1"));
    }

    #[test]
    fn an_object_in_another_namespace_is_the_best_answer() {
        let objects = [("ingress", "shared"), ("infra", "edge"), ("ingress", "edges")];
        let ask = |namespace, name| did_you_mean_object((namespace, name), &objects, false);
        assert_eq!(ask("ingress", "edge"), "; did you mean \"infra/edge\"?");
        assert_eq!(ask("ingress", "sharde"), "; did you mean \"ingress/shared\"?");
        assert_eq!(ask("nowhere", "shaerd"), "; did you mean \"ingress/shared\"?");
        assert_eq!(ask("nowhere", "postgres"), "");
    }

    #[test]
    fn the_only_gateway_of_a_namespace_is_what_was_meant() {
        let one = [("ingress", "shared-gateway"), ("infra", "edge")];
        let ask = |lone| did_you_mean_object(("ingress", "ingress"), &one, lone);
        assert_eq!(ask(true), "; did you mean \"ingress/shared-gateway\"?");
        assert_eq!(ask(false), "");
    }
}
