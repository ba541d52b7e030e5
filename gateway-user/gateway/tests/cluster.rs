//! The whole gateway on a cluster whose API server comes and goes.

mod common;

use std::path::Path;
use std::process::Command;

use common::{SLUICE, get, metric, pair, remember_state, sluice, start_backend, text, wait_until_ready};
use gateway_testkit::apiserver::{ApiServer, READ_KINDS};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::wait::until;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const CLASSES: &str = "gatewayclasses.gateway.networking.k8s.io";
const GATEWAYS: &str = "gateways.gateway.networking.k8s.io";
const ROUTES: &str = "httproutes.gateway.networking.k8s.io";
const SLICES: &str = "endpointslices.discovery.k8s.io";

fn named(name: &str, namespace: &str, more: Value) -> Value {
    let mut object = more;
    object["metadata"] = json!({"name": name, "namespace": namespace, "generation": 1, "uid": name});
    object
}

fn route(path: &str) -> Value {
    let matches = json!([{"path": {"type": "PathPrefix", "value": path}}]);
    let rules = json!([{"matches": matches, "backendRefs": [{"name": "echo", "port": 80}]}]);
    let spec = json!({"parentRefs": [{"name": "web"}], "rules": rules});
    // The API server would count generations; any other number tells versions apart as well.
    let mut route = named("echo", "shop", json!({"spec": spec}));
    route["metadata"]["generation"] = path.len().into();
    route
}

fn slice(endpoints: &[&str]) -> Value {
    let endpoints: Vec<Value> = endpoints.iter().map(|address| json!({"addresses": [address]})).collect();
    let mut slice = named(
        "echo-1",
        "shop",
        json!({"addressType": "IPv4", "ports": [{"port": 8000}], "endpoints": endpoints}),
    );
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "echo"});
    slice["metadata"]["generation"] = Value::Null;
    slice
}

fn cluster() -> ApiServer {
    let api = ApiServer::start(&READ_KINDS).unwrap();
    let class = json!({"spec": {"controllerName": "sluice.dev/gateway"}});
    api.put(CLASSES, named("sluice", "", class));
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let gateway = json!({"spec": {"gatewayClassName": "sluice", "listeners": listeners}});
    api.put(GATEWAYS, named("web", "shop", gateway));
    api.put("namespaces", named("shop", "", json!({})));
    api.put("services", named("echo", "shop", json!({"spec": {"ports": [{"port": 80}]}})));
    api.put(SLICES, slice(&["127.0.0.1"]));
    api.put(ROUTES, route("/get"));
    api
}

/// Over a cluster whose backend is on loopback, which has to be named.
fn spawn(inside: &Inside, kubeconfig: &Path) -> Guarded {
    spawn_with(inside, kubeconfig, &["--backend-networks", "127.0.0.0/8,0.0.0.0/0,::1/128,::/0"])
}

fn spawn_with(inside: &Inside, kubeconfig: &Path, flags: &[&str]) -> Guarded {
    let mut command = Command::new(SLUICE);
    command.arg("run").arg("--kubeconfig").arg(kubeconfig).arg("--bpffs").arg(inside.bpffs());
    command.arg("--state-dir").arg(inside.scratch().join("state")).args(pair::flags(&[])).args(flags);
    remember_state(&inside.scratch().join("state"));
    Guarded::spawn(&mut command).unwrap()
}

fn wait_for(target: &str, status: u16) {
    until(&format!("{status} for {target}"), || {
        get(target).ok().filter(|response| response.status == status)
    });
}

#[test]
fn traffic_goes_on_while_the_api_server_is_away_and_a_restart_serves_what_was_last_good() {
    netns::run("cluster", |inside| {
        let backend = start_backend();
        let api = cluster();
        let kubeconfig = api.kubeconfig().unwrap();
        let mut gateway = spawn(inside, &kubeconfig);
        wait_until_ready(&mut gateway);
        wait_for("/get", 200);

        api.set_away(true);
        until("failing watches", || (metric("sluice_watch_failing", &[]) > 0.0).then_some(()));
        for _ in 0..50 {
            assert_eq!(get("/get").unwrap().status, 200, "{}", gateway.output());
        }
        // Kept within the pause between two writings.
        let kept = inside.scratch().join("state/last-good-cluster");
        until("the last good objects", || kept.exists().then_some(()));
        drop(gateway);

        let mut gateway = spawn(inside, &kubeconfig);
        wait_until_ready(&mut gateway);
        wait_for("/get", 200);
        // It is said after what it is about, and once for all kinds.
        let said = |text: &str| gateway.output().matches(text).count();
        until("the line", || (said("the API server cannot be reached") > 0).then_some(()));

        api.put(ROUTES, route("/headers"));
        api.set_away(false);
        wait_for("/headers", 200);
        wait_for("/get", 404);
        // Of one text: the second line may come while the first is counted.
        let log = gateway.output();
        let lines = log.matches("the API server cannot be reached").count();
        let resolved = log.matches("resolved: the API server cannot be reached").count();
        assert_eq!(lines - resolved, 1, "{log}");
        drop(backend);
    });
}

/// Status of one route's references, and its findings.
fn said() -> String {
    text(&sluice(&["status", "-o", "yaml"]))
}

