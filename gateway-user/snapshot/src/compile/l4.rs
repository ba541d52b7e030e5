//! Routes for connections → rules that workers can run.

use std::sync::Arc;

use gateway_ir::{L4Rule, RuleError, RuleErrorKind, Timeouts, WeightedTarget};

use super::compiled::{CompiledRule, Numbering};
use crate::{Action, Destination, Filters, Picker, RouteLabel, Rule, Target};

/// The rule of such a route. Of requests it matches none.
pub(super) fn compile_rule<'a>(
    route: &Arc<RouteLabel>,
    source: &'a L4Rule,
    numbering: &mut Numbering<'a>,
) -> CompiledRule {
    let place = format!("{}: rules[0]", route.id);
    let filters = Arc::new(Filters::default());
    let mut clusters = Vec::new();
    let targets = source.backends.iter().enumerate().map(|(at, backend)| {
        let destination = match &backend.target {
            WeightedTarget::Fail(failure) => Destination::Fail(failure.clone()),
            WeightedTarget::Cluster(key) => match numbering.clusters.id(key) {
                Some(id) => {
                    clusters.push(id);
                    Destination::Cluster(id)
                }
                None => Destination::Fail(RuleError {
                    kind: RuleErrorKind::InvalidRule,
                    message: format!("{place}.backendRefs[{at}]: too many clusters"),
                }),
            },
        };
        (backend.weight, Target { destination, filters: Arc::clone(&filters), mirrors: Box::default() })
    });
    let action = match Picker::new(targets) {
        Some(picker) => Action::Forward(picker),
        None => Action::Fail(RuleError {
            kind: RuleErrorKind::NoBackend,
            message: format!("{place}.backendRefs: name a backend with a weight above 0"),
        }),
    };
    let rule = Rule {
        route: Arc::clone(route),
        index: 0,
        name: source.name.as_deref().map(Into::into),
        filters,
        action,
        timeouts: Timeouts::default(),
        retry: None,
        paths: Box::default(),
    };
    CompiledRule {
        rule: Arc::new(rule),
        matches: Vec::new(),
        underscores: Box::default(),
        clusters,
        patterns: Vec::new(),
    }
}
