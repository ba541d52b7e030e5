//! The objects that are wanted at all: an input of translation that is not worth holding otherwise.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{
    BackendTlsPolicy, FromNamespaces, GATEWAY_GROUP, Gateway, GatewayClass, Kind, Listener, ListenerSet,
    ObjectKey, ReferenceGrant, SecretObjectReference,
};

use crate::TranslateOptions;
use crate::authorities::authority_place;
use crate::frontend;
use crate::grants::{Grants, Referent, Referrer};

/// Kind and name.
type Place = (Kind, ObjectKey);

/// The Secrets that each Gateway of our classes refers to for its listeners and for backends, and the ConfigMaps and
/// ClusterTrustBundles for its clients, with leave: in its own namespace, or where a ReferenceGrant allows it; the same for
/// ListenerSets that their Gateway may let in, by labels of namespaces any, since those are not known here; and those that
/// BackendTLSPolicies refer to.
/// Their existence plays no part. Objects that refer to none are left out.
pub fn object_wants<'a>(
    classes: impl Iterator<Item = &'a GatewayClass>,
    gateways: impl Iterator<Item = &'a Gateway>,
    sets: impl Iterator<Item = &'a ListenerSet>,
    grants: impl Iterator<Item = &'a ReferenceGrant>,
    policies: impl Iterator<Item = &'a BackendTlsPolicy>,
    options: &TranslateOptions,
) -> BTreeMap<Place, BTreeSet<Place>> {
    let ours = classes.filter(|class| class.spec.controller_name == options.controller_name);
    let ours: BTreeSet<&str> = ours.filter_map(|class| class.metadata.name.as_deref()).collect();
    let grants = Grants::new(grants);
    let gateways = gateways.filter(|gateway| ours.contains(&*gateway.spec.gateway_class_name));
    let gateways: BTreeMap<ObjectKey, &Gateway> =
        gateways.map(|gateway| (ObjectKey::of(&gateway.metadata), gateway)).collect();
    let mut wants: BTreeMap<Place, BTreeSet<Place>> = policies.filter_map(authorities).collect();
    wants.extend(gateways.iter().filter_map(|(key, gateway)| of_gateway(key, gateway, &grants)));
    for set in sets {
        let key = ObjectKey::of(&set.metadata);
        let gateway = parent(&key, set).and_then(|name| gateways.get(&name));
        let Some(gateway) = gateway.filter(|one| may_join(one, &key.namespace)) else { continue };
        let secrets = certificates((Kind::ListenerSet, &key), &set.spec.listeners, &grants);
        // The Gateway's authorities are wanted for the ports of its sets, whoever has them.
        let authorities = frontend::authorities(gateway, &set.spec.listeners, &grants);
        let permitted: BTreeSet<_> = secrets.chain(authorities).collect();
        if !permitted.is_empty() {
            wants.insert((Kind::ListenerSet, key), permitted);
        }
    }
    wants
}

/// The Gateway that a set names, if it names one.
fn parent(key: &ObjectKey, set: &ListenerSet) -> Option<ObjectKey> {
    let parent = Some(&set.spec.parent_ref).filter(|parent| parent.is_gateway())?;
    Some(ObjectKey::new(parent.namespace.as_deref().unwrap_or(&key.namespace), &*parent.name))
}

/// False if a Gateway lets in no set of that namespace. By its labels the namespace may be let in.
fn may_join(gateway: &Gateway, namespace: &str) -> bool {
    let allowed = gateway.spec.allowed_listeners.as_ref().map(|allowed| allowed.namespaces.from);
    match allowed {
        None | Some(FromNamespaces::None) => false,
        Some(FromNamespaces::Same) => gateway.metadata.namespace.as_deref() == Some(namespace),
        Some(FromNamespaces::All | FromNamespaces::Selector) => true,
    }
}

