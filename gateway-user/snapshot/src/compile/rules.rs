//! Routes → rules that workers can run.

use std::sync::Arc;

use gateway_ir::{
    Action as IrAction, Failure, FailureKind, HttpRoute, HttpRule, PathMatch, RouteMatch, StringMatch,
    WeightedBackend, WeightedTarget,
};

use super::Clusters;
use crate::pattern::PatternSetBuilder;
use crate::rewrite::Redirect;
use crate::table::condition::{Conditions, FieldCondition, ParamCondition, ValueTest};
use crate::table::path::PathKey;
use crate::{Action, Destination, Filters, Picker, RouteLabel, Rule, Target};

/// A route whose rules are ready, whatever the listeners it is attached to.
pub(super) struct CompiledRoute<'a> {
    pub(super) source: &'a HttpRoute,
    pub(super) rules: Vec<CompiledRule<'a>>,
}

pub(super) struct CompiledRule<'a> {
    pub(super) rule: Arc<Rule>,
    pub(super) matches: Vec<CompiledMatch<'a>>,
}

pub(super) struct CompiledMatch<'a> {
    pub(super) source: &'a RouteMatch,
    pub(super) path: PathKey<'a>,
    /// `None` if only the path is asked for.
    pub(super) conditions: Option<Arc<Conditions>>,
}

/// Collects what is wrong with one rule; the first fault is the one that is told.
struct Faults {
    place: String,
    first: Option<String>,
}

impl<'a> CompiledRoute<'a> {
    pub(super) fn compile(
        source: &'a HttpRoute,
        clusters: &Clusters,
        patterns: &mut PatternSetBuilder<'a>,
    ) -> Self {
        let text = source.id.object.to_string().into();
        let label = Arc::new(RouteLabel { id: source.id.clone(), text });
        let rule = |(rule, index)| compile_rule(&label, rule, index, clusters, patterns);
        Self { source, rules: source.rules.iter().zip(0..).map(rule).collect() }
    }
}

fn compile_rule<'a>(
    route: &Arc<RouteLabel>,
    source: &'a HttpRule,
    index: u32,
    clusters: &Clusters,
    patterns: &mut PatternSetBuilder<'a>,
) -> CompiledRule<'a> {
    let mut faults = Faults { place: format!("{}: rules[{index}]", route.id), first: None };
    let matches = source
        .matches
        .iter()
        .enumerate()
        .map(|(at, source)| compile_match(at, source, patterns, &mut faults));
    let matches = matches.collect();
    let filters = Filters::default().followed_by(&source.filters);
    let filters = Arc::new(faults.or_default("filters", filters));
    let action = match &source.action {
        IrAction::Forward(backends) => forward(backends, clusters, &filters, &faults),
        IrAction::Redirect(redirect) => match Redirect::compile(redirect) {
            Ok(redirect) => Action::Redirect(redirect),
            Err(fault) => Action::Fail(faults.failure("filters", &fault)),
        },
        IrAction::Fail(failure) => Action::Fail(failure.clone()),
    };
    let action = match (action, faults.first) {
        (Action::Fail(failure), _) => Action::Fail(failure),
        (_, Some(message)) => Action::Fail(Failure { kind: FailureKind::InvalidRule, message }),
        (action, None) => action,
    };
    let rule = Rule {
        route: Arc::clone(route),
        index,
        name: source.name.as_deref().map(Into::into),
        filters,
        action,
        timeouts: source.timeouts,
        paths: source.matches.iter().map(|matching| matching.path.clone()).collect(),
    };
    CompiledRule { rule: Arc::new(rule), matches }
}

fn forward(
    backends: &[WeightedBackend],
    clusters: &Clusters,
    filters: &Arc<Filters>,
    faults: &Faults,
) -> Action {
    let target = |(at, backend): (usize, &WeightedBackend)| {
        let own = match backend.filters.as_slice() {
            [] => Ok(Arc::clone(filters)),
            own => filters.followed_by(own).map(Arc::new),
        };
        let destination = match (&own, &backend.target) {
            (Err(fault), _) => {
                Destination::Fail(faults.failure(&format!("backendRefs[{at}].filters"), fault))
            }
            (Ok(_), WeightedTarget::Fail(failure)) => Destination::Fail(failure.clone()),
            (Ok(_), WeightedTarget::Cluster(key)) => match clusters.id(key) {
                Some(id) => Destination::Cluster(id),
                None => Destination::Fail(faults.failure(&format!("backendRefs[{at}]"), "too many clusters")),
            },
        };
        (backend.weight, Target { destination, filters: own.unwrap_or_default() })
    };
    match Picker::new(backends.iter().enumerate().map(target)) {
        Some(picker) => Action::Forward(picker),
        None => Action::Fail(Failure {
            kind: FailureKind::NoBackend,
            message: format!("{}.backendRefs: name a backend with a weight above 0", faults.place),
        }),
    }
}

fn compile_match<'a>(
    at: usize,
    source: &'a RouteMatch,
    patterns: &mut PatternSetBuilder<'a>,
    faults: &mut Faults,
) -> CompiledMatch<'a> {
    let path = match &source.path {
        PathMatch::Exact(path) => PathKey::exact(path),
        PathMatch::Prefix(prefix) => PathKey::prefix(prefix),
        PathMatch::Regex(expression) => match patterns.intern(expression) {
            Ok(id) => PathKey::Regex(id),
            Err(fault) => {
                faults.add(&format!("matches[{at}].path"), &fault);
                PathKey::Broken
            }
        },
    };
    let mut conditions = Conditions {
        method: source.method.as_deref().map(|method| method.as_bytes().into()),
        ..Conditions::default()
    };
    for (header_at, header) in source.headers.iter().enumerate() {
        let name: Box<str> = header.name.to_ascii_lowercase().into();
        if conditions.headers.iter().all(|earlier| earlier.name != name) {
            let place = format!("matches[{at}].headers[{header_at}]");
            let value = value_test(&header.value, patterns, &place, faults);
            conditions.headers.push(FieldCondition { name, value });
        }
    }
    for (param_at, param) in source.query.iter().enumerate() {
        if conditions.query.iter().all(|earlier| *earlier.name != param.name) {
            let place = format!("matches[{at}].queryParams[{param_at}]");
            let value = value_test(&param.value, patterns, &place, faults);
            conditions.query.push(ParamCondition { name: param.name.as_str().into(), value });
        }
    }
    let conditions = (!conditions.is_empty()).then(|| Arc::new(conditions));
    CompiledMatch { source, path, conditions }
}

fn value_test<'a>(
    value: &'a StringMatch,
    patterns: &mut PatternSetBuilder<'a>,
    place: &str,
    faults: &mut Faults,
) -> ValueTest {
    match value {
        StringMatch::Exact(value) => ValueTest::Exact(value.as_bytes().into()),
        StringMatch::Regex(expression) => match patterns.intern(expression) {
            Ok(id) => ValueTest::Regex(id),
            Err(fault) => {
                faults.add(place, &fault);
                ValueTest::Present
            }
        },
    }
}

impl Faults {
    fn add(&mut self, field: &str, fault: &str) {
        if self.first.is_none() {
            self.first = Some(format!("{}.{field}: {fault}", self.place));
        }
    }

    fn or_default<T: Default>(&mut self, field: &str, result: Result<T, String>) -> T {
        result.unwrap_or_else(|fault| {
            self.add(field, &fault);
            T::default()
        })
    }

    fn failure(&self, field: &str, fault: &str) -> Failure {
        Failure { kind: FailureKind::InvalidRule, message: format!("{}.{field}: {fault}", self.place) }
    }
}
