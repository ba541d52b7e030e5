//! One rule of a route: matches, filters, backends, timeouts, and everything that is wrong with them.

use gateway_api_types::{BackendObjectReference, HttpBackendRef, HttpRouteFilterType, HttpRouteTimeouts};
use gateway_ir::{
    Action, Filter, HttpRule, L4Backend, L4Rule, RouteId, RouteKind, RuleError, RuleErrorKind, Timeouts,
    WeightedBackend, WeightedTarget,
};

use crate::diagnostics::ConfigError;
use crate::grants::Referrer;
use crate::matching::ExpressionUse;
use crate::price::RejectedParts;
use crate::read::Reader;
use crate::route::{L4RuleSpec, RuleSpec, fate};
use crate::{backend, duration, filters, matching, reason, retry, unreachable};

/// A translated rule and what status and findings say about it.
#[derive(Debug)]
pub(crate) struct RuleState<R> {
    pub(crate) rule: R,
    pub(crate) report: RuleReport,
}

/// Everything that status and findings say about a rule.
#[derive(Debug, Default)]
pub(crate) struct RuleReport {
    /// The errors for which it responds 500 as a whole; empty if it is served: `Accepted` or
    /// `PartiallyInvalid`.
    pub(crate) invalid: Vec<ConfigError>,
    /// backendRefs that cannot be used: `ResolvedRefs`.
    pub(crate) unresolved: Vec<ConfigError>,
    /// Parts that are served otherwise than written: field and message.
    pub(crate) ignored: Vec<(String, String)>,
    /// backendRefs some endpoints of which are not used: field and message, said beside `ResolvedRefs`.
    pub(crate) doubted: Vec<(String, String)>,
}

/// Translates `rules[index]`. An invalid rule keeps the matches that can be understood, and responds to them
/// with 500: requests that it was meant for must not fall through to another rule.
pub(crate) fn translate(
    reader: &Reader<'_, '_>,
    route: &RouteId,
    index: usize,
    spec: &RuleSpec<'_>,
    refusals: &RejectedParts,
) -> RuleState<HttpRule> {
    let field = format!("rules[{index}]");
    let of_rule = refusals.rules.get(&index);
    let judge = |text: &str| match (refusals.texts.get(text), of_rule) {
        (Some(why), _) => ExpressionUse::Refused(why.clone()),
        (None, Some(_)) => ExpressionUse::RefusedWithRule,
        (None, None) => ExpressionUse::Used,
    };
    let (matches, mut bad_matches) = matching::matches(&spec.matches, &field, &judge);
    let of_rule =
        of_rule.map(|why| ConfigError::new(reason::UNSUPPORTED_VALUE, format!("{field}.matches"), &**why));
    bad_matches.extend(of_rule);
    let mut state = RuleState {
        rule: HttpRule {
            name: spec.name.map(str::to_owned),
            matches,
            filters: Vec::new(),
            action: Action::Forward(Vec::new()),
            timeouts: Timeouts::default(),
            retry: None,
        },
        report: RuleReport {
            invalid: bad_matches,
            ignored: not_built(spec, &field),
            ..RuleReport::default()
        },
    };
    state.report.ignored.extend(unreachable::conditions(&spec.matches, reader.requests(), &field));
    let scope = Scope { reader, referrer: Referrer::route(route) };
    let backends = backends(scope, spec, &field, &mut state);
    match all_but_backends(scope, spec, &field, &mut state) {
        Ok(redirect) => {
            let ignored = &mut state.report.ignored;
            state.rule.action = action(route.kind, redirect, backends, &field, ignored);
        }
        Err(error) => state.report.invalid.push(error),
    }
    if !state.report.invalid.is_empty() {
        let message = reason::join_errors(&state.report.invalid);
        state.rule.filters.clear();
        state.rule.retry = None;
        state.rule.action = Action::Fail(RuleError { kind: RuleErrorKind::InvalidRule, message });
    }
    state
}

/// The objects that a rule may refer to.
#[derive(Clone, Copy)]
struct Scope<'s, 'v, 'a> {
    reader: &'s Reader<'v, 'a>,
    referrer: Referrer<'s>,
}

