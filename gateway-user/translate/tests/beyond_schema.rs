//! Resources that the CRDs refuse today must be judged here as well: another CRD version may let it through.

mod common;

use gateway_api_types::{Kind, Object, ResourceSet};
use gateway_ir::{Action, RuleErrorKind};
use gateway_translate::{TranslateOptions, Translation, translate};
use serde_json::{Value, json};

fn run(objects: &[(Kind, Value)]) -> Translation {
    let set: ResourceSet = objects
        .iter()
        .map(|(kind, value)| (Object::from_value(*kind, value.clone()).expect("it fits the types"), None))
        .collect();
    translate(&set, &TranslateOptions::default())
}

fn class() -> (Kind, Value) {
    let spec = json!({"controllerName": "sluice.dev/gateway"});
    (Kind::GatewayClass, json!({"metadata": {"name": "sluice"}, "spec": spec}))
}

fn gateway(listeners: Value) -> (Kind, Value) {
    let spec = json!({"gatewayClassName": "sluice", "listeners": listeners});
    (Kind::Gateway, json!({"metadata": {"name": "gw", "namespace": "a"}, "spec": spec}))
}

fn service() -> (Kind, Value) {
    let spec = json!({"ports": [{"name": "http", "port": 80}]});
    (Kind::Service, json!({"metadata": {"name": "s", "namespace": "a"}, "spec": spec}))
}

/// A route of one rule, and what becomes of it: the reason of `Accepted` and the rule's action.
fn rule(rule: Value) -> (String, Action) {
    let spec = json!({"parentRefs": [{"name": "gw"}], "rules": [rule]});
    let route = json!({"metadata": {"name": "r", "namespace": "a"}, "spec": spec});
    let listeners = json!([{"name": "web", "port": 80, "protocol": "HTTP"}]);
    let translation = run(&[class(), gateway(listeners), service(), (Kind::HttpRoute, route)]);
    let status = common::status(&translation.status);
    let accepted = status["HTTPRoute a/r"]["parent gw"]["Accepted"].as_str().expect("it is ours").to_owned();
    let route = translation.ir.routes.values().next().expect("it is attached, to respond with 500");
    (accepted, route.http_rules()[0].action.clone())
}

fn refused(wanted: &str, mut spec: Value) {
    if spec.get("backendRefs").is_none() {
        spec["backendRefs"] = json!([{"name": "s", "port": 80}]);
    }
    let (accepted, action) = rule(spec.clone());
    assert!(accepted.starts_with(&format!("False {wanted}")), "{spec}: {accepted}");
    let Action::Fail(failure) = action else { panic!("{spec}: the rule is served: {action:?}") };
    assert_eq!(failure.kind, RuleErrorKind::InvalidRule, "{spec}");
}

fn rewrite(path: Value) -> Value {
    json!({"type": "URLRewrite", "urlRewrite": {"path": path}})
}

#[test]
fn a_rule_like_these_but_right_is_served() {
    let (accepted, action) = rule(json!({"backendRefs": [{"name": "s", "port": 80}]}));
    assert!(accepted.starts_with("True Accepted"), "{accepted}");
    assert!(matches!(action, Action::Forward(_)), "{action:?}");
}

#[test]
fn filters_that_do_not_go_together_fail_the_rule() {
    let redirect = json!({"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}});
    let full = rewrite(json!({"type": "ReplaceFullPath", "replaceFullPath": "/x"}));
    refused("IncompatibleFilters", json!({"filters": [redirect, full], "backendRefs": []}));
    refused("IncompatibleFilters", json!({"filters": [full, full]}));
    refused("IncompatibleFilters", json!({"filters": [redirect]}));
    let headers = json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}});
    refused("IncompatibleFilters", json!({"filters": [headers, headers]}));
    refused(
        "IncompatibleFilters",
        json!({"backendRefs": [{"name": "s", "port": 80, "filters": [headers, headers]}]}),
    );
}

#[test]
fn a_prefix_is_replaced_only_where_there_is_exactly_one() {
    let replace = rewrite(json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}));
    let exact = json!({"path": {"type": "Exact", "value": "/a"}});
    let prefix = json!({"path": {"value": "/a"}});
    refused("UnsupportedValue", json!({"matches": [exact], "filters": [replace]}));
    refused("UnsupportedValue", json!({"matches": [prefix, prefix], "filters": [replace]}));
    let at_backend = json!([{"name": "s", "port": 80, "filters": [replace]}]);
    refused("UnsupportedValue", json!({"matches": [exact], "backendRefs": at_backend}));
}

