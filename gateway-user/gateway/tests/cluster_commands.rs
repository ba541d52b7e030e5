//! `explain` and `check` of what is in a cluster, as kubectl's user sees it.
#![allow(missing_docs)]

mod common;

use std::process::{Command, Output};

use common::{SLUICE, text};
use gateway_testkit::apiserver::{ApiServer, READ_KINDS};
use gateway_testkit::scratch::Scratch;
use serde_json::{Value, json};

const CLASSES: &str = "gatewayclasses.gateway.networking.k8s.io";
const GATEWAYS: &str = "gateways.gateway.networking.k8s.io";
const ROUTES: &str = "httproutes.gateway.networking.k8s.io";
const SLICES: &str = "endpointslices.discovery.k8s.io";

fn named(name: &str, namespace: &str, mut object: Value) -> Value {
    object["metadata"] = json!({"name": name, "namespace": namespace, "generation": 1, "uid": name});
    object
}

fn gateway(name: &str, addresses: &[&str]) -> Value {
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let addresses: Vec<_> =
        addresses.iter().map(|address| json!({"type": "IPAddress", "value": address})).collect();
    let spec = json!({"gatewayClassName": "sluice", "listeners": listeners});
    named(name, "shop", json!({"spec": spec, "status": {"addresses": addresses}}))
}

fn route(name: &str, parent: &str) -> Value {
    let rules = json!([{"backendRefs": [{"name": "echo", "port": 80}]}]);
    named(name, "shop", json!({"spec": {"parentRefs": [{"name": parent}], "rules": rules}}))
}

fn cluster() -> ApiServer {
    let api = ApiServer::start(&READ_KINDS).unwrap();
    api.put(CLASSES, named("sluice", "", json!({"spec": {"controllerName": "sluice.dev/gateway"}})));
    api.put(GATEWAYS, gateway("web", &[]));
    api.put("namespaces", named("shop", "", json!({})));
    api.put("services", named("echo", "shop", json!({"spec": {"ports": [{"port": 80}]}})));
    let mut slice = json!({"addressType": "IPv4", "ports": [{"port": 8000}]});
    slice["endpoints"] = json!([{"addresses": ["10.0.0.7"]}]);
    let mut slice = named("echo-1", "shop", slice);
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "echo"});
    api.put(SLICES, slice);
    api.put(ROUTES, route("cart", "web"));
    api
}

fn run(program: &str, api: &ApiServer, args: &[&str]) -> Output {
    Command::new(program).args(args).env("KUBECONFIG", api.kubeconfig().unwrap()).output().unwrap()
}

fn sluice(api: &ApiServer, args: &[&str]) -> Output {
    run(SLUICE, api, args)
}

const SHOP: &str = "http://shop.example.com/cart";

