//! Budgets of regular expressions through the whole gateway: each flag refuses rules and admits them,
//! `sluice check` and `sluice run` say the same, and a long value is matched like any other.

mod common;

use std::process::Command;

use common::{HTTP, SLUICE, admin, metric, start_backend, start_gateway};
use gateway_testkit::http::{Client, Response};
use gateway_testkit::netns;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait::until;
use serde_json::Value;

/// A Gateway, and a team's Service on the bundled backend.
const PLATFORM: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: team}
spec:
  gatewayClassName: sluice
  listeners: [{name: http, protocol: HTTP, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: team}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: team, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8000}]
endpoints: [{addresses: [127.0.0.1]}]
"#;

/// A route of that age whose rules have one match each; responses name the rule.
fn route(name: &str, day: u32, matches: &[String]) -> String {
    let rule = |(number, one): (usize, &String)| {
        format!(
            "  - matches: [{one}]
    filters:
    - {{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-rule, value: {name}-{number}}}]}}}}
    - {{type: URLRewrite, urlRewrite: {{path: {{type: ReplaceFullPath, replaceFullPath: /get}}}}}}
    backendRefs: [{{name: web, port: 80}}]
"
        )
    };
    let rules: String = matches.iter().enumerate().map(rule).collect();
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: team, creationTimestamp: \"2026-01-0{day}T00:00:00Z\"}}
spec:
  parentRefs: [{{name: gw}}]
  hostnames: [a.example]
  rules:
{rules}"
    )
}

fn path(expression: &str) -> String {
    format!("{{path: {{type: RegularExpression, value: '{expression}'}}}}")
}

fn header(name: &str, expression: &str) -> String {
    format!("{{headers: [{{type: RegularExpression, name: {name}, value: '{expression}'}}]}}")
}

fn plain(text: &str) -> String {
    format!("{{path: {{type: Exact, value: {text}}}}}")
}

