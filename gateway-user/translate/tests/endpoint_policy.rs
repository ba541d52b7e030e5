//! Endpoints at addresses that nobody should be let to name, as a cluster's translation has them.
#![allow(missing_docs)]

mod common;

use common::resources;
use gateway_api_types::ResourceSet;
use gateway_translate::{EndpointPolicy, Severity, TranslateOptions, Translation, Translator, translate};

/// A Gateway, a route, a Service, and a slice with these endpoints of each family.
fn world(v4: &[&str], v6: &[&str]) -> ResourceSet {
    let slice = |family: &str, addresses: &[&str]| {
        let endpoints: String =
            addresses.iter().map(|one| format!("- {{addresses: [\"{one}\"]}}\n")).collect();
        format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: echo-{}, namespace: shop, labels: {{kubernetes.io/service-name: echo}}}}
addressType: {family}
ports: [{{port: 15000}}]
endpoints:
{endpoints}",
            family.to_lowercase()
        )
    };
    let slices: String = [("IPv4", v4), ("IPv6", v6)]
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(family, addresses)| slice(family, addresses))
        .collect();
    resources(&format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sluice}}
spec: {{controllerName: sluice.dev/gateway}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: web, namespace: shop}}
spec:
  gatewayClassName: sluice
  listeners: [{{name: http, port: 80, protocol: HTTP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: echo, namespace: shop}}
spec:
  parentRefs: [{{name: web}}]
  rules: [{{backendRefs: [{{name: echo, port: 80}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: echo, namespace: shop}}
spec: {{ports: [{{port: 80}}]}}
{slices}"
    ))
}

fn options(networks: &[&str]) -> TranslateOptions {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    let endpoints = EndpointPolicy { refuse_special: true, networks };
    TranslateOptions { endpoints, ..TranslateOptions::default() }
}

fn used(translation: &Translation) -> Vec<String> {
    translation.endpoints.clusters.values().flat_map(|list| list.iter()).map(ToString::to_string).collect()
}

/// The route's `ResolvedRefs`, as `status message`.
fn resolved(translation: &Translation) -> String {
    let route = translation.status.routes.values().next().unwrap();
    let condition = route.parents[0].conditions.iter().find(|one| one.type_ == "ResolvedRefs").unwrap();
    format!("{} {}", condition.status, condition.message)
}

fn warnings(translation: &Translation) -> Vec<String> {
    let warnings =
        translation.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning);
    warnings.map(ToString::to_string).collect()
}

#[test]
fn the_admin_server_is_no_backend_in_any_spelling_of_loopback() {
    for (v4, v6) in
        [(&["127.0.0.1"][..], &[][..]), (&[], &["::1"]), (&[], &["::ffff:127.0.0.1"]), (&["0.0.0.0"], &[])]
    {
        let set = world(v4, v6);
        let translation = translate(&set, &options(&[]));
        assert_eq!(used(&translation), Vec::<String>::new(), "{v4:?} {v6:?}");
        let warnings = warnings(&translation);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for word in
            ["rules[0].backendRefs[0]", "1 endpoint is not used", "answered with 503", "--backend-networks"]
        {
            assert!(warnings[0].contains(word), "{warnings:?}");
        }
        let resolved = resolved(&translation);
        assert!(
            resolved.starts_with("True every backendRef was found; rules[0].backendRefs[0]: "),
            "{resolved}"
        );
        assert!(resolved.contains("1 endpoint is not used"), "{resolved}");

        let believed = translate(&set, &TranslateOptions::default());
        assert_eq!(used(&believed).len(), 1, "files are believed");
    }
}

#[test]
fn good_endpoints_are_used_beside_refused_ones() {
    let translation =
        translate(&world(&["10.0.0.1", "169.254.169.254"], &["fd00::1", "fe80::1"]), &options(&[]));
    assert_eq!(used(&translation), ["10.0.0.1:15000", "[fd00::1]:15000"]);
    let warnings = warnings(&translation);
    assert!(warnings[0].contains("169.254.169.254 is link-local, fe80::1 is link-local"), "{warnings:?}");
    assert!(!warnings[0].contains("503"), "{warnings:?}");
}

#[test]
fn networks_narrow_and_can_name_loopback() {
    let set = world(&["10.0.0.1", "192.0.2.1", "127.0.0.1"], &[]);
    assert_eq!(used(&translate(&set, &options(&["10.0.0.0/8"]))), ["10.0.0.1:15000"]);
    let named = options(&["10.0.0.0/8", "127.0.0.0/8"]);
    assert_eq!(used(&translate(&set, &named)), ["10.0.0.1:15000", "127.0.0.1:15000"]);
}

#[test]
fn a_route_is_judged_again_when_its_refused_endpoints_change_and_only_then() {
    let mut translator = Translator::new(options(&[]));
    let mut update = |v4: &[&str]| {
        let set = world(v4, &[]);
        let translation = translator.update(&set);
        assert_eq!(translation, translate(&set, &options(&[])), "{v4:?}");
        (translator.rebuilt().routes, resolved(&translation).contains("not used"))
    };
    assert_eq!(update(&["10.0.0.1"]), (1, false));
    assert_eq!(update(&["10.0.0.1", "10.0.0.2"]), (0, false), "endpoints travel alone");
    assert_eq!(update(&["10.0.0.1", "127.0.0.1"]), (1, true));
    assert_eq!(update(&["10.0.0.3", "127.0.0.1"]), (0, true));
    assert_eq!(update(&["10.0.0.3", "127.0.0.2"]), (1, true));
    assert_eq!(update(&["10.0.0.3"]), (1, false));
}
