//! Configuration changes under load: nothing fails that a change did not mean to fail.

mod common;

use common::load::Wrk;
use common::{get, metric, with_gateway};
use gateway_testkit::wait;

/// A second team's route, which no edit below is about.
const STABLE: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: stable
  namespace: team2
spec:
  parentRefs:
    - name: shared-gateway
      namespace: ingress
  rules:
    - matches: [{path: {type: PathPrefix, value: /stable}}]
      filters:
        - type: URLRewrite
          urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}
      backendRefs:
        - name: httpbin
          port: 8000
"#;

#[test]
fn one_teams_edits_never_fail_anothers_requests() {
    with_gateway("edits", |_, running| {
        running.config.write("team2-stable.yaml", STABLE).unwrap();
        running.wait_for_status("/stable/get", 200);
        let grant = std::fs::read_to_string(running.config.join("team2-grant.yaml")).unwrap();
        let namespaces = std::fs::read_to_string(running.config.join("namespaces.yaml")).unwrap();
        let unlabelled = namespaces.replacen("  labels:\n    purpose: workloads\n", "", 1);
        assert_ne!(namespaces, unlabelled);
        let mut wrk = Wrk::start("http://127.0.0.1/stable/get", 32, 8);
        let mut rounds = 0;
        while rounds == 0 || wrk.is_running() {
            std::fs::remove_file(running.config.join("team2-grant.yaml")).unwrap();
            running.wait_for_status("/httpbin/get", 500);
            running.config.write("team2-grant.yaml", &grant).unwrap();
            running.wait_for_status("/httpbin/get", 200);
            running.config.write("namespaces.yaml", &unlabelled).unwrap();
            running.wait_for_status("/httpbin/get", 404);
            running.config.write("namespaces.yaml", &namespaces).unwrap();
            running.wait_for_status("/httpbin/get", 200);
            rounds += 1;
        }
        wrk.report().must_be_clean();
    });
}

#[test]
fn edits_of_the_route_itself_lose_no_request() {
    with_gateway("own-edits", |_, running| {
        let route = std::fs::read_to_string(running.config.join("team1-route.yaml")).unwrap();
        let marked = |n: u32| {
            let filter = format!(
                "      filters:\n        - type: ResponseHeaderModifier\n          responseHeaderModifier:\n            \
                 set: [{{name: x-round, value: \"{n}\"}}]\n"
            );
            route.replace("      filters:\n", &filter)
        };
        let mut wrk = Wrk::start("http://127.0.0.1/httpbin/get", 32, 6);
        let mut round = 0;
        while round == 0 || wrk.is_running() {
            round += 1;
            running.config.write("team1-route.yaml", &marked(round)).unwrap();
            wait::until("the new round", || {
                let response = get("/httpbin/get").ok()?;
                (response.header("x-round") == Some(round.to_string().as_str())).then_some(())
            });
        }
        wrk.report().must_be_clean();
        // A worker serves a generation before all have it.
        let generation = || metric("sluice_config_generation", &[]);
        wait::until("the last generation", || (generation() >= f64::from(round)).then_some(()));
    });
}

#[test]
fn listeners_come_and_go_beside_a_steady_one() {
    with_gateway("listeners", |_, running| {
        let gateway = std::fs::read_to_string(running.config.join("gateway.yaml")).unwrap();
        let second = "    - name: extra\n      protocol: HTTP\n      port: 8081\n      allowedRoutes:\n        \
                      namespaces: {from: All}\n";
        let mut wrk = Wrk::start("http://127.0.0.1/httpbin/get", 16, 6);
        let extra = "127.0.0.1:8081".parse().unwrap();
        let mut rounds = 0;
        while rounds == 0 || wrk.is_running() {
            running.config.write("gateway.yaml", &format!("{gateway}{second}")).unwrap();
            wait::until("the second listener", || {
                gateway_testkit::http::get(extra, "localhost", "/httpbin/get")
                    .ok()
                    .filter(|a| a.status == 200)
            });
            running.config.write("gateway.yaml", &gateway).unwrap();
            wait::until("the second listener's end", || std::net::TcpStream::connect(extra).err());
            rounds += 1;
        }
        wrk.report().must_be_clean();
    });
}

#[test]
fn endpoints_change_without_a_new_generation() {
    with_gateway("endpoints", |_, running| {
        running.wait_for_status("/httpbin/get", 200);
        let before = metric("sluice_config_generation", &[]);
        running.edit("team2-httpbin.yaml", "ready: true", "ready: false");
        let response = running.wait_for_status("/httpbin/get", 503);
        assert_eq!(response.reason(), Some("no_endpoints"));
        running.edit("team2-httpbin.yaml", "ready: false", "ready: true");
        running.wait_for_status("/httpbin/get", 200);
        assert_eq!(metric("sluice_config_generation", &[]), before, "endpoint changes compile nothing");
    });
}

#[test]
fn broken_files_keep_the_last_good_state() {
    with_gateway("broken", |_, running| {
        running.wait_for_status("/httpbin/get", 200);
        let route = std::fs::read_to_string(running.config.join("team1-route.yaml")).unwrap();
        let mistakes = [
            ("unknown field", route.replace("rules:", "rulez:")),
            ("wrong type", route.replace("port: 8000", "port: eight")),
            ("bad enum", route.replace("type: PathPrefix", "type: PathPrefiks")),
            ("syntax", route.replace("  rules:", "  rules: [")),
            ("half a file", route[..route.len() / 2].to_owned()),
        ];
        for (what, broken) in mistakes {
            let from = running.log().len();
            running.config.write("team1-route.yaml", &broken).unwrap();
            wait::until(&format!("a line about {what}"), || {
                running.log()[from..].contains("team1-route.yaml:").then_some(())
            });
            assert_eq!(get("/httpbin/get").unwrap().status, 200, "{what}");
        }
        running.config.write("team1-route.yaml", &route.replace("/httpbin", "/bin")).unwrap();
        running.wait_for_status("/bin/get", 200);
    });
}

#[test]
fn a_route_that_asks_for_default_gateways_is_served_while_there_is_one() {
    with_gateway("default-gateways", |_, running| {
        let route = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: defaulted, namespace: team1}
spec:
  useDefaultGateways: All
  rules:
  - matches: [{path: {value: /defaulted}}]
    filters: [{type: RequestRedirect, requestRedirect: {hostname: defaulted.example}}]
"#;
        running.config.write("team1-defaulted.yaml", route).unwrap();
        let log = "no Gateway has defaultScope All";
        wait::until("the line", || running.log().contains(log).then_some(()));
        running.wait_for_status("/defaulted", 404);
        let class = "gatewayClassName: sluice\n";
        running.edit("gateway.yaml", class, "gatewayClassName: sluice\n  defaultScope: All\n");
        running.wait_for_status("/defaulted", 302);
        running.edit("gateway.yaml", "defaultScope: All", "defaultScope: None");
        running.wait_for_status("/defaulted", 404);
    });
}
