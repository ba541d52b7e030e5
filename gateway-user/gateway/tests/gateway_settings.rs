//! Settings of Gateways by GatewayConfigs: two Gateways of one process with different ones, edits under load, and the same on
//! a node that follows a controller.

mod common;

use common::roles::with_roles;
use common::steady::SteadyClients;
use common::{Running, sluice, text, with_gateway};
use gateway_testkit::http::{self, Client, Response};
use gateway_testkit::wait;
use serde_json::Value;

const A: &str = "127.0.0.1:8081";
const B: &str = "127.0.0.1:8082";
const VALUES: &str = "{maxRequestTimeout: 2s, maxHeaders: 8, clientIdleTimeout: 2s, accessLog: false}";

/// A class with maxima, and two Gateways of it: one with these settings and one with none.
fn gateways(values: &str) -> String {
    let gateway = |name: &str, port: u16, own: &str| {
        format!(
            "
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: ingress}}
spec:
  gatewayClassName: bounded
  {own}
  listeners: [{{name: http, protocol: HTTP, port: {port}, allowedRoutes: {{namespaces: {{from: All}}}}}}]
"
        )
    };
    let own = "infrastructure: {parametersRef: {group: sluice.dev, kind: GatewayConfig, name: a}}";
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: bounded}}
spec:
  controllerName: sluice.dev/gateway
  parametersRef: {{group: sluice.dev, kind: GatewayConfig, name: bounded, namespace: ingress}}
---
apiVersion: sluice.dev/v1alpha1
kind: GatewayConfig
metadata: {{name: bounded, namespace: ingress}}
spec: {{maxima: {{maxHeaders: 90}}}}
---
apiVersion: sluice.dev/v1alpha1
kind: GatewayConfig
metadata: {{name: a, namespace: ingress}}
spec: {{settings: {values}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: both, namespace: team1}}
spec:
  parentRefs: [{{name: a, namespace: ingress}}, {{name: b, namespace: ingress}}]
  rules:
  - backendRefs: [{{name: httpbin, namespace: team2, port: 8000}}]
  - matches: [{{path: {{value: /httpbin}}}}]
    filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}}}]
    backendRefs: [{{name: httpbin, namespace: team2, port: 8000}}]
{}{}",
        gateway("a", 8081, own),
        gateway("b", 8082, "")
    )
}

fn get(to: &str, target: &str) -> Option<Response> {
    http::get(to.parse().unwrap(), "127.0.0.1", target).ok()
}

/// Status and reason of a request that takes four seconds, and of one with ten fields.
fn limits(to: &str) -> Option<[Seen; 2]> {
    Some([of(&get(to, "/delay/4")?), large(to)?])
}

/// A status and its reason.
type Seen = (u16, Option<String>);

fn of(response: &Response) -> Seen {
    (response.status, response.reason().map(str::to_owned))
}

