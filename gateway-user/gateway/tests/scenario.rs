//! The shared-gateway scenario, sentence by sentence.

mod common;

use common::{get, sluice, text, with_gateway};
use gateway_testkit::{http, wait};

/// The URL path and query that the backend saw, as it reports it.
fn seen(response: &http::Response) -> String {
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let url = body["url"].as_str().unwrap().to_owned();
    let after_scheme = url.split_once("://").unwrap().1;
    after_scheme[after_scheme.find('/').unwrap()..].to_owned()
}

#[test]
fn a_prefix_is_replaced_and_the_query_is_kept() {
    with_gateway("rewrite", |_, _| {
        let cases = [
            ("/httpbin/get", "/get"),
            ("/httpbin", "/"),
            ("/httpbin/", "/"),
            ("/httpbin?a=1&b=2", "/?a=1&b=2"),
            ("/httpbin/get?x=%20y", "/get?x=%20y"),
            ("/httpbin//get", "/get"),
            ("/httpbin/anything/a//b", "/anything/a//b"),
        ];
        for (target, want) in cases {
            let response = get(target).unwrap();
            assert_eq!((response.status, seen(&response).as_str()), (200, want), "{target}");
        }
        let miss = get("/httpbinx").unwrap();
        assert_eq!(miss.status, 404);
        assert!(miss.reason().is_some(), "a 404 of our own has a reason: {miss:?}");
    });
}

#[test]
fn a_namespace_without_the_label_is_not_allowed() {
    with_gateway("label", |_, running| {
        running.wait_for_status("/httpbin/get", 200);
        let with_label = std::fs::read_to_string(running.config.join("namespaces.yaml")).unwrap();
        let (before, team2) = with_label.split_once("name: team2").unwrap();
        let without = before.replace("  labels:\n    purpose: workloads\n", "");
        running.config.write("namespaces.yaml", &format!("{without}name: team2{team2}")).unwrap();
        let response = running.wait_for_status("/httpbin/get", 404);
        assert!(response.reason().is_some());
        wait_for_condition("NotAllowedByListeners");
        running.config.write("namespaces.yaml", &with_label).unwrap();
        running.wait_for_status("/httpbin/get", 200);
    });
}

#[test]
fn a_reference_without_its_grant_answers_500() {
    with_gateway("grant", |_, running| {
        running.wait_for_status("/httpbin/get", 200);
        let grant = std::fs::read_to_string(running.config.join("team2-grant.yaml")).unwrap();
        std::fs::remove_file(running.config.join("team2-grant.yaml")).unwrap();
        let response = running.wait_for_status("/httpbin/get", 500);
        assert_eq!(response.reason(), Some("ref_not_permitted"));
        wait_for_condition("RefNotPermitted");
        running.config.write("team2-grant.yaml", &grant).unwrap();
        running.wait_for_status("/httpbin/get", 200);
    });
}

#[track_caller]
fn wait_for_condition(reason: &str) {
    wait::until(&format!("{reason} in sluice status"), || {
        text(&sluice(&["status", "-o", "yaml"])).contains(reason).then_some(())
    });
}

#[test]
fn the_log_names_a_parent_that_does_not_exist() {
    with_gateway("parent-log", |_, running| {
        running.edit("team1-route.yaml", "name: shared-gateway", "name: shared-gatewy");
        running.gateway.wait_for_output("did you mean \"ingress/shared-gateway\"?");
        running.wait_for_status("/httpbin/get", 404);
    });
}

#[test]
fn the_backend_sees_who_asked() {
    with_gateway("forwarded", |_, _| {
        let response = http::Client::connect("127.0.0.1:80".parse().unwrap())
            .unwrap()
            .get("shop.example", "/httpbin/headers")
            .unwrap();
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        let header = |name: &str| {
            let headers = body["headers"].as_object().unwrap();
            headers
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.as_str().unwrap().to_owned())
        };
        assert_eq!(header("host").as_deref(), Some("shop.example"));
        assert_eq!(header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert_eq!(header("x-forwarded-proto").as_deref(), Some("http"));
        assert!(header("x-request-id").is_some());
    });
}
