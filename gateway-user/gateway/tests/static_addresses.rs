//! Gateways that name their addresses: each is served there alone.

mod common;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use common::{SLUICE, start_gateway};
use gateway_testkit::http::Client;
use gateway_testkit::netns;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait::until;

const CLASS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
";

/// A Gateway on one address of the loopback, and a route that tells which one responds.
fn gateway(namespace: &str, address: &str) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw, namespace: {namespace}}}
spec:
  gatewayClassName: sluice
  addresses: [{{type: IPAddress, value: {address}}}]
  listeners: [{{name: http, protocol: HTTP, port: 80}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r, namespace: {namespace}}}
spec:
  parentRefs: [{{name: gw}}]
  rules:
  - filters: [{{type: RequestRedirect, requestRedirect: {{hostname: {namespace}.example}}}}]
"
    )
}

fn two_teams(second: &str) -> Scratch {
    let config = Scratch::new("static-addresses").unwrap();
    config.write("class.yaml", CLASS).unwrap();
    config.write("a.yaml", &gateway("team-a", "127.0.0.2")).unwrap();
    config.write("b.yaml", &gateway("team-b", second)).unwrap();
    config
}

/// The team whose Gateway responds at an address.
fn team(address: &str) -> String {
    let response = Client::connect(at(address)).unwrap().get("x.example", "/").unwrap();
    response.header("location").unwrap_or_default().to_owned()
}

fn at(address: &str) -> SocketAddr {
    format!("{address}:80").parse().unwrap()
}

fn is_refused(address: &str) -> bool {
    TcpStream::connect(at(address)).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn gateways_share_a_port_by_their_addresses_and_have_no_other() {
    netns::run("static-addresses", |inside| {
        let config = two_teams("127.0.0.3");
        let _gateway = start_gateway(inside, config.path(), &[]);
        assert_eq!(team("127.0.0.2"), "http://team-a.example/");
        assert_eq!(team("127.0.0.3"), "http://team-b.example/");
        assert!(is_refused("127.0.0.1") && is_refused("127.0.0.4"), "addresses that nobody named");

        config.write("b.yaml", &gateway("team-b", "127.0.0.4")).unwrap();
        until("the other address", || (!is_refused("127.0.0.4")).then_some(()));
        assert_eq!(team("127.0.0.4"), "http://team-b.example/");
        until("the address that was given up", || is_refused("127.0.0.3").then_some(()));
        assert_eq!(team("127.0.0.2"), "http://team-a.example/");
    });
}

#[test]
fn an_address_that_operators_keep_from_gateways_is_not_served() {
    netns::run("kept-addresses", |inside| {
        let config = two_teams("127.0.0.3");
        let flags = ["--gateway-addresses", "127.0.0.2/32"];
        let output = Command::new(SLUICE).arg("check").arg(config.path()).args(flags).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let line = "127.0.0.3 is not among the addresses that Gateways may name; choose one of 127.0.0.2/32";
        assert!(output.status.code() == Some(1) && said.contains(line), "{said}");

        let _gateway = start_gateway(inside, config.path(), &flags);
        assert_eq!(team("127.0.0.2"), "http://team-a.example/");
        assert!(is_refused("127.0.0.3"));
    });
}