/// The Secrets that listeners of an object refer to, with leave.
fn certificates<'a>(
    (kind, key): (Kind, &'a ObjectKey),
    listeners: &'a [Listener],
    grants: &'a Grants<'_>,
) -> impl Iterator<Item = Place> + 'a {
    let references = listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let references = references.flat_map(|tls| &tls.certificate_refs);
    references.filter_map(move |one| secret((kind, key), one, grants))
}

/// A Secret that an object refers to, with leave.
fn secret(
    (kind, key): (Kind, &ObjectKey),
    reference: &SecretObjectReference,
    grants: &Grants<'_>,
) -> Option<Place> {
    let from = Referrer { group: GATEWAY_GROUP, kind: kind.as_str(), namespace: &key.namespace };
    let namespace = reference.namespace.as_deref().unwrap_or(&key.namespace);
    let to = Referent { group: "", kind: "Secret", namespace, name: &reference.name };
    let is_permitted = is_secret(reference) && grants.allow(from, to);
    is_permitted.then(|| (Kind::Secret, ObjectKey::new(namespace, &*reference.name)))
}

fn of_gateway(key: &ObjectKey, gateway: &Gateway, grants: &Grants<'_>) -> Option<(Place, BTreeSet<Place>)> {
    let own = (Kind::Gateway, key);
    let backend = gateway.spec.tls.as_ref().and_then(|tls| tls.backend.as_ref());
    let shown = backend.and_then(|backend| backend.client_certificate_ref.as_ref());
    let shown = shown.and_then(|reference| secret(own, reference, grants));
    let listeners = &gateway.spec.listeners;
    let permitted = certificates(own, listeners, grants).chain(shown);
    let permitted: BTreeSet<_> = permitted.chain(frontend::authorities(gateway, listeners, grants)).collect();
    (!permitted.is_empty()).then(|| ((Kind::Gateway, key.clone()), permitted))
}

fn authorities(policy: &BackendTlsPolicy) -> Option<(Place, BTreeSet<Place>)> {
    let key = ObjectKey::of(&policy.metadata);
    let references = &policy.spec.validation.ca_certificate_refs;
    let wanted: BTreeSet<_> =
        references.iter().filter_map(|one| authority_place(&key.namespace, one)).collect();
    (!wanted.is_empty()).then_some(((Kind::BackendTlsPolicy, key), wanted))
}

fn is_secret(reference: &SecretObjectReference) -> bool {
    reference.group.is_empty() && reference.kind == "Secret"
}

#[cfg(test)]
mod tests {
    use gateway_api_types::{Object, ResourceSet};
    use serde_json::{Value, json};

    use super::*;

    fn typed(value: Value) -> (Object, Option<gateway_api_types::Origin>) {
        let kind = Kind::ALL.iter().copied().find(|kind| value["kind"] == kind.as_str()).unwrap();
        (Object::from_value(kind, value).unwrap(), None)
    }

