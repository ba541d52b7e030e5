//! ListenerSets through the whole gateway, from YAML to responses: hosts, a certificate and a port of a tenant's own.
#![allow(missing_docs)]

mod common;
#[path = "common/ends.rs"]
mod ends;

use std::net::SocketAddr;

use common::{Running, metric, sluice, text, with_gateway};
use ends::{connect, exchange, is_reset, start_echo};
use gateway_testkit::http::Client;
use gateway_testkit::tls::{self, SelfSigned, Versions};
use gateway_testkit::wait;

/// The shared Gateway lets in the sets of `team1`; those of `team2` ask for nothing else.
const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shared, namespace: ingress}
spec:
  gatewayClassName: sluice
  allowedListeners: {namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: team1}}}}
  listeners:
  - {name: https, protocol: HTTP, port: 81, hostname: platform.example, allowedRoutes: {namespaces: {from: All}}}
";

fn set(namespace: &str, name: &str, listeners: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  parentRef: {{name: shared, namespace: ingress}}
  listeners: [{listeners}]
"
    )
}

fn route(kind: &str, parent: &str, backend: &str) -> String {
    let name = kind.to_lowercase();
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {name}-{parent}, namespace: team1}}
spec:
  parentRefs: [{{kind: ListenerSet, name: {parent}}}]
  rules: [{{backendRefs: [{backend}]}}]
"
    )
}

const ECHO: &str = "---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: team1}
spec: {ports: [{name: echo, port: 5432}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo-1, namespace: team1, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
ports: [{name: echo, port: 15432}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]
";

/// Sets of `team1` with a host, with a certificate of its own namespace, and with a port; one that comes too late for the host.
fn resources(certificate: &SelfSigned) -> String {
    let httpbin = "{name: httpbin, namespace: team2, port: 8000}";
    let https = "{name: https, protocol: HTTPS, port: 443, hostname: secure.team1.example, tls: {certificateRefs: [{name: own}]}}";
    let web = "{name: web, protocol: HTTP, port: 81, hostname: team1.example}";
    [
        GATEWAY.to_owned(),
        certificate.secret("team1", "own"),
        set("team1", "hosts", web),
        set("team1", "secure", https),
        set("team1", "tcp", "{name: echo, protocol: TCP, port: 5432}"),
        set("team1", "zz-late", &web.replace("name: web", "name: late")),
        set("team2", "stranger", "{name: web, protocol: HTTP, port: 81, hostname: team2.example}"),
        route("HTTPRoute", "hosts", httpbin),
        route("HTTPRoute", "secure", httpbin),
        route("TCPRoute", "tcp", "{name: echo, port: 5432}"),
        ECHO.to_owned(),
    ]
    .concat()
}

/// The status of a request for a host on port 81; `None` while nobody listens there.
fn status_of(host: &str) -> Option<u16> {
    let mut client = Client::connect(([127, 0, 0, 1], 81).into()).ok()?;
    client.get(host, "/get").ok().map(|response| response.status)
}

fn hosts_and_ports_of_sets_are_served(running: &mut Running, certificate: &SelfSigned) {
    let log = || running.log();
    wait::until(&format!("the host; the gateway says:\n{}", log()), || {
        (status_of("team1.example") == Some(200)).then_some(())
    });
    // The Gateway's own listener has none of the set's routes, and a set without leave serves nothing.
    assert_eq!(status_of("platform.example"), Some(404));
    assert_eq!(status_of("team2.example"), Some(404));
    let client = tls::client(&[certificate], Versions::New);
    let mut secure = tls::connect(([127, 0, 0, 1], 443).into(), "secure.team1.example", &client).unwrap();
    assert_eq!(tls::shown(&secure), Some(certificate.der()));
    assert_eq!(secure.get("secure.team1.example", "/get").unwrap().status, 200);
    let tcp: SocketAddr = ([127, 0, 0, 1], 5432).into();
    let mut stream = wait::until("the port", || connect(tcp).ok());
    exchange(&mut stream, b'x').unwrap();
    // Numbers and log lines name the set of a listener.
    let labels =
        ["sluice_listener=\"ingress/shared/team1/hosts/web\"", "sluice_route=\"team1/httproute-hosts\""];
    wait::until("the count", || {
        (metric("http_server_request_duration_seconds_count", &labels) >= 1.0).then_some(())
    });
    running.gateway.wait_for_output("ingress/shared/team1/secure/https");
}

fn status_knows_sets() {
    let said = text(&sluice(&["status", "-o", "wide"]));
    let row = |first: &str| {
        let line =
            said.lines().find(|line| line.starts_with(first)).unwrap_or_else(|| panic!("{first}: {said}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(row("team1/hosts ").starts_with("team1/hosts ingress/shared OK"), "{said}");
    assert!(row("team1/zz-late ").contains("ListenersNotValid"), "{said}");
    assert!(row("team2/stranger ").contains("NotAllowed"), "{said}");
    let has_row = |cells: &str| {
        said.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(cells))
    };
    assert!(has_row("ingress/shared team1/hosts/web * 81 HTTP team1.example 1 OK"), "{said}");
    assert!(has_row("ingress/shared team1/tcp/echo * 5432 TCP * 1 OK"), "{said}");
}

#[test]
fn sets_of_tenants_are_served_and_free_their_hosts_when_they_go() {
    with_gateway("listener-sets", |_, running| {
        start_echo("127.0.0.1:15432");
        let certificate = SelfSigned::new(&["secure.team1.example"]);
        let all = resources(&certificate);
        running.config.write("sets.yaml", &all).unwrap();
        hosts_and_ports_of_sets_are_served(running, &certificate);
        status_knows_sets();
        // The next one has the host, with no route yet, and then with one.
        let without = all.replace(
            &set("team1", "hosts", "{name: web, protocol: HTTP, port: 81, hostname: team1.example}"),
            "",
        );
        assert_ne!(all, without);
        let without = without.replace(&route("TCPRoute", "tcp", "{name: echo, port: 5432}"), "");
        running.config.write("sets.yaml", &without).unwrap();
        wait::until("the host without a route", || (status_of("team1.example") == Some(404)).then_some(()));
        let tcp: SocketAddr = ([127, 0, 0, 1], 5432).into();
        wait::until("the port without a route", || {
            is_reset(connect(tcp).and_then(|mut stream| exchange(&mut stream, b'x'))).then_some(())
        });
        let late = route("HTTPRoute", "zz-late", "{name: httpbin, namespace: team2, port: 8000}");
        running.config.write("sets.yaml", &(without + &late)).unwrap();
        wait::until("the next one", || (status_of("team1.example") == Some(200)).then_some(()));
        // Without leave nothing of them is served.
        running.edit("sets.yaml", "kubernetes.io/metadata.name: team1", "kubernetes.io/metadata.name: team2");
        wait::until("the end of leave", || (status_of("team1.example") == Some(404)).then_some(()));
        wait::until("the end of the port", || connect(tcp).is_err().then_some(()));
        wait::until("the other's leave", || (status_of("team2.example") == Some(404)).then_some(()));
    });
}
