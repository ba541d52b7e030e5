//! The other tenant's regular expressions: as costly as all budgets together let in, and more
//! that they refuse.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use gateway_testkit::http::Client;

use super::case::Metric;
use super::outcome::ProofCount;
use super::testbed::Testbed;
use crate::process::until;
use crate::testbed::LISTEN_ADDRESS;

/// The hostname whose requests meet all of them.
pub(super) const HOST: &str = "costly.example";
/// Expressions that are let in: as many as `--regex-scan-bytes` lets one header of 32 KiB meet, each
/// of a quarter of a mebibyte, which is all of `--regex-namespace-bytes`. More states each would be
/// fewer expressions.
pub(super) const LIVE: usize = 128;
/// A route may have 8 MiB of them.
const PER_ROUTE: usize = 32;
/// Expressions that find nothing left.
pub(super) const REFUSED: usize = 64;

/// A hostname that the neighbour adds meanwhile.
const EDITED_HOST: &str = "edited.example";
/// The header that they look at.
const FIELD_NAME: &str = "x-costly";
/// Its length: the largest that fits `--max-header-bytes` beside the rest of the head.
const FIELD_LENGTH: usize = 32_000;

const COSTLY_FILE: &str = "costly.yaml";
const EDIT_FILE: &str = "edit.yaml";

/// Brings the tenant's routes, and an edit of the neighbour's while they are built. Says whether that
/// was live first.
pub(super) fn install(testbed: &mut Testbed) -> Result<ProofCount> {
    testbed.write(COSTLY_FILE, &costly())?;
    let waiting = Metric::Peak("sluice_regex_waiting");
    until("the expressions wait", || Ok((waiting.sum_in(&testbed.metrics.read()?) > 0.0).then_some(())))?;
    testbed.write(EDIT_FILE, &route("neighbour", "edited", EDITED_HOST, 9000, ""))?;
    until("the neighbour's edit is live", || {
        let response = Client::connect(LISTEN_ADDRESS.parse()?)?.get(EDITED_HOST, "/download/1")?;
        Ok((response.status == 200).then_some(()))
    })
    .context("beside expressions that are built")?;
    let count = waiting.sum_in(&testbed.metrics.read()?);
    until("the expressions are live", || {
        let page = testbed.metrics.read()?;
        let live = Metric::Peak("sluice_regex_expressions").sum_in(&page);
        Ok((live >= LIVE as f64 && waiting.sum_in(&page) == 0.0).then_some(()))
    })?;
    Ok(ProofCount { what: "behind the neighbour's edit", count, least: 1.0 })
}

/// Takes the tenant's routes away.
pub(super) fn remove(testbed: &mut Testbed) -> Result<()> {
    testbed.remove(COSTLY_FILE)?;
    until("the expressions are gone", || {
        let live = Metric::Peak("sluice_regex_expressions").sum_in(&testbed.metrics.read()?);
        Ok((live == 0.0).then_some(()))
    })
}

/// The field of every request, as `NAME=VALUE`: no expression matches it, and each looks at all of it. It
/// leads through states at random, so that tables are of use to a CPU's caches only if they fit.
pub(super) fn field() -> String {
    let mut state: u64 = 1;
    let letters = (0..FIELD_LENGTH).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if state >> 63 == 0 { 'a' } else { 'b' }
    });
    format!("{FIELD_NAME}={}", letters.collect::<String>())
}

fn costly() -> String {
    let mut numbers = 1..=LIVE;
    let mut text = String::new();
    for name in 0..LIVE / PER_ROUTE {
        // The twelve letters before the end are remembered: 2^13 states.
        let expressions = numbers.by_ref().take(PER_ROUTE).map(|n| format!("[ab]*a[ab]{{12}}c{{{n}}}"));
        text += &route("other", &format!("costly-{name}"), HOST, 9001, &matches(expressions));
    }
    // Without a time they go by name, so this one is last.
    let refused = (0..REFUSED).map(|n| format!("[ab]*a[ab]{{{}}}c", 9_900 + n));
    text += &route("other", "greedy", "greedy.example", 9001, &matches(refused));
    // Takes what no expression matches.
    text + &route("other", "plain", HOST, 9001, "")
}

fn matches(expressions: impl Iterator<Item = String>) -> String {
    let mut text = "\n      matches:".to_owned();
    for expression in expressions {
        let _ = write!(
            text,
            "\n        - headers: [{{type: RegularExpression, name: {FIELD_NAME}, value: \"{expression}\"}}]"
        );
    }
    text
}

fn route(namespace: &str, name: &str, host: &str, port: u16, matches: &str) -> String {
    format!(
        "\
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  parentRefs: [{{name: shared, namespace: infra}}]
  hostnames: [{host}]
  rules:
    - backendRefs: [{{name: backend, port: {port}}}]{matches}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_expressions_as_are_counted_are_written() {
        let text = costly();
        assert_eq!(text.matches("type: RegularExpression").count(), LIVE + REFUSED);
        assert_eq!(text.matches("kind: HTTPRoute").count(), LIVE / PER_ROUTE + 2);
        assert!(text.contains("[ab]*a[ab]{12}c{1}\"") && text.contains("c{128}\""), "{text}");
        assert_eq!(field().len(), FIELD_NAME.len() + 1 + FIELD_LENGTH);
    }
}
