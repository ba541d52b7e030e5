//! GRPCRoutes (GEP-1016), as rules for HTTP requests: gRPC is a `POST` to `/service/method` (gRPC over
//! HTTP/2, "Requests").

use std::borrow::Cow;

use gateway_api_types::{
    GatewayDefaultScope, GrpcBackendRef, GrpcHeaderMatch, GrpcMethodMatch, GrpcRoute, GrpcRouteFilter,
    GrpcRouteFilterType, GrpcRouteMatch, GrpcRouteRule, HttpBackendRef, HttpHeaderMatch, HttpRouteFilter,
    HttpRouteFilterType, MatchType, ParentReference, PathMatchType,
};
use gateway_ir::{GrpcMatch, RouteKind};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{MatchSpec, Route, RuleSpec, Rules};

impl Route for GrpcRoute {
    fn kind(&self) -> RouteKind {
        RouteKind::GRPCRoute
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
            true => vec![RuleSpec { matches: vec![every_call()], ..RuleSpec::default() }],
            false => self.spec.rules.iter().map(rule).collect(),
        })
    }

    fn has_expressions(&self) -> bool {
        let matches = || self.spec.rules.iter().flat_map(|rule| &rule.matches);
        matches().any(|one| {
            one.method.as_ref().is_some_and(|method| method.type_ == MatchType::RegularExpression)
                || one.headers.iter().any(|header| header.type_ == MatchType::RegularExpression)
        })
    }
}

fn rule(spec: &GrpcRouteRule) -> RuleSpec<'_> {
    let matches = match spec.matches.is_empty() {
        true => vec![every_call()],
        false => spec.matches.iter().map(call).collect(),
    };
    RuleSpec {
        name: spec.name.as_deref(),
        matches,
        filters: Cow::Owned(spec.filters.iter().map(filter).collect()),
        backends: Cow::Owned(spec.backend_refs.iter().map(backend).collect()),
        timeouts: None,
        retry: None,
        has_session_persistence: spec.session_persistence.is_some(),
    }
}

fn every_call() -> MatchSpec<'static> {
    MatchSpec { path_field: "method", grpc: Some(GrpcMatch::default()), ..MatchSpec::default() }
}

fn call(spec: &GrpcRouteMatch) -> MatchSpec<'static> {
    let headers = spec.headers.iter().map(header).collect();
    let named = spec.method.as_ref().map(method).unwrap_or_else(every_call);
    MatchSpec { headers: Cow::Owned(headers), ..named }
}

/// Service and method: both are a whole path, a service alone is a prefix of it. A method of any service goes
/// after every service, so it is a condition beside the path; as an expression it goes with the others, whose
/// place the specification leaves to the implementation.
fn method(spec: &GrpcMethodMatch) -> MatchSpec<'static> {
    let given = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
    let (service, method) = (given(&spec.service), given(&spec.method));
    let path = |path_type, path: String| MatchSpec { path_type, path: Cow::Owned(path), ..every_call() };
    match (spec.type_, service, method) {
        (_, None, None) => every_call(),
        (MatchType::Exact, Some(service), Some(method)) => {
            path(PathMatchType::Exact, format!("/{service}/{method}"))
        }
        (MatchType::Exact, Some(service), None) => path(PathMatchType::PathPrefix, format!("/{service}")),
        (MatchType::Exact, None, method) => MatchSpec { grpc: Some(GrpcMatch { method }), ..every_call() },
        (MatchType::RegularExpression, service, method) => {
            path(PathMatchType::RegularExpression, expression(service.as_deref(), method.as_deref()))
        }
    }
}

/// One expression for the path. A part that is none by itself, such as `a)|(b`, would be another one inside
/// the whole: it is taken alone, to be refused with what is wrong with it.
fn expression(service: Option<&str>, method: Option<&str>) -> String {
    if let Some(invalid) = [service, method].into_iter().flatten().find(|part| !gateway_regex::is_valid(part))
    {
        return invalid.to_owned();
    }
    let part = |text: Option<&str>| text.map_or_else(|| "[^/]+".to_owned(), |text| format!("(?:{text})"));
    format!("/{}/{}", part(service), part(method))
}

fn header(spec: &GrpcHeaderMatch) -> HttpHeaderMatch {
    HttpHeaderMatch { type_: spec.type_, name: spec.name.clone(), value: spec.value.clone() }
}

fn backend(spec: &GrpcBackendRef) -> HttpBackendRef {
    HttpBackendRef {
        backend: spec.backend.clone(),
        weight: spec.weight,
        filters: spec.filters.iter().map(filter).collect(),
    }
}

fn filter(spec: &GrpcRouteFilter) -> HttpRouteFilter {
    let type_ = match spec.type_ {
        GrpcRouteFilterType::RequestHeaderModifier => HttpRouteFilterType::RequestHeaderModifier,
        GrpcRouteFilterType::ResponseHeaderModifier => HttpRouteFilterType::ResponseHeaderModifier,
        GrpcRouteFilterType::RequestMirror => HttpRouteFilterType::RequestMirror,
        GrpcRouteFilterType::ExtensionRef => HttpRouteFilterType::ExtensionRef,
    };
    HttpRouteFilter {
        type_,
        request_header_modifier: spec.request_header_modifier.clone(),
        response_header_modifier: spec.response_header_modifier.clone(),
        request_mirror: spec.request_mirror.clone(),
        request_redirect: None,
        url_rewrite: None,
        cors: None,
        external_auth: None,
        extension_ref: spec.extension_ref.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(type_: MatchType, service: &str, name: &str) -> (PathMatchType, String, Option<String>) {
        let spec =
            GrpcMethodMatch { type_, service: Some(service.to_owned()), method: Some(name.to_owned()) };
        let one = method(&spec);
        (one.path_type, one.path.into_owned(), one.grpc.unwrap().method)
    }

    #[test]
    fn service_and_method_are_a_path() {
        use PathMatchType::{Exact, PathPrefix, RegularExpression as Regex};
        let exact = |service, name| of(MatchType::Exact, service, name);
        assert_eq!(exact("a.B", "C"), (Exact, "/a.B/C".to_owned(), None));
        assert_eq!(exact("a.B", ""), (PathPrefix, "/a.B".to_owned(), None));
        assert_eq!(exact("", "C"), (PathPrefix, "/".to_owned(), Some("C".to_owned())));
        let regex = |service, name| of(MatchType::RegularExpression, service, name);
        assert_eq!(regex("a|b", "C.*"), (Regex, "/(?:a|b)/(?:C.*)".to_owned(), None));
        assert_eq!(regex("a|b", ""), (Regex, "/(?:a|b)/[^/]+".to_owned(), None));
        assert_eq!(regex("", "C.*"), (Regex, "/[^/]+/(?:C.*)".to_owned(), None));
    }

    #[test]
    fn a_part_that_is_no_expression_is_not_made_one_by_the_other() {
        for broken in ["a)|(?:b", "[a", "a\\", "(a"] {
            assert_eq!(expression(Some(broken), Some("b])")), broken);
            assert_eq!(expression(Some("a"), Some(broken)), broken);
        }
    }
}
