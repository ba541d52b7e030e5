//! Admin, health and signals of a running gateway.

mod common;

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use common::{SLUICE, pair, spawn_gateway};
use gateway_testkit::http::{self, Client};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait::until;
use nix::sys::signal::Signal;
use serde_json::Value;

const ADMIN: &str = "127.0.0.1:15000";

const GATEWAY: &str = "
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
  listeners: [{name: http, port: 8080, protocol: HTTP}]
";

/// One worker, and no time to be noticed by a load balancer.
fn start(inside: &Inside, dir: &Scratch, flags: &[&str]) -> Guarded {
    spawn_gateway(inside, dir.path(), &[&["--workers", "1", "--drain-min", "0"], flags].concat())
}

/// Runs `body` beside a gateway in a namespace of its own, once that is ready.
fn beside_a_gateway(label: &str, body: impl FnOnce(&Scratch, &mut Guarded) + Send + 'static) {
    netns::run(label, move |inside| {
        let dir = Scratch::new("config").unwrap();
        dir.write("gateway.yaml", GATEWAY).unwrap();
        let mut gateway = start(inside, &dir, &[]);
        let health: SocketAddr = "127.0.0.1:15021".parse().unwrap();
        until("readiness", || {
            assert!(gateway.try_wait().unwrap().is_none(), "{}", gateway.output());
            http::get(health, "a", "/healthz/ready").ok().filter(|answer| answer.status == 200)
        });
        body(&dir, &mut gateway);
    });
}

fn admin(path: &str) -> http::Answer {
    http::get(ADMIN.parse().unwrap(), "localhost", path).unwrap()
}

fn put(path: &str, body: &str) -> http::Answer {
    let mut client = Client::connect(ADMIN.parse().unwrap()).unwrap();
    client
        .send(format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        .unwrap();
    client.answer().unwrap()
}

#[test]
fn the_log_filter_changes_while_running() {
    beside_a_gateway("admin-log", |_, _| {
        assert_eq!(admin("/logging").text(), "info\n");
        assert_eq!(put("/logging", "warn,gateway_control=debug").status, 200);
        assert_eq!(admin("/logging").text(), "warn,gateway_control=debug\n");
        let refused = put("/logging", "a=b=c");
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains("write a level"), "{}", refused.text());
        assert_eq!(admin("/logging").text(), "warn,gateway_control=debug\n", "a bad filter changes nothing");
    });
}

#[test]
fn status_is_one_document_for_people_and_programs() {
    beside_a_gateway("admin-status", |dir, gateway| {
        let run = |format: &str| Command::new(SLUICE).args(["status", "-o", format]).output().unwrap();
        let document: Value = serde_json::from_slice(&run("json").stdout).unwrap();
        assert_eq!(document["process"]["pid"], gateway.pid());
        assert_eq!(document["process"]["source"], dir.path().display().to_string());
        let (steering, io) = pair::wanted();
        assert_eq!(document["steering"]["path"], steering);
        assert!(document["io"]["driver"].as_str().unwrap().starts_with(&io), "{document}");
        let listener = &document["listeners"][0];
        assert_eq!((&listener["gateway"], &listener["port"]), (&"a/gw".into(), &8080.into()));
        assert_eq!(listener["conditions"]["Programmed"]["status"], "True");
        let condition = &document["status"]["gateways"]["a/gw"]["conditions"][0];
        assert!(condition["lastTransitionTime"].is_string(), "{condition}");
        let table = String::from_utf8(run("table").stdout).unwrap();
        assert!(table.contains("a/gw") && table.contains("8080") && table.contains("OK"), "{table}");
    });
}

#[test]
fn a_hangup_reads_the_directory_again() {
    beside_a_gateway("admin-hup", |_, gateway| {
        let reconciled = || admin("/status").status;
        assert_eq!(reconciled(), 200);
        gateway.signal(Signal::SIGHUP).unwrap();
        gateway.wait_for_output("reading the configuration again, as asked");
        assert!(gateway.try_wait().unwrap().is_none(), "a hangup does not end the process");
    });
}

#[test]
fn a_directory_that_goes_away_is_said_and_changes_nothing() {
    beside_a_gateway("admin-gone", |dir, gateway| {
        let aside = dir.path().with_extension("aside");
        std::fs::rename(dir.path(), &aside).unwrap();
        gateway.signal(Signal::SIGHUP).unwrap();
        gateway.wait_for_output("make it readable or remove it");
        let status: Value = serde_json::from_slice(&admin("/status").body).unwrap();
        assert_eq!((&status["readiness"], &status["generation"]), (&"ready".into(), &1.into()));
        assert!(status["trouble"].is_string());
        std::fs::rename(&aside, dir.path()).unwrap();
        gateway.signal(Signal::SIGHUP).unwrap();
        until("the trouble to end", || {
            let status: Value = serde_json::from_slice(&admin("/status").body).ok()?;
            status["trouble"].is_null().then_some(())
        });
    });
}

#[test]
fn a_busy_port_names_its_setting() {
    netns::run("admin-busy", |inside| {
        let dir = Scratch::new("config").unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let flags = ["--health-address", "off", "--metrics-address", "off", "--admin-address", &address];
        let mut gateway = start(inside, &dir, &flags);
        let ended = gateway.wait();
        assert_eq!(ended.code(), Some(1));
        gateway.wait_for_output(&format!("--admin-address {address}: cannot listen there"));
    });
}