/// Translates the only rule of a route for connections.
pub(crate) fn translate_l4(
    reader: &Reader<'_, '_>,
    route: &RouteId,
    spec: L4RuleSpec<'_>,
) -> RuleState<L4Rule> {
    let (field, referrer) = ("rules[0]", Referrer::route(route));
    let mut report = RuleReport::default();
    let backends = spec.backends.iter().enumerate().map(|(index, reference)| {
        let field = format!("{field}.backendRefs[{index}]");
        let target = target(reader, referrer, &reference.backend, &field, &mut report);
        L4Backend { weight: reference.weight, target }
    });
    let backends: Vec<_> = backends.collect();
    if backends.iter().all(|backend| backend.weight == 0) {
        report
            .ignored
            .push((format!("{field}.backendRefs"), format!("every weight is 0; {}", fate(route.kind))));
    }
    RuleState { rule: L4Rule { name: spec.name.map(str::to_owned), backends }, report }
}

fn all_but_backends(
    scope: Scope<'_, '_, '_>,
    spec: &RuleSpec<'_>,
    field: &str,
    state: &mut RuleState<HttpRule>,
) -> Result<Option<gateway_ir::Redirect>, ConfigError> {
    let chain = chain(scope, &spec.filters, field, state)?;
    if chain.redirect.is_some() && chain.filters.iter().any(|filter| filter.copies_to().is_some()) {
        let message = "a RequestRedirect sends nothing to a backend, so nothing is copied either".to_owned();
        state.report.ignored.push((format!("{field}.filters"), message));
    }
    state.rule.filters = chain.filters;
    state.rule.timeouts = timeouts(spec.timeouts, field)?;
    state.rule.retry = retry::translate(spec.retry, field, &mut state.report.ignored)?;
    if chain.redirect.is_some() && state.rule.retry.take().is_some() {
        let message = "a RequestRedirect sends nothing to a backend, so nothing is tried again".to_owned();
        state.report.ignored.push((format!("{field}.retry"), message));
    }
    if chain.redirect.is_some() && !spec.backends.is_empty() {
        return Err(ConfigError::new(
            reason::INCOMPATIBLE_FILTERS,
            format!("{field}.backendRefs"),
            "RequestRedirect answers by itself; take the filter or the backendRefs away",
        ));
    }
    Ok(chain.redirect)
}

fn action(
    kind: RouteKind,
    redirect: Option<gateway_ir::Redirect>,
    backends: Vec<WeightedBackend>,
    field: &str,
    ignored: &mut Vec<(String, String)>,
) -> Action {
    if let Some(redirect) = redirect {
        return Action::Redirect(redirect);
    }
    if backends.iter().any(|backend| backend.weight > 0) {
        return Action::Forward(backends);
    }
    let (field, what) = match (backends.is_empty(), kind) {
        (true, RouteKind::HTTPRoute) => (field.to_owned(), "no backendRefs and no RequestRedirect"),
        (true, _) => (field.to_owned(), "no backendRefs"),
        (false, _) => (format!("{field}.backendRefs"), "every weight is 0"),
    };
    let message = format!("{what}; {}", fate(kind));
    let failure = RuleError { kind: RuleErrorKind::NoBackend, message: format!("{field}: {message}") };
    ignored.push((field, message));
    Action::Fail(failure)
}

/// A filter list of the rule or of one of its backendRefs, whose mirrors are backends too.
fn chain(
    Scope { reader, referrer }: Scope<'_, '_, '_>,
    spec: &[gateway_api_types::HttpRouteFilter],
    field: &str,
    state: &mut RuleState<HttpRule>,
) -> Result<filters::FilterChain, ConfigError> {
    let RuleState { rule, report } = state;
    let mut mirror = |reference: &BackendObjectReference, field: &str| {
        target(reader, referrer, reference, field, report).cluster().cloned()
    };
    let chain = filters::chain(spec, &rule.matches, field, &mut mirror)?;
    report.ignored.extend(chain.ignored.iter().cloned());
    Ok(chain)
}