    #[test]
    fn sets_of_gateways_that_may_let_them_in_want_their_secrets() {
        let ours = TranslateOptions::default();
        let class = json!({"kind": "GatewayClass", "metadata": {"name": "sluice"}, "spec": {"controllerName": ours.controller_name}});
        let gateway = |name: &str, from: &str| {
            json!({"kind": "Gateway", "metadata": {"name": name, "namespace": "edge"},
                "spec": {"gatewayClassName": "sluice", "allowedListeners": {"namespaces": {"from": from}}, "listeners": []}})
        };
        let listener = json!({"name": "l", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "own"}]}});
        let set = |name: &str, kind: &str, gateway: &str| {
            json!({"kind": "ListenerSet", "metadata": {"name": name, "namespace": "shop"}, "spec": {"parentRef":
                {"group": GATEWAY_GROUP, "kind": kind, "name": gateway, "namespace": "edge"}, "listeners": [listener]}})
        };
        let objects = [
            class,
            gateway("open", "All"),
            gateway("labels", "Selector"),
            gateway("own", "Same"),
            set("in", "Gateway", "open"),
            set("perhaps", "Gateway", "labels"),
            set("out", "Gateway", "own"),
            set("other", "Proxy", "open"),
        ];
        let resources: ResourceSet = objects.into_iter().map(typed).collect();
        let wants = object_wants(
            resources.gateway_classes.values().map(AsRef::as_ref),
            resources.gateways.values().map(AsRef::as_ref),
            resources.listener_sets.values().map(AsRef::as_ref),
            std::iter::empty(),
            std::iter::empty(),
            &ours,
        );
        let sets: Vec<_> = wants.keys().map(|(kind, key)| format!("{kind} {key}")).collect();
        assert_eq!(sets, ["ListenerSet shop/in", "ListenerSet shop/perhaps"]);
    }

    #[test]
    fn what_our_gateways_and_policies_may_refer_to_is_wanted_and_nothing_else() {
        let class = |name: &str, controller: &str| json!({"kind": "GatewayClass", "metadata": {"name": name}, "spec": {"controllerName": controller}});
        let references = json!([
            {"name": "own"}, {"name": "granted", "namespace": "certs"}, {"name": "refused", "namespace": "certs"},
            {"name": "other", "kind": "Bundle", "group": "example.com"}]);
        let gateway = |name: &str, class: &str| {
            let asked = json!({"caCertificateRefs": [
                {"group": "", "kind": "ConfigMap", "name": "clients"}, {"group": "", "kind": "ConfigMap", "name": "refused", "namespace": "certs"},
                {"group": "certificates.k8s.io", "kind": "ClusterTrustBundle", "name": "all"}, {"group": "", "kind": "Secret", "name": "none"}]});
            let unused = json!({"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "unused"}]});
            let frontend = json!({"default": {"validation": asked}, "perPort": [{"port": 80, "tls": {"validation": unused}}]});
            let shown = json!({"backend": {"clientCertificateRef": {"name": "shown"}}, "frontend": frontend});
            let listener = json!({"name": "l", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": references}});
            json!({"kind": "Gateway", "metadata": {"name": name, "namespace": "edge"},
                "spec": {"gatewayClassName": class, "tls": shown, "listeners": [listener, {"name": "h", "port": 80, "protocol": "HTTP"}]}})
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
            json!({"kind": "BackendTLSPolicy", "metadata": {"name": "p", "namespace": "apps"}, "spec": {
                "targetRefs": [{"group": "", "kind": "Service", "name": "app"}],
                "validation": {"hostname": "app.example", "caCertificateRefs": [
                    {"group": "", "kind": "ConfigMap", "name": "ca"}, {"group": "example.com", "kind": "Bundle", "name": "b"},
                    {"group": "certificates.k8s.io", "kind": "ClusterTrustBundle", "name": "all"}]}}}),
        ]
        .into_iter()
        .map(typed)
        .collect();
        let wants = object_wants(
            set.gateway_classes.values().map(AsRef::as_ref),
            set.gateways.values().map(AsRef::as_ref),
            set.listener_sets.values().map(AsRef::as_ref),
            set.reference_grants.values().map(AsRef::as_ref),
            set.backend_tls_policies.values().map(AsRef::as_ref),
            &ours,
        );
        let text = wants.iter().map(|((kind, key), wanted)| {
            let wanted = wanted.iter().map(|(kind, key)| format!("{kind} {key}")).collect::<Vec<_>>();
            format!("{kind} {key}: {}", wanted.join(", "))
        });
        assert_eq!(
            text.collect::<Vec<_>>(),
            [
                "Gateway edge/one: Secret certs/granted, Secret edge/own, Secret edge/shown, ConfigMap edge/clients, ClusterTrustBundle all",
                "BackendTLSPolicy apps/p: ConfigMap apps/ca, ClusterTrustBundle all",
            ]
        );
    }
}
