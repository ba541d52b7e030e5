//! The ConfigMaps and ClusterTrustBundles that are held, a cluster that gives no right to read them, and one that has none.

use super::*;

const MAPS: &str = "configmaps";
const BUNDLES: &str = "clustertrustbundles.certificates.k8s.io";
const POLICIES: &str = "backendtlspolicies.gateway.networking.k8s.io";

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": name}, "data": {"ca.crt": name, "other": "x"}})
}

fn bundle(name: &str) -> Value {
    json!({"metadata": {"name": name, "uid": name}, "spec": {"signerName": "example.com/x", "trustBundle": name}})
}

/// A policy that trusts the authorities of the ConfigMap `ca`.
fn policy() -> Value {
    policy_of(json!({"group": "", "kind": "ConfigMap", "name": "ca"}))
}

fn policy_of(reference: Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy",
        "metadata": {"name": "p", "namespace": "shop", "generation": 1, "uid": "p"},
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": "app"}],
            "validation": {"hostname": "app.example", "caCertificateRefs": [reference]},
        },
    })
}

fn maps(view: &StoreView) -> Vec<String> {
    view.resources.config_maps.keys().map(ToString::to_string).collect()
}

#[test]
fn config_maps_are_held_that_a_policy_refers_to_and_no_others() {
    let api = server();
    api.put(MAPS, map("ca"));
    api.put(MAPS, map("stranger"));
    api.put(POLICIES, policy());
    api.put(ROUTES, route("a", 1, "/"));
    let mut reader = Reader::of(&api, &[]);
    reader.until("the policy with its authorities", |view| {
        assert_eq!(
            view.resources.backend_tls_policies.len(),
            view.resources.config_maps.len(),
            "one without the other"
        );
        maps(view) == ["shop/ca"]
    });
    let held = &reader.view.resources.config_maps[&ObjectKey::new("shop", "ca")];
    let entries: Vec<_> = held.data.iter().flatten().map(|(name, _)| name.as_str()).collect();
    assert_eq!(entries, ["ca.crt"]);
    api.delete(POLICIES, "shop", "p");
    reader.until("the ConfigMap to be forgotten", |view| maps(view).is_empty());
}

#[test]
fn without_the_right_to_read_config_maps_all_else_is_there() {
    let api = server();
    api.put(MAPS, map("ca"));
    api.put(POLICIES, policy());
    api.put(ROUTES, route("a", 1, "/"));
    api.set_forbidden(MAPS, "list", true);
    api.set_forbidden(MAPS, "watch", true);
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    assert_eq!(reader.view.resources.backend_tls_policies.len(), 1);
    assert_eq!(maps(&reader.view), [""; 0]);
    reader.until("the line", |view| {
        view.diagnostics.iter().any(|line| {
            line.message.contains(MAPS) && line.message.contains("grant it the verbs list and watch")
        })
    });
    api.set_forbidden(MAPS, "list", false);
    api.set_forbidden(MAPS, "watch", false);
    reader.until("the authorities", |view| maps(view) == ["shop/ca"]);
    reader.until("no line", |view| view.diagnostics.is_empty());
}

#[test]
fn trust_bundles_are_held_where_the_server_has_them_and_are_no_fault_where_it_has_not() {
    let api = server_without(Some(Kind::ClusterTrustBundle));
    api.put(
        POLICIES,
        policy_of(json!({"group": "certificates.k8s.io", "kind": "ClusterTrustBundle", "name": "roots"})),
    );
    api.put(ROUTES, route("a", 1, "/"));
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    let absent = |view: &StoreView| {
        let installed = view.resources.installed.as_ref();
        installed.is_some_and(|installed| installed.absent.contains(&Kind::ClusterTrustBundle))
    };
    assert!(absent(&reader.view), "{:?}", reader.view.resources.installed);
    assert_eq!(reader.lines(), [""; 0], "whoever refers to one is told");
    assert!(reader.state(Kind::ClusterTrustBundle).failing.is_none());

    // It is started anew with them.
    api.install(BUNDLES);
    api.put(BUNDLES, bundle("roots"));
    api.put(BUNDLES, bundle("stranger"));
    api.set_away(true);
    reader.until("the line", |view| !view.diagnostics.is_empty());
    api.set_away(false);
    let bundles = |view: &StoreView| -> Vec<String> {
        view.resources.cluster_trust_bundles.keys().map(ToString::to_string).collect()
    };
    reader.until("the bundle", |view| bundles(view) == ["roots"] && !absent(view));
    let held = &reader.view.resources.cluster_trust_bundles[&ObjectKey::new("", "roots")];
    assert_eq!((held.spec.trust_bundle.as_str(), held.spec.signer_name.as_deref()), ("roots", None));
    api.put(BUNDLES, bundle("other"));
    api.delete(BUNDLES, "", "roots");
    reader.until("no bundle", |view| bundles(view).is_empty());
}
