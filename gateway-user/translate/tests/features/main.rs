//! Every feature that is claimed is translated into something that the data plane does.

mod a_to_g;
#[path = "../common/mod.rs"]
mod common;
mod h_to_z;

use gateway_translate::{TranslateOptions, Translation, translate};
use serde_json::Value;

const WORLD: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: a}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: web, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: foo, port: 80, protocol: HTTP, hostname: "*.foo.example.com"}
  - {name: alt, port: 8080, protocol: HTTP}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: a}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: b}
spec: {ports: [{name: http, port: 80}]}
"#;

/// A claimed feature, the route (`spec` but for parentRefs) or objects that use it, and what must be in the
/// translation.
struct Probe {
    feature: &'static str,
    route: &'static str,
    more: &'static str,
    /// JSON pointers into `{ir, tls}` and the text there.
    wants: &'static [(&'static str, &'static str)],
}

const RULE: &str = "/ir/routes/0/rules/0";

const fn probe(
    feature: &'static str,
    route: &'static str,
    wants: &'static [(&'static str, &'static str)],
) -> Probe {
    Probe { feature, route, more: "", wants }
}

const fn grpc_probe(
    feature: &'static str,
    more: &'static str,
    wants: &'static [(&'static str, &'static str)],
) -> Probe {
    Probe { feature, route: "", more, wants }
}

/// All of them, in the order of names. Pointers are below the first rule unless they begin at the top.
fn probes() -> impl Iterator<Item = &'static Probe> {
    a_to_g::PROBES.iter().chain(h_to_z::PROBES)
}

fn run(route: &str, more: &str) -> Translation {
    let mut text = WORLD.to_owned();
    if !route.is_empty() {
        let spec: String = route.lines().map(|line| format!("  {line}\n")).collect();
        text += &format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r, namespace: a}}\nspec:\n  \
             parentRefs: [{{name: gw}}]\n{spec}"
        );
    }
    if !more.is_empty() {
        text += &format!("---{more}");
    }
    translate(&common::resources(&text), &TranslateOptions::default())
}

fn claimed(translation: &Translation) -> Vec<String> {
    let class = &translation.status.gateway_classes["sluice"];
    class.supported_features.iter().map(|feature| feature.name.clone()).collect()
}

fn accepted(translation: &Translation) -> String {
    let status = common::status(&translation.status);
    let kinds = ["HTTPRoute a/r", "GRPCRoute a/r", "TCPRoute a/r", "TLSRoute a/r", "UDPRoute a/r"];
    let route = kinds.into_iter().find_map(|name| status.get(name));
    let parents = route.unwrap().as_object().unwrap();
    parents.values().next().unwrap()["Accepted"].as_str().unwrap().to_owned()
}

#[test]
fn every_claimed_feature_has_a_probe_and_no_other() {
    let probed: Vec<&str> = probes().map(|probe| probe.feature).collect();
    assert_eq!(claimed(&run("", "")), probed);
}

#[test]
fn every_claimed_feature_reaches_the_tables() {
    for Probe { feature, route, more, wants } in probes() {
        let translation = run(route, more);
        assert!(accepted(&translation).starts_with("True"), "{feature}: {}", accepted(&translation));
        let document: Value =
            serde_json::json!({ "ir": &translation.ir, "tls": common::backend_tls(&translation) });
        for (pointer, want) in *wants {
            let pointer = if ["/ir", "/tls"].iter().any(|top| pointer.starts_with(top)) {
                (*pointer).to_owned()
            } else {
                format!("{RULE}{pointer}")
            };
            let got = document.pointer(&pointer).map(Value::to_string);
            assert_eq!(got.as_deref(), Some(*want), "{feature}: {pointer} in {document:#}");
        }
    }
}
