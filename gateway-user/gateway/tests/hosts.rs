//! Ownership of hosts through the whole gateway: hosts that a younger Gateway or route of another team may
//! take, and those that it may not.

mod common;

use std::process::Command;

use common::{SLUICE, metric, start_backend, start_gateway};
use gateway_testkit::http::Client;
use gateway_testkit::netns;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait::until;

/// Two teams, each with a Service on the bundled backend, and a Gateway of the platform's that admits both. A
/// route's responses name the owner in a header.
const PLATFORM: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shared, namespace: ingress, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}
"#;

/// A younger Gateway with one of the node's own addresses, and a route on it.
const YOUNGER_GATEWAY: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: own, namespace: team-b, creationTimestamp: "2026-01-03T00:00:00Z"}
spec:
  gatewayClassName: sluice
  addresses: [{value: 127.0.0.1}]
  listeners:
  - {name: http, protocol: HTTP, port: 80, hostname: b.example.com}
"#;

fn team(name: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Namespace
metadata: {{name: {name}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {name}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, namespace: {name}, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{name: http, port: 8000}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"#
    )
}

fn route(team: &str, day: u32, gateway: &str, host: &str, path: (&str, &str)) -> String {
    format!(
        r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: {team}, creationTimestamp: "2026-01-0{day}T00:00:00Z"}}
spec:
  parentRefs: [{gateway}]
  hostnames: [{host}]
  rules:
  - matches: [{{path: {{type: {}, value: {}}}}}]
    filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier: {{set: [{{name: x-team, value: {team}}}]}}
    - type: URLRewrite
      urlRewrite: {{path: {{type: ReplaceFullPath, replaceFullPath: /get}}}}
    backendRefs: [{{name: web, port: 80}}]
"#,
        path.0, path.1
    )
}

const SHARED: &str = "{name: shared, namespace: ingress}";

/// Team-a's whole host, and team-b's login page within it.
fn two_teams_on_one_host() -> Scratch {
    let config = Scratch::new("hosts").unwrap();
    config.write("platform.yaml", PLATFORM).unwrap();
    let whole = route("team-a", 1, SHARED, "shop.example.com", ("PathPrefix", "/"));
    config.write("team-a.yaml", &format!("{}---{whole}", team("team-a"))).unwrap();
    let login = route("team-b", 2, SHARED, "shop.example.com", ("Exact", "/login"));
    config.write("team-b.yaml", &format!("{}---{login}", team("team-b"))).unwrap();
    config
}

/// Owner of the response to a request to this address, or the status if none has one.
fn served_by(address: &str, host: &str, path: &str) -> String {
    let response = Client::connect(address.parse().unwrap()).unwrap().get(host, path).unwrap();
    response.header("x-team").map_or_else(|| response.status.to_string(), str::to_owned)
}