#[test]
fn a_slice_leads_to_no_door_of_the_node_itself() {
    netns::run("own-doors", |inside| {
        let added =
            Command::new("ip").args(["address", "add", "192.0.2.7/32", "dev", "lo"]).status().unwrap();
        assert!(added.success());
        let _backend = start_backend();
        // A stand-in for a kubelet, and a backend in the node's network.
        let kubelet =
            Guarded::spawn(Command::new(SLUICE).args(["echo", "--listen", "192.0.2.7:10250"])).unwrap();
        let _host =
            Guarded::spawn(Command::new(SLUICE).args(["echo", "--listen", "192.0.2.7:8080"])).unwrap();
        let api = cluster();
        let kubeconfig = api.kubeconfig().unwrap();
        let at = |family: &str, address: &str, port: u16| {
            let mut slice = slice(&[address]);
            (slice["addressType"], slice["ports"]) = (family.into(), json!([{"port": port}]));
            slice
        };
        let is_refused = |slice: Value, why: &str| {
            api.put(SLICES, slice);
            until(&format!("503, and {why:?} in {}", said()), || {
                let reason = get("/get").ok().filter(|a| a.status == 503)?.reason().map(str::to_owned);
                (reason.as_deref() == Some("no_endpoints") && said().contains(why)).then_some(())
            });
        };

        let mut gateway = spawn_with(inside, &kubeconfig, &["--drain-min", "0s"]);
        wait_until_ready(&mut gateway);
        is_refused(slice(&["127.0.0.1"]), "127.0.0.1 is loopback");
        is_refused(at("IPv4", "127.0.0.1", 15000), "1 endpoint is not used");
        is_refused(at("IPv6", "::ffff:127.0.0.1", 15000), "127.0.0.1 is loopback");
        is_refused(at("IPv4", "169.254.169.254", 80), "169.254.169.254 is link-local");
        assert!(said().contains("every backendRef was found; rules[0].backendRefs[0]"), "{}", said());
        is_refused(
            at("IPv4", "192.0.2.7", 10250),
            "192.0.2.7:10250 is not used on this node: the port is reserved",
        );
        is_refused(
            at("IPv4", "192.0.2.7", 15021),
            "192.0.2.7:15021 is not used on this node: it is a port of Sluice",
        );
        is_refused(
            at("IPv4", "192.0.2.7", 80),
            "192.0.2.7:80 is not used on this node: it is a listener of Sluice",
        );
        assert_eq!(metric("sluice_refused_endpoints", &["reason=\"listener\""]), 1.0);
        // Another node's status must be able to say the same of the route.
        let route = said();
        let route = route.split("httpRoutes").nth(1).unwrap_or_default();
        assert!(!route.contains("192.0.2.7"), "{route}");
        api.put(SLICES, at("IPv4", "192.0.2.7", 8080));
        wait_for("/get", 200);
        gateway.signal(Signal::SIGTERM).unwrap();
        gateway.wait();

        // Named, loopback is believed, but for Sluice's own ports and the reserved ones.
        let named =
            ["--backend-networks", "127.0.0.0/8,192.0.2.0/24", "--reserved-ports", "22", "--drain-min", "0s"];
        let mut gateway = spawn_with(inside, &kubeconfig, &named);
        wait_until_ready(&mut gateway);
        wait_for("/get", 200);
        is_refused(
            at("IPv4", "127.0.0.1", 15021),
            "127.0.0.1:15021 is not used on this node: it is a port of Sluice",
        );
        is_refused(at("IPv4", "10.1.1.1", 80), "10.1.1.1 is outside --backend-networks");
        api.put(SLICES, at("IPv4", "192.0.2.7", 10250));
        wait_for("/get", 200);
        gateway.signal(Signal::SIGTERM).unwrap();
        gateway.wait();

        let refuse = ["--node-endpoints", "refuse", "--reserved-ports", "none", "--drain-min", "0s"];
        let mut gateway = spawn_with(inside, &kubeconfig, &refuse);
        wait_until_ready(&mut gateway);
        is_refused(at("IPv4", "192.0.2.7", 8080), "--node-endpoints refuse");
        drop(kubelet);
    });
}

#[test]
fn a_storm_of_endpoints_becomes_few_configurations_and_compiles_nothing() {
    netns::run("storm", |inside| {
        let _backend = start_backend();
        let api = cluster();
        let mut gateway = spawn(inside, &api.kubeconfig().unwrap());
        wait_until_ready(&mut gateway);
        wait_for("/get", 200);
        let reconciles = || metric("sluice_reconciles_total", &["ok"]);
        let (before, published) = (reconciles(), metric("sluice_config_published_total", &[]));
        let events = || metric("sluice_watch_events_total", &["EndpointSlice"]);
        let begun = events();
        for round in 0..1000 {
            let other = format!("127.0.1.{}", round % 250);
            api.put(SLICES, slice(&["127.0.0.1", &other]));
        }
        api.put(SLICES, slice(&["127.0.0.1"]));
        until("all changes", || (events() - begun >= 1001.0).then_some(()));
        wait_for("/get", 200);
        let made = reconciles() - before;
        assert!(made < 250.0, "{made} configurations of 1001 changes: {}", gateway.output());
        assert_eq!(metric("sluice_config_published_total", &[]) - published, 0.0);
        assert!(metric("sluice_endpoint_updates_total", &[]) > 0.0);
    });
}
