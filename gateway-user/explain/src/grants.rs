//! ReferenceGrants that would let the rule that took a request reach its backends. Each is tried: it is told only if the
//! translation with it has fewer backends without leave.

use gateway_api_types::{GATEWAY_GROUP, Kind, Object, ObjectKey, ResourceSet};
use gateway_ir::{Action, Ir, Route, RouteId, RuleErrorKind, WeightedTarget};
use gateway_snapshot::Rule;
use gateway_translate::translate;
use serde_json::json;

use crate::Lookup;
use crate::loss::Remedy;

/// A reference of a rule to another namespace.
struct Reference {
    group: String,
    kind: String,
    namespace: String,
    name: String,
}

/// The missing grants that help, in YAML and as objects.
///
/// # Errors
/// A grant is not what the schema asks for.
pub(crate) fn missing(lookup: &Lookup<'_>, rule: &Rule) -> Result<Vec<Remedy>, serde_json::Error> {
    let route = &rule.route.id;
    let at = rule.index as usize;
    let before = refused(&lookup.translation.ir, route, at);
    let mut missing = Vec::new();
    if before == 0 {
        return Ok(missing);
    }
    for reference in references(lookup.resources, route, at) {
        let grant = json!({
            "metadata": {"name": grant_name(route, &reference), "namespace": reference.namespace},
            "spec": {
                "from": [{"group": GATEWAY_GROUP, "kind": route.kind.as_str(), "namespace": *route.object.namespace}],
                "to": [{"group": reference.group, "kind": reference.kind, "name": reference.name}],
            },
        });
        let object = Object::from_value(Kind::ReferenceGrant, grant)?;
        let remedy = Remedy { text: yaml(route, &reference), object };
        if refused(&translate(&remedy.apply(lookup.resources), lookup.options).ir, route, at) < before {
            missing.push(remedy);
        }
    }
    Ok(missing)
}

/// Backends of a rule that it may not refer to.
fn refused(ir: &Ir, route: &RouteId, rule: usize) -> usize {
    let Some(Route::Http(route)) = ir.routes.get(route).map(|route| &**route) else { return 0 };
    match route.rules.get(rule).map(|rule| &rule.action) {
        Some(Action::Forward(backends)) => {
            let is_refused = |target: &WeightedTarget| matches!(target, WeightedTarget::Fail(error) if error.kind == RuleErrorKind::RefNotPermitted);
            backends.iter().filter(|one| is_refused(&one.target)).count()
        }
        Some(Action::Fail(error)) => usize::from(error.kind == RuleErrorKind::RefNotPermitted),
        _ => 0,
    }
}

/// The references of a rule that leave its namespace, each once.
fn references(resources: &ResourceSet, route: &RouteId, rule: usize) -> Vec<Reference> {
    let key = ObjectKey::new(&*route.object.namespace, &*route.object.name);
    let of = |backend: &gateway_api_types::BackendObjectReference| {
        let namespace = backend.namespace.clone().filter(|name| **name != *route.object.namespace)?;
        let (group, kind, name) = (backend.group.clone(), backend.kind.clone(), backend.name.clone());
        Some(Reference { group, kind, namespace, name })
    };
    let http = resources.http_routes.get(&key).filter(|_| route.kind.as_str() == Kind::HttpRoute.to_string());
    let grpc = resources.grpc_routes.get(&key).filter(|_| route.kind.as_str() == Kind::GrpcRoute.to_string());
    let http =
        http.and_then(|route| route.spec.rules.get(rule)).into_iter().flat_map(|rule| &rule.backend_refs);
    let grpc =
        grpc.and_then(|route| route.spec.rules.get(rule)).into_iter().flat_map(|rule| &rule.backend_refs);
    let mut all: Vec<_> =
        http.map(|one| &one.backend).chain(grpc.map(|one| &one.backend)).filter_map(of).collect();
    all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    all.dedup_by(|a, b| (&a.namespace, &a.kind, &a.name) == (&b.namespace, &b.kind, &b.name));
    all
}

fn grant_name(route: &RouteId, to: &Reference) -> String {
    format!("{}-of-{}-to-{}", route.kind.as_str().to_ascii_lowercase(), route.object.namespace, to.name)
}

fn yaml(route: &RouteId, to: &Reference) -> String {
    let Reference { group, kind, namespace, name } = to;
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {{name: {}, namespace: {namespace}}}
spec:
  from: [{{group: {GATEWAY_GROUP}, kind: {}, namespace: {}}}]
  to: [{{group: {group:?}, kind: {kind}, name: {name}}}]
",
        grant_name(route, to),
        route.kind.as_str(),
        route.object.namespace,
    )
}
