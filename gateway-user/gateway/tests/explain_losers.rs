//! `sluice explain` names every route that could have taken a request, and the reason for which it has not.
#![allow(missing_docs)]

mod common;

use std::process::Output;

use common::{example, sluice, text};
use gateway_testkit::scratch::Scratch;

const URL: &str = "http://shop.example.com/cart/1";

/// A route of team 1 for a host; `parent` and `rest` are YAML's flow style and lines.
fn route(name: &str, parent: &str, hostnames: &str, rules: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: team1}}
spec:
  parentRefs: [{parent}]
  hostnames: [{hostnames}]
  rules: [{rules}]
"
    )
}

const SHARED: &str = "{name: shared-gateway, namespace: ingress}";
/// The listener that takes the host.
const SHOP: &str = "{name: hosts, sectionName: shop}";
const CART: &str = "{matches: [{path: {value: /cart}}]}";

/// Gateways beside the shared one: with listeners of several ports and hosts, and one of another controller.
const GATEWAYS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: hosts, namespace: team1}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: shop, protocol: HTTP, port: 80, hostname: '*.example.com'}
  - {name: other, protocol: HTTP, port: 80, hostname: other.example.com}
  - {name: admin, protocol: HTTP, port: 8080}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: foreign}
spec: {controllerName: elsewhere.example/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: foreign, namespace: team1}
spec: {gatewayClassName: foreign, listeners: [{name: http, protocol: HTTP, port: 80}]}
";

fn explain(dir: &Scratch, url: &str) -> Output {
    sluice(&["explain", &dir.path().display().to_string(), "GET", url])
}

/// The words about a request where these routes are written beside the example.
fn said(routes: &[String]) -> String {
    let dir = Scratch::new("explain-losers").unwrap();
    dir.copy_from(&example()).unwrap();
    dir.write("gateways.yaml", GATEWAYS).unwrap();
    dir.write("routes.yaml", &routes.concat()).unwrap();
    text(&explain(&dir, URL))
}

