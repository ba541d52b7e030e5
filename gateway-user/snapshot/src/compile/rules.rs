//! Routes → rules that workers can run.

use std::sync::Arc;

use gateway_ir::{
    Action as IrAction, ClusterKey, Filter, HttpRule, PathMatch, Route, RouteId, RouteMatch, RuleError,
    RuleErrorKind, StringMatch, WeightedBackend, WeightedTarget,
};

use super::compiled::{CompiledMatch, CompiledRule, Numbering};
use super::l4;
use crate::mirror::mirrors;
use crate::pattern::{PatternId, PatternSetBuilder, Subject};
use crate::rewrite::Redirect;
use crate::table::condition::{Conditions, FieldCondition, GrpcCondition, ParamCondition, ValueTest};
use crate::table::path::PathKey;
use crate::{Action, ClusterId, Destination, Filters, Mirror, Picker, RouteLabel, Rule, Target};

/// A route whose rules are ready, whatever the listeners it is attached to.
#[derive(Debug)]
pub(crate) struct CompiledRoute {
    pub(super) source: Arc<Route>,
    /// One for each of the source's.
    pub(super) rules: Vec<Arc<CompiledRule>>,
}

impl CompiledRoute {
    /// Its rules, in the source's order.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().map(|compiled| &compiled.rule)
    }
}

/// The expressions of one rule.
struct Interned<'b, 'a> {
    builder: &'b mut PatternSetBuilder<'a>,
    ids: Vec<PatternId>,
}

/// Collects what is wrong with one rule; the first fault is the one that is told.
struct FirstError {
    place: String,
    first: Option<String>,
}

impl CompiledRoute {
    pub(super) fn id(&self) -> &RouteId {
        self.source.id()
    }

    /// Compiles a route, but for what `previous`, the same route as it was, has of it.
    pub(super) fn compile<'a>(
        source: &'a Arc<Route>,
        previous: Option<&Arc<Self>>,
        numbering: &mut Numbering<'a>,
    ) -> Arc<Self> {
        if let Some(previous) = previous.filter(|previous| previous.source == *source) {
            previous.rules.iter().for_each(|rule| rule.keep(numbering));
            return Arc::clone(previous);
        }
        let known = previous.and_then(|previous| previous.rules.first());
        let label = match known {
            Some(known) => Arc::clone(&known.rule.route),
            None => {
                Arc::new(RouteLabel { id: source.id().clone(), text: source.id().object.to_string().into() })
            }
        };
        if let Route::L4(route) = &**source {
            let rule = Arc::new(l4::compile_rule(&label, &route.rule, numbering));
            return Arc::new(Self { rules: vec![rule], source: Arc::clone(source) });
        }
        let rules = source.http_rules().iter().zip(0..).map(|(rule, index)| {
            let at = index as usize;
            let same = previous.filter(|previous| previous.source.http_rules().get(at) == Some(rule));
            match same.and_then(|previous| previous.rules.get(at)) {
                Some(same) => {
                    same.keep(numbering);
                    Arc::clone(same)
                }
                None => Arc::new(compile_rule(&label, rule, index, numbering)),
            }
        });
        Arc::new(Self { rules: rules.collect(), source: Arc::clone(source) })
    }
}

fn compile_rule<'a>(
    route: &Arc<RouteLabel>,
    source: &'a HttpRule,
    index: u32,
    numbering: &mut Numbering<'a>,
) -> CompiledRule {
    let mut first_error = FirstError { place: format!("{}: rules[{index}]", route.id), first: None };
    let mut patterns = Interned { builder: &mut numbering.patterns, ids: Vec::new() };
    let matches = source.matches.iter().enumerate();
    let matches =
        matches.map(|(at, source)| compile_match(at, source, &mut patterns, &mut first_error)).collect();
    let patterns = patterns.ids;
    let filters = Filters::default().followed_by(&source.filters);
    let filters = Arc::new(first_error.or_default("filters", filters));
    let mut clusters = Vec::new();
    let action = match &source.action {
        IrAction::Forward(backends) => {
            let mut number = |key| {
                let id = numbering.clusters.id(key);
                clusters.extend(id);
                id
            };
            let of_rule = mirrors(&source.filters, true, &mut number);
            forward(backends, &mut number, (&filters, &of_rule), &first_error)
        }
        IrAction::Redirect(redirect) => match Redirect::compile(redirect) {
            Ok(redirect) => Action::Redirect(redirect),
            Err(error) => Action::Fail(first_error.failure("filters", &error)),
        },
        IrAction::Fail(failure) => Action::Fail(failure.clone()),
    };
    let action = match (action, first_error.first) {
        (Action::Fail(failure), _) => Action::Fail(failure),
        (_, Some(message)) => Action::Fail(RuleError { kind: RuleErrorKind::InvalidRule, message }),
        (action, None) => action,
    };
    let rule = Rule {
        route: Arc::clone(route),
        index,
        name: source.name.as_deref().map(Into::into),
        filters,
        action,
        timeouts: source.timeouts,
        retry: source.retry.clone(),
        paths: source.matches.iter().map(|matching| matching.path.clone()).collect(),
    };
    let underscores = underscores(source);
    CompiledRule { rule: Arc::new(rule), matches, underscores, clusters, patterns }
}

