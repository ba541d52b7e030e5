//! Notes on resources that are allowed and probably left over or forgotten: what is read may not be all that there is.

use std::collections::BTreeSet;

use gateway_api_types::{FromNamespaces, GATEWAY_GROUP, Kind, ObjectKey, ReferenceGrant, ResourceSet};
use gateway_ir::ObjectName;
use gateway_translate::{Diagnostic, ObjectRef, Severity, Translation, selects};
use serde_json::Value;

/// Fields that refer to objects, and the group and kind that a reference has without its own (gateway-api
/// `BackendObjectReference`, `SecretObjectReference`, `ObjectReference`).
const REFERENCES: [(&str, &str); 5] = [
    ("backendRefs", "Service"),
    ("backendRef", "Service"),
    ("certificateRefs", "Secret"),
    ("clientCertificateRef", "Secret"),
    ("caCertificateRefs", ""),
];

/// A reference to another namespace.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    from: Place,
    to: Place,
    name: String,
}

/// A group, kind and namespace.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    group: String,
    kind: String,
    namespace: String,
}

/// Every note, by kind and name.
///
/// # Errors
/// An object cannot be written as JSON.
pub(super) fn diagnostics(
    resources: &ResourceSet,
    translation: &Translation,
) -> Result<Vec<Diagnostic>, serde_json::Error> {
    let mut diagnostics = unused_grants(resources)?;
    diagnostics.extend(closed_listeners(resources, translation));
    diagnostics.extend(empty_services(resources, translation));
    Ok(diagnostics)
}

/// ReferenceGrants that no reference needs.
fn unused_grants(resources: &ResourceSet) -> Result<Vec<Diagnostic>, serde_json::Error> {
    let mut references = BTreeSet::new();
    for object in resources.iter() {
        let group = match object.kind() {
            Kind::Gateway
            | Kind::ListenerSet
            | Kind::HttpRoute
            | Kind::GrpcRoute
            | Kind::TcpRoute
            | Kind::TlsRoute
            | Kind::UdpRoute => GATEWAY_GROUP,
            _ => continue,
        };
        let namespace = object.key().namespace.to_string();
        let from = || Place {
            group: group.to_owned(),
            kind: object.kind().to_string(),
            namespace: namespace.clone(),
        };
        refer(&object.to_value()?, &from, &mut references);
    }
    let is_used =
        |grant: &ReferenceGrant, namespace: &str| references.iter().any(|one| opens(grant, namespace, one));
    let unused = resources.reference_grants.iter().filter(|(key, grant)| !is_used(grant, &key.namespace));
    let message = "no reference that was read needs it; take it away, or compare it with the referrer's kind and namespace";
    Ok(unused.map(|(key, _)| note(resources, Kind::ReferenceGrant, key, "", message.to_owned())).collect())
}

/// Collects the references of an object that leave its namespace.
fn refer(value: &Value, from: &impl Fn() -> Place, references: &mut BTreeSet<Reference>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| refer(one, from, references)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some((_, kind)) = REFERENCES.iter().find(|(field, _)| field == name) {
                    let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                    references.extend(all.iter().filter_map(|one| reference(one, kind, from())));
                }
                refer(value, from, references);
            }
        }
        _ => {}
    }
}

fn reference(value: &Value, kind: &str, from: Place) -> Option<Reference> {
    let text = |field: &str, none: &str| value[field].as_str().unwrap_or(none).to_owned();
    let namespace = value["namespace"].as_str().filter(|namespace| *namespace != from.namespace)?;
    let to = Place { group: text("group", ""), kind: text("kind", kind), namespace: namespace.to_owned() };
    Some(Reference { from, to, name: text("name", "") })
}

/// True if a grant of that namespace allows the reference.
fn opens(grant: &ReferenceGrant, namespace: &str, reference: &Reference) -> bool {
    let Reference { from, to, name } = reference;
    to.namespace == namespace
        && grant
            .spec
            .from
            .iter()
            .any(|one| (&one.group, &one.kind, &one.namespace) == (&from.group, &from.kind, &from.namespace))
        && grant.spec.to.iter().any(|one| {
            let named = one.name.as_deref().filter(|name| !name.is_empty());
            (&one.group, &one.kind) == (&to.group, &to.kind) && named.is_none_or(|named| named == name)
        })
}