/// Panics unless these routes make explain say all of this.
#[track_caller]
fn expect(routes: &[String], wanted: &[&str]) {
    let said = said(routes);
    for part in wanted {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn a_parent_that_is_not_there_is_told_with_the_one_that_was_meant() {
    let dangling = route("cart", "{name: shared-gatewy, namespace: ingress}", "", CART);
    let lost = "HTTPRoute team1/cart rules[0] matches[0] (PathPrefix /cart) could take it, but:\n  parentRefs[0]: no Gateway \
                \"ingress/shared-gatewy\"; did you mean \"ingress/shared-gateway\"?\n";
    expect(&[dangling], &["404 ", lost]);
    let foreign = route("cart", "{name: foreign}", "", CART);
    expect(
        &[foreign],
        &[
            "parentRefs[0]: Gateway \"team1/foreign\" has GatewayClass \"foreign\", which is of elsewhere.example/gateway\n",
        ],
    );
    expect(
        &[route("cart", "", "", CART)],
        &["parentRefs: it names no Gateway, and no default Gateway lets it in\n"],
    );
}

#[test]
fn programs_are_told_the_same_in_a_document() {
    let dir = Scratch::new("explain-document").unwrap();
    dir.copy_from(&example()).unwrap();
    dir.write("routes.yaml", &route("cart", "{name: shared-gatewy, namespace: ingress}", "", CART)).unwrap();
    let path = dir.path().display().to_string();
    let lost = sluice(&["explain", &path, "GET", URL, "--output", "json"]);
    assert_eq!(lost.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&lost.stdout).unwrap();
    assert_eq!(document["served"], false);
    let other = &document["others"][0];
    assert_eq!(other["route"], "HTTPRoute team1/cart");
    assert_eq!(other["losses"][0]["reason"], "parent_missing");
    let remedy = "parentRefs[0]: {name: shared-gateway, namespace: ingress, sectionName: http}";
    assert_eq!(other["losses"][0]["remedy"], remedy);
    let served = sluice(&["explain", &path, "GET", "http://a.example/httpbin/x", "--output", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&served.stdout).unwrap();
    assert_eq!((&document["served"], &document["others"]), (&true.into(), &serde_json::Value::Null));
    let steps = document["steps"].as_array().unwrap();
    assert!(steps.last().unwrap().as_str().unwrap().contains("takes the request"), "{document}");
}

#[test]
fn a_label_that_is_missing_is_named() {
    let dir = Scratch::new("explain-label").unwrap();
    dir.copy_from(&example()).unwrap();
    let namespaces = std::fs::read_to_string(dir.join("namespaces.yaml")).unwrap();
    dir.write("namespaces.yaml", &namespaces.replace("purpose: workloads", "stage: test")).unwrap();
    let said = text(&explain(&dir, "http://127.0.0.1/httpbin/get"));
    let lost = "  parentRefs[0]: listener \"http\" allows routes from namespaces with labels purpose=workloads; of \"team1\" \
                label purpose is missing, and must be \"workloads\"\n";
    assert!(said.contains(lost), "{said}");
}

#[test]
fn a_grant_that_is_missing_is_printed_and_helps() {
    let dir = Scratch::new("explain-grant").unwrap();
    dir.copy_from(&example()).unwrap();
    std::fs::remove_file(dir.join("team2-grant.yaml")).unwrap();
    let refused = explain(&dir, "http://127.0.0.1/httpbin/get");
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused);
    assert!(said.contains("500 ref_not_permitted"), "{said}");
    let (_, yaml) = said.split_once("---\n").unwrap();
    dir.write("grant.yaml", yaml).unwrap();
    let served = explain(&dir, "http://127.0.0.1/httpbin/get");
    assert_eq!(served.status.code(), Some(0), "{}", text(&served));
    assert!(!text(&served).contains("ReferenceGrant"), "{}", text(&served));
}

#[test]
fn a_listener_of_another_port_or_host_is_named() {
    let admin = route("cart", "{name: hosts, sectionName: admin}", "", CART);
    expect(
        &[admin],
        &["it is attached to listener team1/hosts/admin on port 8080; this request came to 127.0.0.1:80\n"],
    );
    // Both are on the port; the one with the host takes it.
    let every = route("cart", SHARED, "", CART);
    let for_host = route("shop", "{name: hosts, sectionName: shop}", "shop.example.com", CART);
    expect(
        &[every, for_host],
        &[
            "HTTPRoute team1/shop rules[0] matches[0] (PathPrefix /cart) takes the request",
            "HTTPRoute team1/cart rules[0] matches[0] (PathPrefix /cart) could take it, but:\n  it is attached to listener \
             ingress/shared-gateway/http for every host; listener team1/hosts/shop takes the host\n",
        ],
    );
    let no_host = route("cart", "{name: hosts, sectionName: other}", "shop.example.com", CART);
    expect(
        &[no_host],
        &["no hostname of the route (shop.example.com) fits: listener \"other\" serves other.example.com"],
    );
}

#[test]
fn the_step_of_the_order_is_told_by_which_another_rule_goes_first() {
    let long = "{matches: [{path: {value: /cart/1}}]}";
    let exact = "{matches: [{path: {type: Exact, value: /cart/1}}]}";
    let method = "{matches: [{path: {value: /cart}, method: GET}]}";
    let cases = [
        ("b", "shop.example.com", CART, "its host is more specific"),
        ("b", "", long, "its path is more specific"),
        ("b", "", exact, "its path is more specific"),
        ("b", "", method, "it asks for a method"),
        ("a", "", CART, "all else is equal, and its route comes first by namespace and name"),
    ];
    for (name, hostnames, rules, step) in cases {
        let winner = route(name, SHOP, hostnames, rules);
        let loser = route("cart", SHOP, "", CART);
        expect(
            &[winner, loser],
            &[
                &format!("HTTPRoute team1/{name} rules[0] matches[0] ("),
                "HTTPRoute team1/cart rules[0] matches[0] (PathPrefix /cart) could take it, but:\n",
                &format!("goes first on listener team1/hosts/shop: {step}"),
            ],
        );
    }
    let old = route("old", SHOP, "", CART).replace(
        "{name: old, namespace: team1}",
        "{name: old, namespace: team1, creationTimestamp: '2026-01-01T00:00:00Z'}",
    );
    expect(
        &[old, route("cart", SHOP, "", CART)],
        &["goes first on listener team1/hosts/shop: its route is older"],
    );
}

#[test]
fn routes_that_do_not_want_a_request_are_not_told() {
    let other = route("other", SHOP, "", "{matches: [{path: {value: /elsewhere}}]}");
    let host = route("host", "{name: nobody}", "other.example.com", CART);
    let said = said(&[route("cart", SHOP, "", CART), other, host]);
    assert!(said.contains("HTTPRoute team1/cart rules[0]"), "{said}");
    assert!(!said.contains("could take it"), "{said}");
}

/// A set of team 1 for a Gateway that lets in what `allowed` says, and a route of it.
fn with_set(allowed: &str) -> [String; 2] {
    let set = format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: sets, namespace: ingress}}
spec:
  gatewayClassName: sluice
  {allowed}
  listeners: [{{name: own, protocol: HTTP, port: 80, hostname: sets.example}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {{name: more, namespace: team1}}
spec:
  parentRef: {{name: sets, namespace: ingress}}
  listeners:
  - {{name: shop, protocol: HTTP, port: 80, hostname: shop.example.com}}
"
    );
    [set, route("cart", "{kind: ListenerSet, name: more}", "", CART)]
}

#[test]
fn listeners_of_sets_are_named_and_the_leave_that_a_set_has_not() {
    let all = with_set("allowedListeners: {namespaces: {from: All}}");
    expect(
        &all,
        &[
            "ingress/sets/team1/more/shop",
            "HTTPRoute team1/cart rules[0] matches[0] (PathPrefix /cart) takes the request",
        ],
    );
    expect(
        &with_set("allowedListeners: {namespaces: {from: Selector, selector: {matchLabels: {sets: 'yes'}}}}"),
        &[
            "parentRefs[0]: ListenerSet \"team1/more\" is not accepted: parentRef: Gateway \"ingress/sets\" allows ListenerSets by \
             the labels of their namespaces: of \"team1\" label sets is missing, and must be \"yes\"\n",
            "kubectl label --overwrite namespace team1 sets=yes",
        ],
    );
    expect(
        &with_set(""),
        &[
            "Gateway \"ingress/sets\" allows no ListenerSets",
            "Gateway allowedListeners.namespaces: {from: Selector, selector: {matchExpressions: [{key: kubernetes.io/metadata.name, \
             operator: In, values: [team1]}]}}",
        ],
    );
    // The listener that takes the host is the set's, and another route could name it.
    let [set, of_set] = with_set("allowedListeners: {namespaces: {from: All}}");
    let other = route("zz-other", "{name: hosts, sectionName: admin}", "", CART);
    expect(
        &[set, of_set, other],
        &["parentRefs[1]: {kind: ListenerSet, name: more, namespace: team1, sectionName: shop}"],
    );
    let slip = route("cart", "{kind: ListenerSet, name: moer}", "", CART);
    let [set, _] = with_set("allowedListeners: {namespaces: {from: All}}");
    expect(&[set, slip], &["parentRefs[0]: no ListenerSet \"team1/moer\"; did you mean \"team1/more\"?\n"]);
}