fn backends(
    scope: Scope<'_, '_, '_>,
    spec: &RuleSpec<'_>,
    field: &str,
    state: &mut RuleState<HttpRule>,
) -> Vec<WeightedBackend> {
    let mut backends = Vec::with_capacity(spec.backends.len());
    for (index, reference) in spec.backends.iter().enumerate() {
        let field = format!("{field}.backendRefs[{index}]");
        let target = target(scope.reader, scope.referrer, &reference.backend, &field, &mut state.report);
        let filters = match backend_filters(scope, spec, reference, &field, state) {
            Ok(filters) => filters,
            Err(error) => {
                state.report.invalid.push(error);
                Vec::new()
            }
        };
        backends.push(WeightedBackend { weight: reference.weight, target, filters });
    }
    backends
}

/// The destination of a backendRef.
fn target(
    reader: &Reader<'_, '_>,
    referrer: Referrer<'_>,
    reference: &BackendObjectReference,
    field: &str,
    report: &mut RuleReport,
) -> WeightedTarget {
    match backend::resolve(reader, referrer, reference, field) {
        Ok(backend) => {
            report.ignored.extend(backend.note);
            let service = &backend.cluster.service;
            let refused = reader.refused_endpoints(&service.namespace, &service.name);
            let told = |refused| (field.to_owned(), format!("Service \"{service}\": {refused}"));
            report.doubted.extend(refused.map(told));
            WeightedTarget::Cluster(backend.cluster)
        }
        Err(unresolved) => {
            let failure = RuleError { kind: unresolved.kind, message: unresolved.error.plain() };
            report.unresolved.push(unresolved.error);
            WeightedTarget::Fail(failure)
        }
    }
}

/// Filters of one backendRef. They run after the rule's, so a redirect comes too late here, and a path that
/// the rule has rewritten has no prefix left to replace.
fn backend_filters(
    scope: Scope<'_, '_, '_>,
    rule: &RuleSpec<'_>,
    spec: &HttpBackendRef,
    field: &str,
    state: &mut RuleState<HttpRule>,
) -> Result<Vec<Filter>, ConfigError> {
    let chain = chain(scope, &spec.filters, field, state)?;
    if chain.redirect.is_some() {
        return Err(ConfigError::new(
            reason::UNSUPPORTED_VALUE,
            format!("{field}.filters"),
            "RequestRedirect is not supported on a backendRef; put it into the rule's filters",
        ));
    }
    let rewrites_path = |filters: &[gateway_api_types::HttpRouteFilter]| {
        filters.iter().any(|filter| {
            filter.type_ == HttpRouteFilterType::UrlRewrite
                && filter.url_rewrite.as_ref().is_some_and(|rewrite| rewrite.path.is_some())
        })
    };
    if rewrites_path(&rule.filters) && rewrites_path(&spec.filters) {
        return Err(ConfigError::new(
            reason::INCOMPATIBLE_FILTERS,
            format!("{field}.filters"),
            "the rule and its backendRef both rewrite the path; keep one of them",
        ));
    }
    Ok(chain.filters)
}

fn timeouts(spec: Option<&HttpRouteTimeouts>, field: &str) -> Result<Timeouts, ConfigError> {
    let Some(spec) = spec else { return Ok(Timeouts::default()) };
    let request_ms = duration(spec.request.as_deref(), &format!("{field}.timeouts.request"))?;
    let backend_request_ms =
        duration(spec.backend_request.as_deref(), &format!("{field}.timeouts.backendRequest"))?;
    if let (Some(request), Some(backend)) = (request_ms, backend_request_ms)
        && request != 0
        && backend > request
    {
        return Err(ConfigError::new(
            reason::UNSUPPORTED_VALUE,
            format!("{field}.timeouts.backendRequest"),
            "backendRequest must not be longer than request, which covers it",
        ));
    }
    Ok(Timeouts { request_ms, backend_request_ms })
}

fn duration(text: Option<&str>, field: &str) -> Result<Option<u64>, ConfigError> {
    text.map(|text| duration::parse(text, field)).transpose()
}

/// Fields that are valid and have no effect yet.
fn not_built(spec: &RuleSpec<'_>, field: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    if spec.has_session_persistence {
        let message = "sessionPersistence is not supported; requests go to any endpoint".to_owned();
        fields.push((format!("{field}.sessionPersistence"), message));
    }
    fields
}