/// Exit code and output of `sluice check`.
fn check(config: &Scratch, flags: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(SLUICE).arg("check").arg(config.path()).args(flags).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_younger_gateway_takes_no_address_out_of_an_older_ones_every_address() {
    netns::run("gateway-addresses", |inside| {
        let _backend = start_backend();
        let config = Scratch::new("hosts").unwrap();
        config.write("platform.yaml", PLATFORM).unwrap();
        let old = route("team-a", 1, SHARED, "a.example.com", ("PathPrefix", "/"));
        config.write("team-a.yaml", &format!("{}---{old}", team("team-a"))).unwrap();
        let young = route("team-b", 3, "{name: own}", "b.example.com", ("PathPrefix", "/"));
        config.write("team-b.yaml", &format!("{}---{YOUNGER_GATEWAY}---{young}", team("team-b"))).unwrap();
        let (code, said) = check(&config, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("Gateway \"team-b/own\" would take 127.0.0.1")
                && said.contains("\"ingress/shared\""),
            "{said}"
        );

        let gateway = start_gateway(inside, config.path(), &[]);
        assert_eq!(served_by("127.0.0.1:80", "a.example.com", "/"), "team-a");
        assert_eq!(served_by("127.0.0.2:80", "a.example.com", "/"), "team-a");
        assert_eq!(served_by("127.0.0.1:80", "b.example.com", "/"), "404");
        drop(gateway);

        // Behaviour without the flag: the exact address wins, and with it all of its traffic goes.
        let _gateway = start_gateway(inside, config.path(), &["--address-ownership", "shared"]);
        assert_eq!(served_by("127.0.0.1:80", "a.example.com", "/"), "404");
        assert_eq!(served_by("127.0.0.2:80", "a.example.com", "/"), "team-a");
        assert_eq!(served_by("127.0.0.1:80", "b.example.com", "/"), "team-b");
    });
}

#[test]
fn a_login_page_within_anothers_host_is_told_of_where_hosts_are_shared() {
    netns::run("shared-hosts", |inside| {
        let _backend = start_backend();
        let config = two_teams_on_one_host();
        let (code, said) = check(&config, &[]);
        assert_eq!(code, Some(0), "{said}");
        let line = "HTTPRoute team-b/web: rules[0]: Exact /login takes requests for host \"shop.example.com\" from \
                    HTTPRoute team-a/web rules[0] (PathPrefix /)";
        assert!(said.contains(line) && said.contains("1 warning"), "{said}");
        assert_eq!(check(&config, &["--strict"]).0, Some(1));

        let gateway = start_gateway(inside, config.path(), &[]);
        assert_eq!(served_by("127.0.0.1:80", "shop.example.com", "/cart"), "team-a");
        assert_eq!(served_by("127.0.0.1:80", "shop.example.com", "/login"), "team-b");
        until("the line", || gateway.output().contains(line).then_some(()));
        assert_eq!(metric("sluice_shared_hosts", &[]), 1.0);
        assert_eq!(metric("sluice_shadowed_rules", &["takes_from_older"]), 1.0);
        assert_eq!(metric("sluice_host_refusals", &[]), 0.0);

        // The younger one moves to a path that is nobody's: nothing is left to tell.
        let moved = std::fs::read_to_string(config.join("team-b.yaml")).unwrap();
        config.write("team-b.yaml", &moved.replace("shop.example.com", "login.example.com")).unwrap();
        until("the host to be one team's", || (metric("sluice_shared_hosts", &[]) == 0.0).then_some(()));
        let shadowed = || metric("sluice_shadowed_rules", &["takes_from_older"]);
        until("no rule to be shadowed", || (shadowed() == 0.0).then_some(()));
    });
}

#[test]
fn where_hosts_have_owners_the_login_page_stays_with_the_team_whose_host_it_is() {
    netns::run("owned-hosts", |inside| {
        let _backend = start_backend();
        let config = two_teams_on_one_host();
        let flags = &["--host-ownership", "oldest-namespace"];
        let (code, said) = check(&config, flags);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("host \"shop.example.com\" belongs to namespace \"team-a\""), "{said}");
        assert!(said.contains("without it the host is namespace \"team-b\"'s"), "{said}");

        let _gateway = start_gateway(inside, config.path(), flags);
        assert_eq!(served_by("127.0.0.1:80", "shop.example.com", "/login"), "team-a");
        assert_eq!(metric("sluice_host_refusals", &[]), 1.0);

        // A label of the Namespace beats age: now the rest of the host is nobody's.
        let team_b = std::fs::read_to_string(config.join("team-b.yaml")).unwrap();
        let labelled = team_b.replacen(
            "{name: team-b}",
            "{name: team-b, labels: {sluice.dev/hosts: shop.example.com}}",
            1,
        );
        config.write("team-b.yaml", &labelled).unwrap();
        until("team-b's login page", || {
            (served_by("127.0.0.1:80", "shop.example.com", "/login") == "team-b").then_some(())
        });
        // Another worker may serve the configuration before for a moment.
        until("nobody's cart", || {
            (served_by("127.0.0.1:80", "shop.example.com", "/cart") == "404").then_some(())
        });

        // And without the label it goes back.
        config.write("team-b.yaml", &team_b).unwrap();
        until("team-a's login page", || {
            (served_by("127.0.0.1:80", "shop.example.com", "/login") == "team-a").then_some(())
        });
    });
}