/// The names with `_` in them that a rule matches, or that it or one of its backends sets or adds.
fn underscores(source: &HttpRule) -> Box<[Box<str>]> {
    let matched = source.matches.iter().flat_map(|one| &one.headers).map(|header| header.name.as_str());
    let backends = match &source.action {
        IrAction::Forward(backends) => backends.as_slice(),
        IrAction::Redirect(_) | IrAction::Fail(_) => &[],
    };
    let filters = source.filters.iter().chain(backends.iter().flat_map(|backend| &backend.filters));
    let written = filters.filter_map(|filter| match filter {
        Filter::RequestHeaders(change) => Some(change.set.iter().chain(&change.add)),
        Filter::ResponseHeaders(_) | Filter::UrlRewrite { .. } | Filter::Cors(_) | Filter::Mirror(_) => None,
    });
    let written = written.flatten().map(|change| change.name.as_str());
    matched
        .chain(written)
        .filter(|name| name.contains('_'))
        .map(|name| name.to_ascii_lowercase().into())
        .collect()
}

fn forward<'a>(
    backends: &'a [WeightedBackend],
    number: &mut impl FnMut(&'a ClusterKey) -> Option<ClusterId>,
    (filters, of_rule): (&Arc<Filters>, &[Mirror]),
    first_error: &FirstError,
) -> Action {
    let target = |(at, backend): (usize, &'a WeightedBackend)| {
        let own = match backend.filters.as_slice() {
            [] => Ok(Arc::clone(filters)),
            own => filters.followed_by(own).map(Arc::new),
        };
        let destination = match (&own, &backend.target) {
            (Err(error), _) => {
                Destination::Fail(first_error.failure(&format!("backendRefs[{at}].filters"), error))
            }
            (Ok(_), WeightedTarget::Fail(failure)) => Destination::Fail(failure.clone()),
            (Ok(_), WeightedTarget::Cluster(key)) => match number(key) {
                Some(id) => Destination::Cluster(id),
                None => {
                    Destination::Fail(first_error.failure(&format!("backendRefs[{at}]"), "too many clusters"))
                }
            },
        };
        let mirrors = of_rule.iter().cloned().chain(mirrors(&backend.filters, false, number)).collect();
        (backend.weight, Target { destination, filters: own.unwrap_or_default(), mirrors })
    };
    match Picker::new(backends.iter().enumerate().map(target)) {
        Some(picker) => Action::Forward(picker),
        None => Action::Fail(RuleError {
            kind: RuleErrorKind::NoBackend,
            message: format!("{}.backendRefs: name a backend with a weight above 0", first_error.place),
        }),
    }
}

fn compile_match<'a>(
    at: usize,
    source: &'a RouteMatch,
    patterns: &mut Interned<'_, 'a>,
    first_error: &mut FirstError,
) -> CompiledMatch {
    let path = match &source.path {
        PathMatch::Exact(path) => PathKey::exact(path),
        PathMatch::Prefix(prefix) => PathKey::prefix(prefix),
        PathMatch::Regex(expression) => match patterns.intern(Subject::Path, expression) {
            Ok(id) => PathKey::Regex(id),
            Err(error) => {
                first_error.add(&format!("matches[{at}].path"), &error);
                PathKey::Broken
            }
        },
    };
    let grpc = source.grpc.as_ref();
    let method = grpc.map(|_| gateway_grammar::grpc::METHOD).or(source.method.as_deref());
    let bytes = |text: &str| text.as_bytes().into();
    let mut conditions = Conditions {
        method: method.map(bytes),
        grpc: grpc.map(|grpc| GrpcCondition { method: grpc.method.as_deref().map(bytes) }),
        ..Conditions::default()
    };
    for (header_at, header) in source.headers.iter().enumerate() {
        let name: Box<str> = header.name.to_ascii_lowercase().into();
        if conditions.headers.iter().all(|earlier| earlier.name != name) {
            let place = format!("matches[{at}].headers[{header_at}]");
            let value =
                value_test(&header.value, Subject::Header(&header.name), patterns, &place, first_error);
            conditions.headers.push(FieldCondition { name, value });
        }
    }
    for (param_at, param) in source.query.iter().enumerate() {
        if conditions.query.iter().all(|earlier| *earlier.name != param.name) {
            let place = format!("matches[{at}].queryParams[{param_at}]");
            let value = value_test(&param.value, Subject::Query(&param.name), patterns, &place, first_error);
            conditions.query.push(ParamCondition { name: param.name.as_str().into(), value });
        }
    }
    let conditions = (!conditions.is_empty()).then(|| Arc::new(conditions));
    CompiledMatch { path, conditions }
}

fn value_test<'a>(
    value: &'a StringMatch,
    subject: Subject<'a>,
    patterns: &mut Interned<'_, 'a>,
    place: &str,
    first_error: &mut FirstError,
) -> ValueTest {
    match value {
        StringMatch::Exact(value) => ValueTest::Exact(value.as_bytes().into()),
        StringMatch::Present => ValueTest::Present,
        StringMatch::Regex(expression) => match patterns.intern(subject, expression) {
            Ok(id) => ValueTest::Regex(id),
            Err(error) => {
                first_error.add(place, &error);
                ValueTest::Present
            }
        },
    }
}

impl<'a> Interned<'_, 'a> {
    fn intern(&mut self, subject: Subject<'a>, expression: &'a str) -> Result<PatternId, Box<str>> {
        let id = self.builder.intern(subject, expression)?;
        self.ids.push(id);
        Ok(id)
    }
}

impl FirstError {
    fn add(&mut self, field: &str, error: &str) {
        if self.first.is_none() {
            self.first = Some(format!("{}.{field}: {error}", self.place));
        }
    }

    fn or_default<T: Default>(&mut self, field: &str, result: Result<T, String>) -> T {
        result.unwrap_or_else(|error| {
            self.add(field, &error);
            T::default()
        })
    }

    fn failure(&self, field: &str, error: &str) -> RuleError {
        RuleError { kind: RuleErrorKind::InvalidRule, message: format!("{}.{field}: {error}", self.place) }
    }
}