/// Listeners whose selector selects none of the Namespaces that were read.
fn closed_listeners(resources: &ResourceSet, translation: &Translation) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    if resources.namespaces.is_empty() {
        return diagnostics;
    }
    let name = |key: &ObjectKey| ObjectName::new(&*key.namespace, &*key.name);
    let status = &translation.status;
    let gateways = resources.gateways.iter().filter(|(key, _)| status.gateways.contains_key(&name(key)));
    let gateways = gateways.map(|(key, one)| (Kind::Gateway, key, &one.spec.listeners));
    let sets =
        resources.listener_sets.iter().filter(|(key, _)| status.listener_sets.contains_key(&name(key)));
    let sets = sets.map(|(key, one)| (Kind::ListenerSet, key, &one.spec.listeners));
    for (kind, key, listeners) in gateways.chain(sets) {
        for (at, listener) in listeners.iter().enumerate() {
            let namespaces = &listener.allowed_routes.namespaces;
            let (FromNamespaces::Selector, Some(selector)) = (namespaces.from, &namespaces.selector) else {
                continue;
            };
            let is_selected = resources.namespaces.iter().any(|(key, namespace)| {
                selects(selector, &key.name, &namespace.metadata.labels.clone().unwrap_or_default())
            });
            if !is_selected {
                let field = format!("listeners[{at}].allowedRoutes.namespaces.selector");
                let message =
                    "it selects none of the Namespaces that were read, so no route can attach".to_owned();
                diagnostics.push(note(resources, kind, key, &field, message));
            }
        }
    }
    diagnostics
}

/// Services that routes send to and that have no usable endpoint, where endpoints are among the resources at all.
fn empty_services(resources: &ResourceSet, translation: &Translation) -> Vec<Diagnostic> {
    if resources.endpoint_slices.is_empty() {
        return Vec::new();
    }
    let empty = translation.endpoints.clusters.iter().filter(|(_, addresses)| addresses.is_empty());
    let mut diagnostics: Vec<_> = empty
        .filter_map(|(cluster, _)| {
            let key = ObjectKey::new(&*cluster.service.namespace, &*cluster.service.name);
            let is_there = resources.services.contains_key(&key);
            let message = format!("port {} has no usable endpoint; requests for it get 503", cluster.port);
            is_there.then(|| note(resources, Kind::Service, &key, "", message))
        })
        .collect();
    diagnostics.dedup();
    diagnostics
}

