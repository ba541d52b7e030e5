//! The Secrets that are wanted at all: an input of translation that is not worth holding otherwise.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{
    GATEWAY_GROUP, Gateway, GatewayClass, ObjectKey, ReferenceGrant, SecretObjectReference,
};

use crate::TranslateOptions;
use crate::grants::{Grants, Referent, Referrer};

/// The Secrets that each Gateway of our classes refers to for its listeners, with leave: in its own
/// namespace, or where a ReferenceGrant allows it. Their existence plays no part. Gateways that refer to none
/// are left out.
pub fn secret_wants<'a>(
    classes: impl Iterator<Item = &'a GatewayClass>,
    gateways: impl Iterator<Item = &'a Gateway>,
    grants: impl Iterator<Item = &'a ReferenceGrant>,
    options: &TranslateOptions,
) -> BTreeMap<ObjectKey, BTreeSet<ObjectKey>> {
    let ours = classes.filter(|class| class.spec.controller_name == options.controller_name);
    let ours: BTreeSet<&str> = ours.filter_map(|class| class.metadata.name.as_deref()).collect();
    let grants = Grants::new(grants);
    let wants = |gateway: &Gateway| {
        let key = ObjectKey::of(&gateway.metadata);
        let from = Referrer { group: GATEWAY_GROUP, kind: "Gateway", namespace: &key.namespace };
        let references = gateway.spec.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let references = references.flat_map(|tls| &tls.certificate_refs).filter(|one| is_secret(one));
        let permitted = references.filter_map(|one| {
            let namespace = one.namespace.as_deref().unwrap_or(&key.namespace);
            let to = Referent { group: "", kind: "Secret", namespace, name: &one.name };
            grants.allow(from, to).then(|| ObjectKey::new(namespace, &*one.name))
        });
        let permitted: BTreeSet<_> = permitted.collect();
        (!permitted.is_empty()).then_some((key, permitted))
    };
    gateways.filter(|gateway| ours.contains(&*gateway.spec.gateway_class_name)).filter_map(wants).collect()
}

fn is_secret(reference: &SecretObjectReference) -> bool {
    reference.group.is_empty() && reference.kind == "Secret"
}

#[cfg(test)]
mod tests {
    use gateway_api_types::{Kind, Object, ResourceSet};
    use serde_json::{Value, json};

    use super::*;

    fn typed(value: Value) -> (Object, Option<gateway_api_types::Origin>) {
        let kind = Kind::ALL.iter().copied().find(|kind| value["kind"] == kind.as_str()).unwrap();
        (Object::from_value(kind, value).unwrap(), None)
    }

    #[test]
    fn what_our_gateways_may_refer_to_is_wanted_and_nothing_else() {
        let class = |name: &str, controller: &str| json!({"kind": "GatewayClass", "metadata": {"name": name}, "spec": {"controllerName": controller}});
        let references = json!([
            {"name": "own"}, {"name": "granted", "namespace": "certs"}, {"name": "refused", "namespace": "certs"},
            {"name": "other", "kind": "Bundle", "group": "example.com"}]);
        let gateway = |name: &str, class: &str| {
            let listener = json!({"name": "l", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": references}});
            json!({"kind": "Gateway", "metadata": {"name": name, "namespace": "edge"},
                "spec": {"gatewayClassName": class, "listeners": [listener, {"name": "h", "port": 80, "protocol": "HTTP"}]}})
        };
        let grant = json!({"kind": "ReferenceGrant", "metadata": {"name": "g", "namespace": "certs"}, "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "edge"}],
            "to": [{"group": "", "kind": "Secret", "name": "granted"}]}});
        let ours = TranslateOptions::default();
        let set: ResourceSet = [
            class("sluice", &ours.controller_name),
            class("foreign", "example.com/other"),
            gateway("one", "sluice"),
            gateway("two", "foreign"),
            grant,
        ]
        .into_iter()
        .map(typed)
        .collect();
        let wants = secret_wants(
            set.gateway_classes.values().map(AsRef::as_ref),
            set.gateways.values().map(AsRef::as_ref),
            set.reference_grants.values().map(AsRef::as_ref),
            &ours,
        );
        let text = wants.iter().map(|(gateway, keys)| {
            format!("{gateway}: {}", keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        });
        assert_eq!(text.collect::<Vec<_>>(), ["edge/one: certs/granted edge/own"]);
    }
}
