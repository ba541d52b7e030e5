//! Routes that would take a request if nothing were in their way: each is attached by itself to an imagined Gateway that
//! allows every route on every host, and looked up as workers look it up.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_api_types::{Kind, Object, ObjectKey, ParentReference, ResourceSet};
use gateway_ir::RouteId;
use gateway_regex::Library;
use gateway_snapshot::rewrite::Scheme;
use gateway_snapshot::{ExplainedHit, Generation, RequestView, compile_from, explain};
use gateway_translate::{TranslateOptions, translate};
use serde_json::json;

/// Name of the imagined class and Gateway. They are alone with one route, so that nothing else can have it.
const IMAGINED: &str = "imagined";

/// A route that would take the request.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The route.
    pub(super) route: RouteId,
    /// Its rule and match, on the imagined listener.
    pub(super) hit: ExplainedHit,
}

/// Every such route, by kind and name.
///
/// # Errors
/// The imagined objects are not what the schemas ask for.
pub(super) fn candidates(
    resources: &ResourceSet,
    options: &TranslateOptions,
    library: &Library,
    request: &RequestView<'_>,
) -> anyhow::Result<Vec<Candidate>> {
    let http = resources.http_routes.iter().map(|(key, route)| {
        let mut route = route.as_ref().clone();
        route.spec.parent_refs = imagined_parent(key);
        Object::HttpRoute(Arc::new(route))
    });
    let grpc = resources.grpc_routes.iter().map(|(key, route)| {
        let mut route = route.as_ref().clone();
        route.spec.parent_refs = imagined_parent(key);
        Object::GrpcRoute(Arc::new(route))
    });
    let mut found = Vec::new();
    for route in http.chain(grpc) {
        found.extend(attached(route, options, library, request)?);
    }
    Ok(found)
}

/// The route as it takes the request on the imagined listener, if it does.
fn attached(
    route: Object,
    options: &TranslateOptions,
    library: &Library,
    request: &RequestView<'_>,
) -> anyhow::Result<Option<Candidate>> {
    let namespace = route.key().namespace;
    let class = json!({
        "metadata": {"name": IMAGINED}, "spec": {"controllerName": options.controller_name},
    });
    let gateway = json!({
        "metadata": {"name": IMAGINED, "namespace": namespace},
        "spec": {"gatewayClassName": IMAGINED, "listeners": [{"name": IMAGINED, "protocol": "HTTP", "port": 80}]},
    });
    let objects =
        [Object::from_value(Kind::GatewayClass, class)?, Object::from_value(Kind::Gateway, gateway)?, route];
    let alone: ResourceSet = objects.into_iter().map(|object| (object, None)).collect();
    let ir = translate(&alone, options).ir;
    let snapshot = compile_from(library, &ir, Generation(1), None);
    let local = SocketAddr::from(([127, 0, 0, 1], 80));
    let hit = explain(&snapshot, local, Scheme::Http, request).hit;
    Ok(hit.map(|hit| Candidate { route: hit.rule.route.id.clone(), hit }))
}

fn imagined_parent(route: &ObjectKey) -> Vec<ParentReference> {
    vec![ParentReference {
        group: gateway_api_types::GATEWAY_GROUP.to_owned(),
        kind: Kind::Gateway.to_string(),
        namespace: Some(route.namespace.clone()),
        name: IMAGINED.to_owned(),
        section_name: None,
        port: None,
    }]
}
