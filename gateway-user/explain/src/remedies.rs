//! Changes of one object after which a reason is gone.

use std::sync::Arc;

use gateway_api_types::{
    AllowedListeners, FromNamespaces, GATEWAY_GROUP, Gateway, Kind, LabelSelector, LabelSelectorRequirement,
    ListenerNamespaces, Object, ObjectKey, ParentReference,
};
use gateway_ir::{RouteId, RouteKind};

use crate::Lookup;
use crate::holder::Holder;
use crate::loss::Remedy;

/// The label that each namespace has of itself.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The route with the listener that took the request's host as a parent: in the place of the one at `at`, or beside the
/// others. `None` if no listener takes the host, or a parent names it already.
pub(crate) fn another_parent(lookup: &Lookup<'_>, route: &RouteId, at: Option<usize>) -> Option<Remedy> {
    let taker = &lookup.explanation.listener.as_ref()?.id;
    let (kind, name) = match &taker.set {
        Some(set) => (Kind::ListenerSet, set),
        None => (Kind::Gateway, &taker.gateway),
    };
    let parent = ParentReference {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.to_string(),
        namespace: Some(name.namespace.to_string()),
        name: name.name.to_string(),
        section_name: Some(taker.listener.clone()),
        port: None,
    };
    let mut parents = lookup.parents(route).to_vec();
    if parents.contains(&parent) {
        return None;
    }
    let at = at.unwrap_or(parents.len());
    let shown_kind = if taker.set.is_some() { format!("kind: {kind}, ") } else { String::new() };
    let text = format!(
        "parentRefs[{at}]: {{{shown_kind}name: {}, namespace: {}, sectionName: {}}}",
        name.name, name.namespace, taker.listener
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

/// The change that has a listener of a Gateway or ListenerSet let the namespace in: its labels where the listener asks for some,
/// else the listener. `None` where kinds are what it does not let in.
pub(crate) fn leave(
    lookup: &Lookup<'_>,
    route: &RouteId,
    holder: Holder<'_>,
    parent: &ParentReference,
) -> Option<Remedy> {
    let section = parent.section_name.as_deref().filter(|name| !name.is_empty());
    let is_meant = |listener: &gateway_api_types::Listener| {
        section.is_none_or(|name| name == listener.name)
            && parent.port.is_none_or(|port| port == listener.port)
    };
    let at = holder.listeners().iter().position(is_meant)?;
    let listener = holder.listeners().get(at)?;
    if !holder.allows_kind(lookup, route, &listener.name) {
        return None;
    }
    let namespaces = &listener.allowed_routes.namespaces;
    let namespace = &route.object.namespace;
    match (namespaces.from, &namespaces.selector) {
        (FromNamespaces::Selector, Some(selector)) => labelled(lookup, namespace, selector),
        (FromNamespaces::Same, _) => {
            let values = vec![holder.name().namespace, namespace.to_string()];
            let kind = holder.kind();
            let text = format!("{kind} listeners[{at}].allowedRoutes.namespaces: {}", by_name_text(&values));
            let object = holder.changed(at, |allowed| {
                allowed.from = FromNamespaces::Selector;
                allowed.selector = Some(by_name(values));
            })?;
            Some(Remedy { text, object })
        }
        _ => None,
    }
}

/// The change that has a Gateway let the ListenerSets of a namespace in: its labels where the Gateway asks for some, else
/// `allowedListeners`.
pub(crate) fn let_in(lookup: &Lookup<'_>, gateway: &Gateway, namespace: &str) -> Option<Remedy> {
    let allowed = gateway.spec.allowed_listeners.as_ref().map(|allowed| &allowed.namespaces);
    let own = || gateway.metadata.namespace.clone().unwrap_or_default();
    let values = match allowed.map(|allowed| (allowed.from, &allowed.selector)) {
        Some((FromNamespaces::Selector, Some(selector))) => return labelled(lookup, namespace, selector),
        Some((FromNamespaces::Same, _)) => vec![own(), namespace.to_owned()],
        None | Some((FromNamespaces::None, _)) => vec![namespace.to_owned()],
        Some((FromNamespaces::All | FromNamespaces::Selector, _)) => return None,
    };
    let text = format!("Gateway allowedListeners.namespaces: {}", by_name_text(&values));
    let mut changed = gateway.clone();
    let namespaces = ListenerNamespaces { from: FromNamespaces::Selector, selector: Some(by_name(values)) };
    changed.spec.allowed_listeners = Some(AllowedListeners { namespaces });
    Some(Remedy { text, object: Object::Gateway(Arc::new(changed)) })
}

/// The selector of namespaces by their names.
fn by_name(values: Vec<String>) -> LabelSelector {
    let only = LabelSelectorRequirement { key: NAME_LABEL.into(), operator: "In".into(), values };
    LabelSelector { match_expressions: vec![only], ..LabelSelector::default() }
}

fn by_name_text(values: &[String]) -> String {
    format!(
        "{{from: Selector, selector: {{matchExpressions: [{{key: {NAME_LABEL}, operator: In, values: [{}]}}]}}}}",
        values.join(", ")
    )
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
