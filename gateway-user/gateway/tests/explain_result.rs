//! `sluice explain` and the gateway agree on every request.
#![allow(missing_docs)]

mod common;

use std::fs;

use common::{get, sluice, text, with_gateway};
use gateway_testkit::wait;

/// A route with a rule for each way in which a request can end.
const ROUTE: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ends, namespace: team1}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  rules:
    - matches: [{path: {value: /e/ok}}]
      filters:
        - type: URLRewrite
          urlRewrite: {hostname: inner.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /anything/x}}
      backendRefs: [{name: httpbin, namespace: team2, port: 8000}]
    - matches: [{path: {value: /e/away}}]
      filters:
        - type: RequestRedirect
          requestRedirect: {scheme: https, port: 8443, statusCode: 301, path: {type: ReplaceFullPath, replaceFullPath: /new}}
        - type: ResponseHeaderModifier
          responseHeaderModifier: {set: [{name: x-by, value: gw}]}
    - matches: [{path: {value: /e/missing}}]
      backendRefs: [{name: nope, port: 80}]
    - matches: [{path: {value: /e/grant}}]
      backendRefs: [{name: secret, namespace: ingress, port: 80}]
    - matches: [{path: {value: /e/empty}}]
      backendRefs: [{name: empty, port: 80}]
    - matches: [{path: {value: /e/zero}}]
      backendRefs: [{name: empty, port: 80, weight: 0}]
    - matches: [{path: {value: /e/none}}]
    - matches: [{path: {value: /e/extension}}]
      filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Limit, name: ten}}]
      backendRefs: [{name: httpbin, namespace: team2, port: 8000}]
    - matches: [{path: {value: /e/both}}]
      backendRefs:
        - {name: httpbin, namespace: team2, port: 8000, weight: 3}
        - {name: nope, port: 80, weight: 1}
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: team1}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: secret, namespace: ingress}
spec: {ports: [{port: 80}]}
"#;

#[test]
fn explain_says_what_the_gateway_does() {
    with_gateway("explain", |_, running| {
        running.config.write("ends.yaml", ROUTE).unwrap();
        running.wait_for_status("/e/none", 500);
        let dir = running.config.path().to_str().unwrap();
        let explain = |path: &str| {
            let said = sluice(&["explain", dir, "GET", &format!("http://127.0.0.1{path}")]);
            (said.status.code(), text(&said))
        };
        for path in ["missing", "grant", "empty", "zero", "none", "extension"] {
            let response = get(&format!("/e/{path}")).unwrap();
            let (code, said) = explain(&format!("/e/{path}"));
            let reply = format!("\n{} {}: ", response.status, response.reason().unwrap());
            assert!(code == Some(1) && said.contains(&reply), "{path}: {reply} is not in\n{said}");
        }
        let response = get("/e/away?a=b").unwrap();
        let (code, said) = explain("/e/away?a=b");
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("\n{} redirect\n", response.status)), "{said}");
        for name in ["location", "x-by"] {
            let line = format!("\n{name}: {}\n", response.header(name).unwrap());
            assert!(said.contains(&line), "{line} is not in\n{said}");
        }
        let response = get("/e/ok/y?a=b").unwrap();
        let (code, said) = explain("/e/ok/y?a=b");
        let body = response.text();
        let sent = "\nto Service team2/httpbin:8000 at 127.0.0.1:8000: GET /anything/x/y?a=b with Host inner.example\n";
        assert!(code == Some(0) && said.contains(sent), "{said}");
        assert!(body.contains("/anything/x/y?a=b") && body.contains("inner.example"), "{body}");
        let (response, (_, said)) = (get("/e//ok//y").unwrap(), explain("/e//ok//y"));
        assert!(said.contains(": GET /anything/x//y with Host inner.example\n"), "{said}");
        assert!(response.text().contains("/anything/x//y"), "{}", response.text());
        let (code, said) = explain("/e/both");
        assert!(
            code == Some(0) && said.contains("\n3 of 4 requests: to Service team2/httpbin:8000"),
            "{said}"
        );
        assert!(said.contains("\n1 of 4 requests: 500 backend_not_found: "), "{said}");
        let both = || get("/e/both").unwrap().status;
        wait::until("each of the two", || (both() == 500).then_some(()));
        wait::until("each of the two", || (both() != 500).then_some(()));
    });
}

#[test]
fn explain_fails_where_no_share_of_the_requests_is_served() {
    let config = gateway_testkit::scratch::Scratch::new("unserved").unwrap();
    config.copy_from(&common::example()).unwrap();
    let dir = config.path().to_str().unwrap();
    let explain = || sluice(&["explain", dir, "GET", "http://127.0.0.1/httpbin/get"]);
    assert_eq!(explain().status.code(), Some(0));
    let backend = fs::read_to_string(config.join("team2-httpbin.yaml")).unwrap();
    config.write("team2-httpbin.yaml", &backend.replace("ready: true", "ready: false")).unwrap();
    let said = explain();
    assert_eq!(said.status.code(), Some(1));
    let want = "503 no_endpoints: Service team2/httpbin:8000 has no usable endpoint";
    assert!(text(&said).contains(want), "{}", text(&said));
}