fn note(resources: &ResourceSet, kind: Kind, key: &ObjectKey, field: &str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Note,
        object: ObjectRef { kind, key: key.clone() },
        field: field.to_owned(),
        message,
        origin: resources.origin(kind, key).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use gateway_api_types::Object;
    use gateway_translate::{TranslateOptions, translate};
    use serde_json::json;

    use super::*;

    fn object(kind: Kind, namespace: &str, name: &str, rest: Value) -> Object {
        let mut value = json!({"metadata": {"name": name}});
        if !namespace.is_empty() {
            value["metadata"]["namespace"] = namespace.into();
        }
        for (field, part) in rest.as_object().unwrap() {
            value[field] = part.clone();
        }
        Object::from_value(kind, value).unwrap()
    }

    fn grant(name: &str, from: (&str, &str), to: Value) -> Object {
        let from = json!([{"group": GATEWAY_GROUP, "kind": from.0, "namespace": from.1}]);
        object(Kind::ReferenceGrant, "b", name, json!({"spec": {"from": from, "to": [to]}}))
    }

    fn said(objects: Vec<Object>) -> Vec<String> {
        let class = object(
            Kind::GatewayClass,
            "",
            "sluice",
            json!({"spec": {"controllerName": "sluice.dev/gateway"}}),
        );
        let all = objects.into_iter().chain([class]);
        let resources: ResourceSet = all.map(|object| (object, None)).collect();
        let translation = translate(&resources, &TranslateOptions::default());
        diagnostics(&resources, &translation).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn grants_that_no_reference_needs_are_noted() {
        let backend = json!({"name": "s", "namespace": "b", "port": 80});
        let mirror = json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "m", "namespace": "b", "port": 80}}});
        let rules = json!([{"backendRefs": [backend], "filters": [mirror]}]);
        let route = object(Kind::HttpRoute, "a", "r", json!({"spec": {"parentRefs": [], "rules": rules}}));
        let certificate = json!([{"name": "c", "namespace": "b"}]);
        let listener =
            json!({"name": "l", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": certificate}});
        let gateway = object(
            Kind::Gateway,
            "a",
            "g",
            json!({"spec": {"gatewayClassName": "sluice", "listeners": [listener]}}),
        );
        let service = |name: &str| json!({"group": "", "kind": "Service", "name": name});
        let grants = [
            grant("all", ("HTTPRoute", "a"), json!({"group": "", "kind": "Service"})),
            grant("mirror", ("HTTPRoute", "a"), service("m")),
            grant("secret", ("Gateway", "a"), json!({"group": "", "kind": "Secret", "name": "c"})),
            grant("other-kind", ("GRPCRoute", "a"), service("s")),
            grant("other-name", ("HTTPRoute", "a"), service("gone")),
            grant("other-namespace", ("HTTPRoute", "c"), service("s")),
        ];
        let said = said(grants.into_iter().chain([route, gateway]).collect());
        let unused: Vec<_> = said.iter().filter_map(|line| line.strip_prefix("ReferenceGrant b/")).collect();
        let names: Vec<_> = unused.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names, ["other-kind", "other-name", "other-namespace"], "{said:?}");
    }

    #[test]
    fn listeners_that_select_nobody_are_noted() {
        let listener = |label: &str| {
            json!({"name": label, "port": 80, "protocol": "HTTP", "hostname": format!("{label}.example"),
                "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": label}}}}})
        };
        let listeners = json!([listener("one"), listener("two")]);
        let gateway = object(
            Kind::Gateway,
            "a",
            "g",
            json!({"spec": {"gatewayClassName": "sluice", "listeners": listeners}}),
        );
        assert_eq!(said(vec![gateway.clone()]), [""; 0], "without Namespaces nothing is known of labels");
        let namespace = json!({"metadata": {"name": "t", "labels": {"team": "one"}}});
        let namespace = Object::from_value(Kind::Namespace, namespace).unwrap();
        let said = said(vec![gateway, namespace]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("Gateway a/g: listeners[1].allowedRoutes.namespaces.selector: "),
            "{said:?}"
        );
    }

    #[test]
    fn sets_are_linted_as_gateways_are() {
        let gateway = json!({"spec": {"gatewayClassName": "sluice", "allowedListeners": {"namespaces": {"from": "All"}},
            "listeners": [{"name": "own", "port": 80, "protocol": "HTTP", "hostname": "own.example"}]}});
        let listener = json!({"name": "l", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "c", "namespace": "b"}]},
            "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "two"}}}}});
        let set = json!({"spec": {"parentRef": {"name": "g", "namespace": "a"}, "listeners": [listener]}});
        let secret = json!({"group": "", "kind": "Secret", "name": "c"});
        let namespace = json!({"metadata": {"name": "t", "labels": {"team": "one"}}});
        let objects = vec![
            object(Kind::Gateway, "a", "g", gateway),
            object(Kind::ListenerSet, "s", "more", set),
            grant("of-the-set", ("ListenerSet", "s"), secret.clone()),
            grant("of-the-gateway", ("Gateway", "a"), secret),
            Object::from_value(Kind::Namespace, namespace).unwrap(),
        ];
        let said = said(objects);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("ReferenceGrant b/of-the-gateway: "), "{said:?}");
        assert!(said[1].starts_with("ListenerSet s/more: listeners[0].allowedRoutes"), "{said:?}");
    }
}
