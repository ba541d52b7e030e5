//! Routes that would take a request if nothing were in their way: each is attached by itself to an imagined Gateway that
//! allows every route on every host, and looked up as workers look it up.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_api_types::{Kind, Object, ObjectKey, ParentReference, ResourceSet};
use gateway_ir::RouteId;
use gateway_snapshot::rewrite::Scheme;
use gateway_snapshot::{ExplainedHit, Generation, compile_from, explain};
use gateway_translate::translate;
use serde_json::json;

use crate::Lookup;

/// Name of the imagined class and Gateway. They are alone with one route, so that nothing else can have it.
const IMAGINED: &str = "imagined";

/// A route that would take the request.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The route.
    pub(crate) route: RouteId,
    /// Its rule and match, on the imagined listener.
    pub(crate) hit: ExplainedHit,
}

/// Every such route, by kind and name.
///
/// # Errors
/// The imagined objects are not what the schemas ask for.
pub(crate) fn candidates(lookup: &Lookup<'_>) -> Result<Vec<Candidate>, serde_json::Error> {
    let resources = lookup.resources;
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
        found.extend(attached(route, lookup)?);
    }
    Ok(found)
}

/// The route as it takes the request on the imagined listener, if it does.
fn attached(route: Object, lookup: &Lookup<'_>) -> Result<Option<Candidate>, serde_json::Error> {
    let namespace = route.key().namespace;
    let class = json!({
        "metadata": {"name": IMAGINED}, "spec": {"controllerName": lookup.options.controller_name},
    });
    let gateway = json!({
        "metadata": {"name": IMAGINED, "namespace": namespace},
        "spec": {"gatewayClassName": IMAGINED, "listeners": [{"name": IMAGINED, "protocol": "HTTP", "port": 80}]},
    });
    let objects =
        [Object::from_value(Kind::GatewayClass, class)?, Object::from_value(Kind::Gateway, gateway)?, route];
    let alone: ResourceSet = objects.into_iter().map(|object| (object, None)).collect();
    let ir = translate(&alone, lookup.options).ir;
    let snapshot = compile_from(lookup.library, &ir, Generation(1), None);
    let local = SocketAddr::from(([127, 0, 0, 1], 80));
    let hit = explain(&snapshot, local, Scheme::Http, lookup.request).hit;
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