/// One flag, and routes of which some are too much for its lower value.
struct Budget {
    flag: &'static str,
    values: [&'static str; 2],
    routes: Vec<String>,
    /// The condition of the refused route, and what its message says: the place, the figures, the flag.
    condition: [&'static str; 3],
    says: Vec<&'static str>,
    /// A request for what is refused, path and fields.
    refused: (&'static str, &'static str),
    /// Its response then, and the rule that serves it with the higher value.
    gets: [&'static str; 2],
    /// A request for what is served in any case.
    served: (&'static str, &'static str),
    /// The kind that is counted, expressions or rules, and the count.
    counted: (&'static str, f64),
}

fn config(routes: &[String]) -> Scratch {
    let config = Scratch::new("expressions").unwrap();
    config.write("platform.yaml", PLATFORM).unwrap();
    config.write("routes.yaml", &routes.concat()).unwrap();
    config
}

/// The response to a request with these header lines.
fn ask(path: &str, fields: &str) -> Response {
    let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")).unwrap();
    client.response().unwrap()
}

/// The rule that serves it, or the reason why none does.
fn rule_of(path: &str, fields: &str) -> String {
    let response = ask(path, fields);
    let reason = || format!("{} {}", response.status, response.reason().unwrap_or_default());
    response.header("x-rule").map_or_else(reason, str::to_owned)
}

/// Exit code of `sluice check`, and what it finds.
fn check(config: &Scratch, flags: &[&str]) -> (Option<i32>, Vec<String>) {
    let output = Command::new(SLUICE).arg("check").arg(config.path()).args(flags).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // Without the place in the file and the count at the end.
    let about = |line: &str| line.find("HTTPRoute team/").map(|at| line[at..].to_owned());
    (output.status.code(), text.lines().filter_map(about).collect())
}

/// Findings of the running gateway, and the conditions of a route as type, status, reason and message.
fn status(route: &str) -> (Vec<String>, Vec<[String; 4]>) {
    let document: Value = serde_json::from_slice(&admin("/status").body).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = document["findings"].as_array().unwrap().iter().map(|line| {
        let line = text(line);
        line.find("HTTPRoute team/").map(|at| line[at..].to_owned()).unwrap_or_default()
    });
    let conditions = &document["status"]["httpRoutes"][route]["parents"][0]["conditions"];
    let conditions = conditions.as_array().unwrap_or_else(|| panic!("{document:#}")).iter();
    let four = |one: &Value| ["type", "status", "reason", "message"].map(|field| text(&one[field]));
    (findings.collect(), conditions.map(four).collect())
}

fn refuses_and_admits(label: &str, budget: Budget) {
    netns::run(label, move |inside| {
        let _backend = start_backend();
        let config = config(&budget.routes);
        let [small, large] = budget.values;

        let flags = [budget.flag, small];
        let (code, found) = check(&config, &flags);
        assert_eq!(code, Some(1), "{found:?}");
        for part in &budget.says {
            assert!(found.iter().any(|line| line.contains(part)), "{part}: {found:#?}");
        }
        let gateway = start_gateway(inside, config.path(), &flags);
        let (findings, conditions) = status("team/younger");
        assert_eq!(findings, found, "run and check find the same");
        until("the log to say so", || found.iter().all(|line| gateway.output().contains(line)).then_some(()));
        let [kind, state, reason] = budget.condition;
        let is_it = |one: &&[String; 4]| one[..3] == [kind, state, reason];
        let message = &conditions.iter().find(is_it).unwrap_or_else(|| panic!("{conditions:#?}"))[3];
        assert!(budget.says.iter().all(|part| message.contains(part)), "{message}");
        let refused = || rule_of(budget.refused.0, budget.refused.1);
        let served = || rule_of(budget.served.0, "");
        assert_eq!((refused().as_str(), served().as_str()), (budget.gets[0], budget.served.1));
        let (kind, count) = budget.counted;
        let label = format!("kind=\"{kind}\"");
        assert_eq!(
            (metric("sluice_regex_refused", &[&label]), metric("sluice_regex_refused", &[])),
            (count, count)
        );
        drop(gateway);

        let flags = [budget.flag, large];
        assert_eq!(check(&config, &flags), (Some(0), Vec::new()));
        let _gateway = start_gateway(inside, config.path(), &flags);
        assert_eq!(status("team/younger").0, [""; 0]);
        assert_eq!((refused().as_str(), served().as_str()), (budget.gets[1], budget.served.1));
        assert_eq!(metric("sluice_regex_refused", &[]), 0.0);
    });
}

#[test]
fn one_expression_may_cost_what_regex_bytes_says() {
    // 16 KiB.
    let rules = [header("x-a", ".*a.{7}b"), plain("/plain")];
    refuses_and_admits(
        "regex-bytes",
        Budget {
            flag: "--regex-bytes",
            values: ["8KiB", "16KiB"],
            routes: vec![route("younger", 2, &rules)],
            condition: ["PartiallyInvalid", "True", "UnsupportedValue"],
            says: vec![
                "rules[0].matches[0].headers[0].value: ",
                "takes more than 8 KiB compiled",
                "--regex-bytes",
            ],
            // Only requests with the field can have been meant.
            refused: ("/x", "X-A: xa1234567b\r\n"),
            gets: ["500 invalid_rule", "younger-0"],
            served: ("/plain", "younger-1"),
            counted: ("expression", 1.0),
        },
    );
}

#[test]
fn the_expressions_of_a_route_may_cost_what_regex_route_bytes_says() {
    let rules = [path("/.*a.{7}b"), path("/.*c.{7}d"), plain("/plain")];
    refuses_and_admits(
        "regex-route-bytes",
        Budget {
            flag: "--regex-route-bytes",
            values: ["20KiB", "32KiB"],
            routes: vec![route("younger", 2, &rules)],
            condition: ["PartiallyInvalid", "True", "UnsupportedValue"],
            says: vec!["rules[1].matches[0].path.value: ", "cost 16 KiB of 20 KiB (--regex-route-bytes)"],
            // Nobody knows which paths were meant, so none is taken.
            refused: ("/xc1234567d", ""),
            gets: ["404 no_rule_for_path", "younger-1"],
            served: ("/xa1234567b", "younger-0"),
            counted: ("expression", 1.0),
        },
    );
}

#[test]
fn the_expressions_of_a_namespace_may_cost_what_regex_namespace_bytes_says() {
    let older = route("older", 1, &[path("/.*a.{7}b")]);
    let younger = route("younger", 2, &[path("/.*c.{7}d")]);
    refuses_and_admits(
        "regex-namespace-bytes",
        Budget {
            flag: "--regex-namespace-bytes",
            values: ["20KiB", "32KiB"],
            routes: vec![younger, older],
            condition: ["Accepted", "False", "UnsupportedValue"],
            says: vec!["rules[0].matches[0].path.value: ", "cost 16 KiB of 20 KiB (--regex-namespace-bytes)"],
            refused: ("/xc1234567d", ""),
            gets: ["404 no_rule_for_path", "younger-0"],
            served: ("/xa1234567b", "older-0"),
            counted: ("expression", 1.0),
        },
    );
}

#[test]
fn a_request_may_have_scanned_what_regex_scan_bytes_says() {
    // 64 KiB are eight request lines of 8 KiB.
    let older: Vec<_> = (0..8).map(|n| path(&format!("/o{n}.*"))).collect();
    let of_header = "{path: {value: /y}, headers: [{type: RegularExpression, name: x-y, value: 'y.*'}]}";
    let younger = [plain("/plain"), path("/y0.*"), of_header.to_owned()];
    refuses_and_admits(
        "regex-scan-bytes",
        Budget {
            flag: "--regex-scan-bytes",
            values: ["64KiB", "128KiB"],
            routes: vec![route("younger", 2, &younger), route("older", 1, &older)],
            condition: ["PartiallyInvalid", "True", "UnsupportedValue"],
            says: vec![
                "rules[1].matches: ",
                "host a.example could have 72 KiB scanned, more than 64 KiB (--regex-scan-bytes)",
                // Eight request lines, and what is left of a head of 32 KiB.
                "host a.example could have 88 KiB scanned, more than 64 KiB (--regex-scan-bytes)",
            ],
            refused: ("/y", "X-Y: yes\r\n"),
            gets: ["500 invalid_rule", "younger-2"],
            served: ("/o7x", "older-7"),
            counted: ("rule", 2.0),
        },
    );
}

/// A rule that denies must not stop to match because a value is long.
#[test]
fn a_value_as_long_as_a_head_may_be_is_matched_to_its_end() {
    netns::run("regex-long", |inside| {
        let _backend = start_backend();
        // The first would double its automaton with each repetition, the second takes for ever where
        // expressions go back.
        let rules = [
            header("x-a", ".*a.{7}b"),
            header("x-b", "([ab]+)+c"),
            "{path: {type: PathPrefix, value: /}}".to_owned(),
        ];
        let config = config(&[route("r", 1, &rules)]);
        let _gateway = start_gateway(inside, config.path(), &[]);
        let rule = |name: &str, value: String| {
            let response = ask("/x", &format!("{name}: {value}\r\n"));
            response.header("x-rule").map(str::to_owned).unwrap_or_else(|| response.status.to_string())
        };
        for length in [0, 1_000, 8_000, 32_000] {
            let filler = "x".repeat(length);
            assert_eq!(rule("x-a", format!("{filler}a1234567b")), "r-0", "{length}");
            assert_eq!(rule("x-a", format!("{filler}a1234567c")), "r-2", "{length}");
            let filler = "ab".repeat(length / 2);
            assert_eq!(rule("x-b", format!("{filler}abc")), "r-1", "{length}");
            assert_eq!(rule("x-b", format!("{filler}abd")), "r-2", "{length}");
        }
    });
}