#[test]
fn a_request_is_explained_by_the_objects_of_a_cluster() {
    let api = cluster();
    let found = sluice(&api, &["explain", "--cluster", "GET", SHOP]);
    let said = text(&found);
    assert!(found.status.success() && said.contains("HTTPRoute shop/cart"), "{said}{}", text(&found));
    assert!(said.contains("10.0.0.7:8000"), "{said}");
    api.delete(ROUTES, "shop", "cart");
    api.put(ROUTES, route("cart", "wep"));
    let lost = sluice(&api, &["explain", "--cluster", "GET", SHOP]);
    let said = text(&lost);
    assert_eq!(lost.status.code(), Some(1));
    assert!(
        said.contains(r#"did you mean "shop/web"?"#) || said.contains(r#"did you mean "web"?"#),
        "{said}"
    );
    let tcp = sluice(&api, &["explain", "--cluster", "tcp://10.0.0.1:81"]);
    assert_eq!(tcp.status.code(), Some(1), "{}", text(&tcp));
}

#[test]
fn the_address_is_that_of_the_only_gateway_or_has_to_be_named() {
    let api = cluster();
    api.put(GATEWAYS, gateway("web", &["192.0.2.1", "192.0.2.2"]));
    let one = sluice(&api, &["explain", "--cluster", "GET", SHOP]);
    assert!(one.status.success(), "{}", text(&one));
    api.put(GATEWAYS, gateway("other", &["192.0.2.9"]));
    let two = sluice(&api, &["explain", "--cluster", "GET", SHOP]);
    let said = text(&two);
    assert!(said.contains("192.0.2.9 (shop/other)") && said.contains("--address"), "{said}");
    let named = sluice(&api, &["explain", "--cluster", "--address", "192.0.2.1", "GET", SHOP]);
    assert!(named.status.success(), "{}", text(&named));
    let other = sluice(&api, &["explain", "--cluster", "--address", "192.0.2.9", "GET", SHOP]);
    assert_eq!(other.status.code(), Some(1), "no route of that Gateway");
    // One of a foreign class has no say, and one without addresses is served where all are, unless there is a pool.
    let mut foreign = gateway("foreign", &["192.0.2.1"]);
    foreign["spec"]["gatewayClassName"] = "elsewhere".into();
    api.put(GATEWAYS, foreign);
    assert!(text(&sluice(&api, &["explain", "--cluster", "GET", SHOP])).contains("192.0.2.9 (shop/other)"));
    api.put(GATEWAYS, gateway("new", &[]));
    let node = text(&sluice(&api, &["explain", "--cluster", "GET", SHOP]));
    assert!(node.contains("127.0.0.1:80 belongs to port 80 on every address"), "{node}");
    let pool =
        ["explain", "--cluster", "--address-mode", "pool", "--address-pool", "192.0.2.0/24", "GET", SHOP];
    let pool = text(&sluice(&api, &pool));
    assert!(pool.contains("192.0.2.9 (shop/other)"), "{pool}");
    api.delete(GATEWAYS, "shop", "new");
    // Where Gateways have addresses in common, each is served on every address of its nodes.
    api.put(GATEWAYS, gateway("other", &["192.0.2.1"]));
    let shared = text(&sluice(&api, &["explain", "--cluster", "GET", SHOP]));
    assert!(shared.contains("127.0.0.1:80 belongs to port 80 on every address"), "{shared}");
}

#[test]
fn a_cluster_is_checked_and_what_cannot_be_read_is_told() {
    let api = cluster();
    let good = sluice(&api, &["check", "--cluster"]);
    assert!(good.status.success(), "{}", text(&good));
    api.put(ROUTES, route("bad", "wep"));
    let bad = sluice(&api, &["check", "--cluster", "--strict"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad).contains("HTTPRoute shop/bad"), "{}", text(&bad));
    for verb in ["list", "watch"] {
        api.set_forbidden(SLICES, verb, true);
    }
    let refused = sluice(&api, &["check", "--cluster"]);
    let said = text(&refused);
    assert!(!refused.status.success() && said.contains("endpointslices"), "{said}");
}

#[test]
fn bad_words_are_told_with_what_to_do() {
    let api = cluster();
    for (args, wanted) in [
        (&["check", "--cluster", "dir"][..], "--cluster and dir are two sources"),
        (&["check"], "or --cluster"),
        (&["explain", "--cluster"], "required"),
        (&["explain", "dir"], "METHOD and URL"),
        (&["explain", "--cluster", "GET", SHOP, "more"], "METHOD and URL"),
        (&["check", "--context", "nowhere"], "--context"),
    ] {
        let output = sluice(&api, args);
        let said = text(&output);
        assert!(!output.status.success() && said.contains(wanted), "{args:?}: {said}");
    }
    let none = Command::new(SLUICE)
        .args(["check", "--cluster"])
        .env("KUBECONFIG", "/nowhere/at/all")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap();
    assert!(text(&none).contains("KUBECONFIG"), "{}", text(&none));
}

/// The program under the name that kubectl looks for.
#[test]
fn a_plugin_of_kubectl_is_about_the_cluster() {
    let api = cluster();
    let scratch = Scratch::new("plugin").unwrap();
    let plugin = scratch.join("kubectl-sluice");
    std::os::unix::fs::symlink(SLUICE, &plugin).unwrap();
    let plugin = plugin.to_str().unwrap();
    let explained = run(plugin, &api, &["explain", "GET", SHOP]);
    assert!(
        explained.status.success() && text(&explained).contains("HTTPRoute shop/cart"),
        "{}",
        text(&explained)
    );
    assert!(run(plugin, &api, &["check"]).status.success());
    // Files may be named all the same.
    let dir = scratch.join("files");
    std::fs::create_dir(&dir).unwrap();
    let dir = dir.to_str().unwrap();
    assert!(text(&run(plugin, &api, &["check", dir])).contains("0 objects"));
    assert_eq!(run(plugin, &api, &["explain", dir, "GET", SHOP]).status.code(), Some(1));
    let help = text(&run(plugin, &api, &["--help"]));
    assert!(help.contains("Usage: kubectl sluice <COMMAND>") && !help.contains("takeover"), "{help}");
    assert_eq!(run(plugin, &api, &["run"]).status.code(), Some(2), "it serves nothing");
}

/// A kubectl that knows two pods and says how it was called.
const KUBECTL: &str = r#"#!/bin/sh
case "$*" in
*"get pods"*) echo '{"items": [
  {"metadata": {"name": "node-1", "namespace": "edge"}, "spec": {"nodeName": "n1", "containers": [{"name": "spare"}, {"name": "node"}]}},
  {"metadata": {"name": "controller-1", "namespace": "edge"}, "spec": {"nodeName": "n2", "containers": [{"name": "controller"}]}},
  {"metadata": {"name": "other", "namespace": "edge"}, "spec": {"containers": [{"name": "job"}]}}]}' ;;
*controller-1*) echo "no such container" >&2; exit 1 ;;
*) echo "called with: $*" ;;
esac
"#;

#[test]
fn the_plugin_asks_every_pod_through_kubectl() {
    let api = cluster();
    let scratch = Scratch::new("kubectl").unwrap();
    let [plugin, kubectl] = ["kubectl-sluice", "kubectl"].map(|name| scratch.join(name));
    std::os::unix::fs::symlink(SLUICE, &plugin).unwrap();
    std::fs::write(&kubectl, KUBECTL).unwrap();
    std::fs::set_permissions(&kubectl, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let status = |args: &[&str]| {
        let path = format!("{}:{}", scratch.path().display(), std::env::var("PATH").unwrap());
        let kubeconfig = api.kubeconfig().unwrap();
        let mut command = Command::new(&plugin);
        command.arg("status").args(args).env("PATH", path).env("KUBECONFIG", kubeconfig).output().unwrap()
    };
    let one = status(&["--node", "n1", "--context", "c", "-o", "wide"]);
    let said = text(&one);
    assert!(one.status.success(), "{said}");
    assert!(said.contains("pod edge/node-1 (node) on n1:"), "{said}");
    assert!(
        said.contains("called with: --context=c exec -n edge node-1 -c node -- sluice status -o wide"),
        "{said}"
    );
    let all = status(&[]);
    assert_eq!(all.status.code(), Some(1), "one of them does not answer");
    assert!(
        text(&all).contains("called with:") && text(&all).contains("no such container"),
        "{}",
        text(&all)
    );
    let none = status(&["--node", "n3"]);
    assert!(
        text(&none).contains("no pod of Sluice (app.kubernetes.io/name=sluice) on node n3"),
        "{}",
        text(&none)
    );
}