fn large(to: &str) -> Option<Seen> {
    let mut client = Client::connect(to.parse().unwrap()).ok()?;
    let fields: String = (0..9).map(|n| format!("x-{n}: 1\r\n")).collect();
    client.send(format!("GET /get HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).ok()?;
    client.response().ok().map(|response| of(&response))
}

fn limited() -> [Seen; 2] {
    [(504, Some("request_timeout".to_owned())), (431, Some("too_many_headers".to_owned()))]
}

fn wait_for_limits(to: &str, want: &[Seen; 2]) {
    wait::until(&format!("{want:?} of {to}"), || limits(to).filter(|seen| seen == want));
}

fn serve(running: &Running, values: &str) {
    running.config.write("settings.yaml", &gateways(values)).unwrap();
}

#[test]
fn two_gateways_of_one_process_have_settings_of_their_own() {
    with_gateway("settings", |_, running| {
        serve(running, VALUES);
        wait_for_limits(A, &limited());
        assert_eq!(limits(B), Some([(200, None), (200, None)]), "the other has none");
        // Both have had a request; one of them waits for the next for a shorter time.
        let [mut a, mut b] = [A, B].map(|to| Client::connect(to.parse().unwrap()).unwrap());
        for client in [&mut a, &mut b] {
            assert_eq!(client.get("127.0.0.1", "/get").unwrap().status, 200);
        }
        assert!(a.at_end().unwrap(), "its connection ends");
        assert_eq!(b.get("127.0.0.1", "/get").unwrap().status, 200, "the other's is kept");
        wait::until("a line of the other's", || running.log().contains("ingress/b/http").then_some(()));
        assert!(!running.log().contains("ingress/a/http"), "its access log is off");
    });
}

#[test]
fn an_edit_takes_effect_and_costs_no_request() {
    with_gateway("edits", |_, running| {
        serve(running, "{clientIdleTimeout: 70s}");
        wait::until("the Gateway", || get(A, "/get").filter(|response| response.status == 200));
        let steady = SteadyClients::start(A);
        for _ in 0..2 {
            serve(running, "{maxHeaders: 8}");
            wait::until("the limit", || large(A).filter(|seen| seen.0 == 431));
            steady.wait_for_more(200);
            serve(running, "{clientIdleTimeout: 70s}");
            wait::until("no limit", || large(A).filter(|seen| seen.0 == 200));
            steady.wait_for_more(200);
        }
        steady.must_be_clean();
    });
}

#[test]
fn a_value_above_its_maximum_is_served_as_that_and_told() {
    with_gateway("maxima", |_, running| {
        serve(running, "{maxHeaders: 99, clientIdleTimeout: 2h, maxRequestTimeout: 2s}");
        wait::until("the limit", || get(A, "/delay/4").filter(|response| response.status == 504));
        let status = text(&sluice(&["status", "-o", "json"]));
        let document: Value = serde_json::from_str(&status).unwrap();
        let conditions =
            document["status"]["gateways"]["ingress/a"]["conditions"].as_array().unwrap().clone();
        let of = |kind: &str| conditions.iter().find(|one| one["type"] == kind).unwrap().clone();
        assert_eq!(of("Accepted")["status"], "True");
        let told = of("sluice.dev/SettingsApplied");
        assert_eq!((told["status"].as_str(), told["reason"].as_str()), (Some("False"), Some("AboveMaximum")));
        let message = told["message"].as_str().unwrap();
        for part in [
            "GatewayConfig ingress/a: spec.settings.maxHeaders: 99 is above 90, the maximum (GatewayConfig ingress/bounded: spec.maxima.maxHeaders)",
            "spec.settings.clientIdleTimeout: 2h is above 1m15s, the maximum (--client-idle-timeout)",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let shown: Vec<_> = document["settings"].as_array().unwrap().iter().map(line).collect();
        for want in [
            "ingress/a maxHeaders 90 GatewayConfig ingress/bounded: spec.maxima.maxHeaders",
            "ingress/a clientIdleTimeout 1m15s --client-idle-timeout",
            "ingress/a maxRequestTimeout 2s GatewayConfig ingress/a: spec.settings.maxRequestTimeout",
            "ingress/b maxHeaders 90 GatewayConfig ingress/bounded: spec.maxima.maxHeaders",
        ] {
            assert!(shown.iter().any(|line| line == want), "{shown:#?}");
        }
        let table = text(&sluice(&["status"]));
        assert!(table.contains("spec.settings.maxRequestTimeout"), "{table}");
        let directory = running.config.path().to_str().unwrap().to_owned();
        let explained = text(&sluice(&["explain", &directory, "GET", "http://a.example:8081/get"]));
        let setting = "maxRequestTimeout: 2s (GatewayConfig ingress/a: spec.settings.maxRequestTimeout)";
        assert!(explained.contains(setting), "{explained}");
        let checked = sluice(&["check", &directory]);
        assert_eq!(checked.status.code(), Some(1), "{}", text(&checked));
        assert!(text(&checked).contains("spec.settings.maxHeaders: 99 is above 90"), "{}", text(&checked));
    });
}

fn line(setting: &Value) -> String {
    ["gateway", "setting", "value", "source"].map(|key| setting[key].as_str().unwrap().to_owned()).join(" ")
}

#[test]
fn a_node_is_told_the_settings_by_its_controller() {
    with_roles("settings-roles", &[], |roles| {
        roles.config.write("settings.yaml", &gateways(VALUES)).unwrap();
        wait_for_limits(A, &limited());
        assert_eq!(limits(B), Some([(200, None), (200, None)]));
        roles.config.write("settings.yaml", &gateways("{clientIdleTimeout: 70s}")).unwrap();
        wait_for_limits(A, &[(200, None), (200, None)]);
    });
}
