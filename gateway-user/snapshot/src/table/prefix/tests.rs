use std::sync::Arc;

use gateway_ir::{ObjectName, RouteId, RouteKind, RuleError, RuleErrorKind};

use super::*;
use crate::table::Extent;
use crate::{Action, RouteLabel, Rule};

fn entry(number: u32) -> Entry {
    let id = RouteId { kind: RouteKind::HTTPRoute, object: ObjectName::new("n", "r") };
    let rule = Rule {
        route: Arc::new(RouteLabel { id, text: "n/r".into() }),
        index: 0,
        name: None,
        filters: Arc::default(),
        action: Action::Fail(RuleError { kind: RuleErrorKind::NoBackend, message: String::new() }),
        timeouts: Default::default(),
        retry: None,
        paths: Box::default(),
    };
    Entry { rule: Arc::new(rule), match_index: number, extent: Extent::Whole, conditions: None }
}

fn table(prefixes: &[&str]) -> PrefixTable {
    let mut table = PrefixTable::default();
    for (prefix, number) in prefixes.iter().zip(0..) {
        table.push(&prefix.as_bytes().into(), entry(number));
    }
    table.finish();
    table
}

/// By the definition: whole elements, the longest prefix first.
fn expected(prefixes: &[&str], path: &str) -> Vec<u32> {
    let covers = |prefix: &str| {
        path.strip_prefix(prefix).is_some_and(|rest| {
            (rest.is_empty() || rest.starts_with('/')) && (prefix.is_empty() || prefix.starts_with('/'))
        })
    };
    let mut all: Vec<_> = prefixes.iter().zip(0..).filter(|(prefix, _)| covers(prefix)).collect();
    all.sort_by_key(|(prefix, number)| (std::cmp::Reverse(prefix.len()), *number));
    all.into_iter().map(|(_, number)| number).collect()
}

#[test]
fn labels_part_where_prefixes_do_whatever_the_order() {
    let prefixes = [
        "/a/b/c/d",
        "/a/b",
        "/a/b/x",
        "",
        "/a/b/c/e",
        "/ab",
        "/a/bc",
        "/a/b",
        "/a//b",
        "/a/",
        "//",
        "x",
        "/a/b/c/d/e",
    ];
    let mut turned = prefixes;
    for _ in 0..prefixes.len() {
        turned.rotate_left(1);
        let table = table(&turned);
        for path in [
            "",
            "/",
            "/a",
            "/a/",
            "/a//",
            "/a//b",
            "/a//b/c",
            "/a/b",
            "/a/b/",
            "/a/b/c",
            "/a/b/c/d",
            "/a/b/c/dd",
            "/a/b/c/d/e/f",
            "/a/b/c/e",
            "/a/b/x",
            "/a/b/xx",
            "/ab",
            "/abc",
            "/a/bc/d",
            "/b",
            "//",
            "///",
            "x",
            "/x",
        ] {
            let found: Vec<_> = table.covering(path.as_bytes()).map(|entry| entry.match_index).collect();
            assert_eq!(found, expected(&turned, path), "{path:?} in {turned:?}");
        }
    }
}

#[test]
fn nodes_are_as_many_as_prefixes_and_not_as_their_elements() {
    let prefixes: Vec<String> = (0..127).map(|n| format!("/{n}{}", "/a".repeat(510))).collect();
    let table = table(&prefixes.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(table.nodes(), 1 + 127, "a node for each element would be 64,898");
}
