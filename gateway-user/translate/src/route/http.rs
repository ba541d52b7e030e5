//! HTTPRoutes.

use std::borrow::Cow;

use gateway_api_types::{
    GatewayDefaultScope, HttpMethod, HttpPathMatch, HttpRoute, HttpRouteMatch, HttpRouteRule, MatchType,
    ParentReference, PathMatchType,
};
use gateway_ir::RouteKind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{MatchSpec, Route, RuleSpec, Rules};

impl Route for HttpRoute {
    fn kind(&self) -> RouteKind {
        RouteKind::HTTPRoute
    }

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn parent_refs(&self) -> &[ParentReference] {
        &self.spec.parent_refs
    }

    fn hostnames(&self) -> &[String] {
        &self.spec.hostnames
    }

    fn default_scope(&self) -> Option<&GatewayDefaultScope> {
        self.spec.use_default_gateways.as_ref()
    }

    fn rules(&self) -> Rules<'_> {
        Rules::Http(match self.spec.rules.is_empty() {
            true => vec![RuleSpec::default()],
            false => self.spec.rules.iter().map(rule).collect(),
        })
    }

    fn has_expressions(&self) -> bool {
        let matches = || self.spec.rules.iter().flat_map(|rule| &rule.matches);
        matches().any(|one| {
            one.path.type_ == PathMatchType::RegularExpression
                || one.headers.iter().any(|header| header.type_ == MatchType::RegularExpression)
                || one.query_params.iter().any(|param| param.type_ == MatchType::RegularExpression)
        })
    }
}

fn rule(spec: &HttpRouteRule) -> RuleSpec<'_> {
    let matches = match spec.matches.is_empty() {
        true => vec![MatchSpec::default()],
        false => spec.matches.iter().map(MatchSpec::from).collect(),
    };
    RuleSpec {
        name: spec.name.as_deref(),
        matches,
        filters: Cow::Borrowed(&spec.filters),
        backends: Cow::Borrowed(&spec.backend_refs),
        timeouts: spec.timeouts.as_ref(),
        retry: spec.retry.as_ref(),
        has_session_persistence: spec.session_persistence.is_some(),
    }
}

impl<'a> From<&'a HttpRouteMatch> for MatchSpec<'a> {
    fn from(spec: &'a HttpRouteMatch) -> Self {
        let HttpPathMatch { type_, value } = &spec.path;
        Self {
            path_type: *type_,
            path: Cow::Borrowed(value),
            path_field: "path.value",
            method: spec.method.map(HttpMethod::as_str),
            headers: Cow::Borrowed(&spec.headers),
            query: &spec.query_params,
            grpc: None,
        }
    }
}

/// Every request.
impl Default for MatchSpec<'_> {
    fn default() -> Self {
        Self {
            path_type: PathMatchType::PathPrefix,
            path: Cow::Borrowed("/"),
            path_field: "path.value",
            method: None,
            headers: Cow::Borrowed(&[]),
            query: &[],
            grpc: None,
        }
    }
}

/// Every request, and no backend.
impl Default for RuleSpec<'_> {
    fn default() -> Self {
        Self {
            name: None,
            matches: vec![MatchSpec::default()],
            filters: Cow::Borrowed(&[]),
            backends: Cow::Borrowed(&[]),
            timeouts: None,
            retry: None,
            has_session_persistence: false,
        }
    }
}