#[test]
fn a_filter_without_its_settings_fails_the_rule() {
    for type_ in ["RequestHeaderModifier", "ResponseHeaderModifier", "URLRewrite", "RequestRedirect"] {
        refused("UnsupportedValue", json!({"filters": [{"type": type_}], "backendRefs": []}));
    }
    refused("UnsupportedValue", json!({"filters": [rewrite(json!({"type": "ReplaceFullPath"}))]}));
    refused("UnsupportedValue", json!({"filters": [rewrite(json!({"type": "ReplacePrefixMatch"}))]}));
    let wildcard = json!({"type": "URLRewrite", "urlRewrite": {"hostname": "*.example.com"}});
    refused("UnsupportedValue", json!({"filters": [wildcard]}));
    let status = json!({"type": "RequestRedirect", "requestRedirect": {"statusCode": 304}});
    refused("UnsupportedValue", json!({"filters": [status], "backendRefs": []}));
}

#[test]
fn paths_and_durations_outside_the_schema_fail_the_rule() {
    for path in ["a", "/a//b", "/a/../b", "/%2f"] {
        refused("UnsupportedValue", json!({"matches": [{"path": {"value": path}}]}));
    }
    refused("UnsupportedValue", json!({"timeouts": {"request": "10"}}));
    refused("UnsupportedValue", json!({"timeouts": {"request": "1s", "backendRequest": "2s"}}));
}

#[test]
fn a_service_reference_needs_a_port() {
    let (accepted, action) = rule(json!({"backendRefs": [{"name": "s"}]}));
    assert!(accepted.starts_with("True Accepted"), "{accepted}");
    let Action::Forward(backends) = action else { panic!("{action:?}") };
    assert!(
        matches!(&backends[0].target, gateway_ir::WeightedTarget::Fail(f) if f.kind == RuleErrorKind::BackendNotFound)
    );
}

#[test]
fn of_listeners_that_are_alike_none_wins() {
    let one =
        |name: &str, host: &str| json!({"name": name, "port": 80, "protocol": "HTTP", "hostname": host});
    let listeners = json!([one("a", "x.example.com"), one("b", "X.example.com"), one("c", "y.example.com")]);
    let translation = run(&[class(), gateway(listeners)]);
    let status = common::status(&translation.status);
    for (name, conflicted) in
        [("a", "True HostnameConflict"), ("b", "True HostnameConflict"), ("c", "False NoConflicts")]
    {
        let text = status["Gateway a/gw"][format!("listener {name}")]["Conflicted"].as_str().unwrap();
        assert!(text.starts_with(conflicted), "{name}: {text}");
    }
    let served: Vec<_> =
        translation.ir.binds[0].listeners.iter().map(|one| one.id.listener.as_str()).collect();
    assert_eq!(served, ["c"]);
}

/// The CRDs have no pattern for these, and the data plane cannot send them.
#[test]
fn what_no_message_can_hold_is_refused_where_status_is_decided() {
    let redirect = |path: Value| json!({"type": "RequestRedirect", "requestRedirect": {"path": path}});
    let full = |text: &str| json!({"type": "ReplaceFullPath", "replaceFullPath": text});
    let prefix = |text: &str| json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": text});
    let matches = json!([{"path": {"type": "PathPrefix", "value": "/a"}}]);
    for text in ["/#a", "/a b", "/\u{e9}", "/\"", "/a\r\nb: c"] {
        for path in [full(text), prefix(text)] {
            refused("UnsupportedValue", json!({"matches": matches, "filters": [rewrite(path.clone())]}));
            let redirected =
                json!({"matches": matches, "filters": [redirect(path.clone())], "backendRefs": []});
            refused("UnsupportedValue", redirected);
        }
        let own = json!([{"name": "s", "port": 80, "filters": [rewrite(full(text))]}]);
        refused("UnsupportedValue", json!({"backendRefs": own}));
    }
    for name in ["RequestHeaderModifier", "ResponseHeaderModifier"] {
        let field = format!("{}{}", name[..1].to_lowercase(), &name[1..]);
        let change = json!({"type": name, field: {"set": [{"name": "x", "value": "a\r\nb: c"}]}});
        refused("UnsupportedValue", json!({"filters": [change]}));
    }
    // A query is no mistake.
    let (accepted, action) = rule(json!({
        "filters": [rewrite(full("/index.php?page=1"))],
        "backendRefs": [{"name": "s", "port": 80}],
    }));
    assert!(accepted.starts_with("True"), "{accepted}");
    assert!(matches!(action, Action::Forward(_)), "{action:?}");
}
