//! Changes of one object after which a reason is gone.

use std::sync::Arc;

use gateway_api_types::{
    FromNamespaces, GATEWAY_GROUP, Gateway, Kind, LabelSelector, LabelSelectorRequirement, Object, ObjectKey,
    ParentReference,
};
use gateway_ir::{RouteId, RouteKind};

use crate::Lookup;
use crate::loss::Remedy;

/// The label that each namespace has of itself.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The route with the listener that took the request's host as a parent: in the place of the one at `at`, or beside the
/// others. `None` if no listener takes the host, or a parent names it already.
pub(crate) fn another_parent(lookup: &Lookup<'_>, route: &RouteId, at: Option<usize>) -> Option<Remedy> {
    let taker = &lookup.explanation.listener.as_ref()?.id;
    let parent = ParentReference {
        group: GATEWAY_GROUP.to_owned(),
        kind: Kind::Gateway.to_string(),
        namespace: Some(taker.gateway.namespace.to_string()),
        name: taker.gateway.name.to_string(),
        section_name: Some(taker.listener.clone()),
        port: None,
    };
    let mut parents = lookup.parents(route).to_vec();
    if parents.contains(&parent) {
        return None;
    }
    let at = at.unwrap_or(parents.len());
    let text = format!(
        "parentRefs[{at}]: {{name: {}, namespace: {}, sectionName: {}}}",
        parent.name, taker.gateway.namespace, taker.listener
    );
    match parents.get_mut(at) {
        Some(there) => *there = parent,
        None => parents.push(parent),
    }
    Some(Remedy { text, object: with_parents(lookup, route, parents)? })
}

fn with_parents(lookup: &Lookup<'_>, route: &RouteId, parents: Vec<ParentReference>) -> Option<Object> {
    let key = ObjectKey::new(&*route.object.namespace, &*route.object.name);
    match route.kind {
        RouteKind::HTTPRoute => {
            let mut changed = lookup.resources.http_routes.get(&key)?.as_ref().clone();
            changed.spec.parent_refs = parents;
            Some(Object::HttpRoute(Arc::new(changed)))
        }
        RouteKind::GRPCRoute => {
            let mut changed = lookup.resources.grpc_routes.get(&key)?.as_ref().clone();
            changed.spec.parent_refs = parents;
            Some(Object::GrpcRoute(Arc::new(changed)))
        }
        _ => None,
    }
}

/// The change that has a listener of a Gateway let the namespace in: its labels where the listener asks for some, else the
/// listener. `None` where kinds are what it does not let in.
pub(crate) fn leave(
    lookup: &Lookup<'_>,
    route: &RouteId,
    gateway: &Gateway,
    parent: &ParentReference,
) -> Option<Remedy> {
    let section = parent.section_name.as_deref().filter(|name| !name.is_empty());
    let is_meant = |listener: &gateway_api_types::Listener| {
        section.is_none_or(|name| name == listener.name)
            && parent.port.is_none_or(|port| port == listener.port)
    };
    let at = gateway.spec.listeners.iter().position(is_meant)?;
    let listener = gateway.spec.listeners.get(at)?;
    if !allows_kind(lookup, route, gateway, &listener.name) {
        return None;
    }
    let namespaces = &listener.allowed_routes.namespaces;
    let namespace = &route.object.namespace;
    match (namespaces.from, &namespaces.selector) {
        (FromNamespaces::Selector, Some(selector)) => labelled(lookup, namespace, selector),
        (FromNamespaces::Same, _) => {
            let own = gateway.metadata.namespace.clone().unwrap_or_default();
            let values = vec![own, namespace.to_string()];
            let text = format!(
                "Gateway listeners[{at}].allowedRoutes.namespaces: {{from: Selector, selector: {{matchExpressions: \
                 [{{key: {NAME_LABEL}, operator: In, values: [{}]}}]}}}}",
                values.join(", ")
            );
            let mut changed = gateway.clone();
            let allowed = &mut changed.spec.listeners.get_mut(at)?.allowed_routes.namespaces;
            let only = LabelSelectorRequirement { key: NAME_LABEL.into(), operator: "In".into(), values };
            allowed.from = FromNamespaces::Selector;
            allowed.selector =
                Some(LabelSelector { match_expressions: vec![only], ..LabelSelector::default() });
            Some(Remedy { text, object: Object::Gateway(Arc::new(changed)) })
        }
        _ => None,
    }
}

/// True if the listener lets routes of that kind in, as its status says.
fn allows_kind(lookup: &Lookup<'_>, route: &RouteId, gateway: &Gateway, listener: &str) -> bool {
    let name = gateway_ir::ObjectName::new(
        gateway.metadata.namespace.as_deref().unwrap_or_default(),
        gateway.metadata.name.as_deref().unwrap_or_default(),
    );
    let status = lookup.translation.status.gateways.get(&name);
    let listeners = status.into_iter().flat_map(|status| &status.listeners);
    let kinds = listeners.filter(|one| one.name == listener).flat_map(|one| &one.supported_kinds);
    kinds.into_iter().any(|kind| kind.kind == route.kind.as_str())
}

/// The Namespace with the labels that a selector asks for. `None` if it is not among the resources, or has them.
fn labelled(lookup: &Lookup<'_>, namespace: &str, selector: &LabelSelector) -> Option<Remedy> {
    let there = lookup.resources.namespaces.get(&ObjectKey::new("", namespace))?;
    let mut changed = there.as_ref().clone();
    let labels = changed.metadata.labels.get_or_insert_default();
    let mut words = Vec::new();
    let mut set = |labels: &mut std::collections::BTreeMap<String, String>, key: &str, value: &str| {
        if labels.get(key).map(String::as_str) != Some(value) {
            words.push(format!("{key}={value}"));
            labels.insert(key.to_owned(), value.to_owned());
        }
    };
    for (key, value) in &selector.match_labels {
        set(labels, key, value);
    }
    for one in &selector.match_expressions {
        match (&*one.operator, one.values.first()) {
            ("In", Some(first)) if !labels.get(&one.key).is_some_and(|value| one.values.contains(value)) => {
                set(labels, &one.key, first);
            }
            ("Exists", None) if !labels.contains_key(&one.key) => set(labels, &one.key, ""),
            // A label that must go may be there for somebody else.
            ("NotIn" | "DoesNotExist", _) => return None,
            _ => {}
        }
    }
    if words.is_empty() {
        return None;
    }
    let text = format!("kubectl label --overwrite namespace {namespace} {}", words.join(" "));
    Some(Remedy { text, object: Object::Namespace(Arc::new(changed)) })
}
