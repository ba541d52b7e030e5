//! The roles taken apart: a controller that reads resources, and nodes that serve what it says.

mod common;

use std::fs;
use std::process::Command;

use common::roles::{
    Roles, TARGET, controller_metrics, controller_state, node_command, start_controller, start_node, status,
    with_roles,
};
use common::steady::SteadyClients;
use common::{HTTP, SLUICE, get, metric, wait_until_ready};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::tls::{self, SelfSigned, Versions};
use gateway_testkit::wait;
use nix::sys::signal::Signal;
use serde_json::Value;

#[test]
fn a_node_serves_what_its_controller_says_and_says_so() {
    with_roles("roles", &[], |roles| {
        assert_eq!(get(TARGET).unwrap().status, 200);
        roles.edit("team1-route.yaml", "value: /httpbin", "value: /moved");
        roles.until_status("/moved/get", 200);
        roles.until_status(TARGET, 404);
        assert_eq!(metric("sluice_controller_connected", &[]), 1.0);
        let version = metric("sluice_config_version", &[]);
        wait::until("the node's word", || {
            let told = common::metric_of(&controller_metrics(), "sluice_node_version", &["node=\"edge-1\""]);
            (told == version).then_some(())
        });
        let controller = status(&controller_state(roles.inside));
        let nodes = &controller["nodes"];
        assert_eq!(
            (nodes[0]["node"].as_str(), nodes[0]["connected"].as_bool()),
            (Some("edge-1"), Some(true)),
            "{nodes}"
        );
        assert!(controller["routes"][0]["conditions"]["Accepted"]["status"] == "True", "{controller}");
        let node = status(&roles.inside.scratch().join("state"));
        assert_eq!(node["controller"]["connected"], true, "{node}");
        assert_eq!(
            (&node["listeners"][0]["port"], &node["listeners"][0]["attachedRoutes"]),
            (&80.into(), &1.into())
        );
        assert_eq!(node["routes"][0]["route"], "HTTPRoute team1/httpbin", "{node}");
        for file in ["environ", "maps"] {
            let text = fs::read(format!("/proc/{}/{file}", roles.node.pid())).unwrap();
            assert!(!String::from_utf8_lossy(&text).contains("serviceaccount"));
        }
    });
}

#[test]
fn without_its_controller_a_node_serves_on_and_starts_from_its_disk() {
    with_roles("roles-alone", &[], |mut roles| {
        let steady = SteadyClients::start(HTTP);
        wait::until("the copy on disk", || {
            roles.inside.scratch().join("state/last-good-stream").exists().then_some(())
        });
        roles.stop_controller();
        wait::until("the loss", || (metric("sluice_controller_connected", &[]) == 0.0).then_some(()));
        steady.wait_for_more(1000);
        assert!(steady.must_be_clean() > 1000);
        roles.node.signal(Signal::SIGKILL).unwrap();
        roles.node.wait();
        roles.node = start_node(roles.inside, &[]);
        assert_eq!(get(TARGET).unwrap().status, 200);
        // What was changed meanwhile comes with the controller.
        roles.edit("team1-route.yaml", "value: /httpbin", "value: /moved");
        roles.controller = Some(start_controller(roles.inside, roles.config.path(), &[]));
        roles.until_status("/moved/get", 200);
        assert_eq!(metric("sluice_controller_connected", &[]), 1.0);
    });
}

/// Clients wait, or are refused, until somebody has a configuration; nobody is told that there is no route.
#[test]
fn a_process_without_a_configuration_hands_over_once_it_has_one() {
    with_roles("roles-early", &[], |mut roles| {
        let state = roles.inside.scratch().join("state");
        wait::until("the copy on disk", || state.join("last-good-stream").exists().then_some(()));
        // It takes connections and says nothing, so whoever starts waits for it before the copy is served.
        roles.controller.as_mut().unwrap().signal(Signal::SIGSTOP).unwrap();
        roles.node.signal(Signal::SIGKILL).unwrap();
        roles.node.wait();
        let _ = fs::remove_file(state.join("last-good-stream.served"));
        roles.node = Guarded::spawn(&mut node_command(roles.inside, &state)).unwrap();
        roles.node.wait_for_output("each worker holds at most");
        let next = Guarded::spawn(&mut node_command(roles.inside, &state)).unwrap();
        wait::until("the take-over", || {
            if let Ok(response) = get(TARGET) {
                assert_eq!(response.status, 200, "{}\n{}", roles.node.output(), next.output());
            }
            next.output().contains("took over from sluice").then_some(())
        });
        let before = roles.node.output();
        assert!(before.contains("configuration is live"), "{before}");
        assert_eq!(get(TARGET).unwrap().status, 200);
        roles.controller.as_mut().unwrap().signal(Signal::SIGCONT).unwrap();
    });
}

/// An HTTPS listener beside the example, with a route.
const SECURE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: one, protocol: HTTPS, port: 443, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: one}]}}
";

/// A node keeps no private key on its disk, and none is missing to a process that takes over while the controller is there.
#[test]
fn keys_stay_off_the_disk_and_a_hot_restart_has_them() {
    with_roles("roles-keys", &[], |mut roles| {
        let https = std::net::SocketAddr::from(([127, 0, 0, 1], 443));
        let certificate = SelfSigned::new(&["one.example"]);
        let client = tls::client(&[&certificate], Versions::New);
        let secret = certificate.secret("ingress", "one");
        roles.config.write("secret.yaml", &secret).unwrap();
        roles.config.write("secure.yaml", SECURE).unwrap();
        wait::until("the listener", || tls::connect(https, "one.example", &client).ok());
        let copy = roles.inside.scratch().join("state/last-good-stream");
        // The key's form in the file would be the bytes behind the text.
        let holds = |bytes: &[u8]| bytes.windows(11).any(|part| part == b"one.example");
        wait::until("the copy on disk", || fs::read(&copy).ok().filter(|bytes| holds(bytes)));
        let key = certificate.key_der();
        assert!(!fs::read(&copy).unwrap().windows(key.len()).any(|part| part == key), "the key is on disk");
        let next =
            Guarded::spawn(&mut node_command(roles.inside, &roles.inside.scratch().join("state"))).unwrap();
        wait::until("the take-over", || {
            assert!(tls::connect(https, "one.example", &client).is_ok(), "{}", next.output());
            next.output().contains("took over from sluice").then_some(())
        });
        roles.node.wait();
        tls::connect(https, "one.example", &client).unwrap();
        // Without its controller it serves what needs no key.
        roles.node = next;
        roles.stop_controller();
        roles.node.signal(Signal::SIGKILL).unwrap();
        roles.node.wait();
        roles.node = start_node(roles.inside, &[]);
        assert_eq!(get(TARGET).unwrap().status, 200);
        assert!(tls::connect(https, "one.example", &client).is_err());
        roles.controller = Some(start_controller(roles.inside, roles.config.path(), &[]));
        wait::until("the key", || tls::connect(https, "one.example", &client).ok());
    });
}

/// With a key of its own the copy has private keys, which nobody sees in it, and without that key nothing is served from it.
#[test]
fn a_sealed_copy_serves_https_and_opens_with_its_own_key_alone() {
    with_roles("roles-sealed", &[], |mut roles| {
        let https = std::net::SocketAddr::from(([127, 0, 0, 1], 443));
        let certificate = SelfSigned::new(&["one.example"]);
        let client = tls::client(&[&certificate], Versions::New);
        roles.config.write("secret.yaml", &certificate.secret("ingress", "one")).unwrap();
        roles.config.write("secure.yaml", SECURE).unwrap();
        let scratch = roles.inside.scratch();
        let (key, copy) = (scratch.join("key"), scratch.join("state/last-good-stream"));
        let key_path = key.display().to_string();
        let environment = [("SLUICE_LAST_GOOD_KEY", key_path.as_str())];
        let serves = || tls::connect(https, "one.example", &client).is_ok();
        let sealed =
            || fs::read(&copy).ok().filter(|bytes| bytes.starts_with(b"sluice sealed ")).unwrap_or_default();
        let kill = |roles: &mut Roles<'_>| {
            roles.node.signal(Signal::SIGKILL).unwrap();
            roles.node.wait();
        };
        // The file that the node has left is not sealed, and is replaced.
        wait::until("the listener", || serves().then_some(()));
        kill(&mut roles);
        scratch.write("key", &"first".repeat(10)).unwrap();
        roles.node = start_node(roles.inside, &environment);
        wait::until("the listener", || serves().then_some(()));
        let bytes = wait::until("the sealed copy", || Some(sealed()).filter(|bytes| !bytes.is_empty()));
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|found| found == part);
        assert!(!holds(&certificate.key_der()) && !holds(b"one.example") && !holds(b"PRIVATE KEY"));

        roles.stop_controller();
        kill(&mut roles);
        roles.node = start_node(roles.inside, &environment);
        assert_eq!(get(TARGET).unwrap().status, 200);
        assert!(serves(), "{}", roles.node.output());

        kill(&mut roles);
        scratch.write("key", &"other".repeat(10)).unwrap();
        let mut command = node_command(roles.inside, &scratch.join("state"));
        roles.node = Guarded::spawn(command.envs(environment)).unwrap();
        let said = wait::until("the refusal", || {
            let said = roles.node.output();
            said.contains("nothing is served from it").then_some(said)
        });
        assert!(said.contains("last-good-stream: ") && said.contains("--last-good-key"), "{said}");
        assert!(get(TARGET).is_err() && !serves());
        assert_eq!(sealed(), bytes, "what the right key would open stays until there is something newer");

        roles.controller = Some(start_controller(roles.inside, roles.config.path(), &[]));
        wait::until("the controller's word", || serves().then_some(()));
        wait::until("the copy under the new key", || (sealed() != bytes).then_some(()));
        roles.stop_controller();
        kill(&mut roles);
        roles.node = start_node(roles.inside, &environment);
        assert!(serves(), "{}", roles.node.output());
    });
}

#[test]
fn a_hot_restart_of_a_node_loses_nothing() {
    with_roles("roles-restart", &[], |mut roles| {
        let steady = SteadyClients::start(HTTP);
        let mut next =
            Guarded::spawn(&mut node_command(roles.inside, &roles.inside.scratch().join("state"))).unwrap();
        wait::until("the take-over", || next.output().contains("took over from sluice").then_some(()));
        wait_until_ready(&mut next);
        steady.wait_for_more(1000);
        wait::until("the end of the one before", || roles.node.try_wait().unwrap());
        steady.wait_for_more(1000);
        assert!(steady.must_be_clean() > 1000);
        roles.node = next;
        let nodes = status(&controller_state(roles.inside))["nodes"].clone();
        assert_eq!(
            (nodes.as_array().unwrap().len(), &nodes[0]["connected"]),
            (1, &Value::Bool(true)),
            "{nodes}"
        );
    });
}

#[test]
fn what_a_node_does_not_know_is_served_closed_and_told() {
    with_roles("roles-skew", &[("SLUICE_FAULT", "lacks:url-rewrite")], |roles| {
        let response = roles.until_status(TARGET, 500);
        assert_eq!(response.header("x-sluice-reason"), Some("unknown_capability"));
        // What is told of a state follows it.
        let closed = |count| {
            wait::until("the count", || (metric("sluice_closed_items", &[]) == count).then_some(()));
        };
        closed(1.0);
        wait::until("the node's word", || {
            let told =
                common::metric_of(&controller_metrics(), "sluice_node_closed_items", &["node=\"edge-1\""]);
            (told == 1.0).then_some(())
        });
        // Without the filter nothing is missing.
        let text = fs::read_to_string(roles.config.join("team1-route.yaml")).unwrap();
        let (head, rest) = text.split_once("      filters:\n").unwrap();
        let (_, tail) = rest.split_once("      backendRefs:").unwrap();
        roles.config.write("team1-route.yaml", &format!("{head}      backendRefs:{tail}")).unwrap();
        wait::until("the rule without the filter", || {
            get(TARGET)
                .ok()
                .filter(|response| response.header("x-sluice-reason") != Some("unknown_capability"))
        });
        closed(0.0);
    });
}

#[test]
fn a_mistake_in_the_roles_is_told() {
    let run = |args: &[&str]| common::text(&Command::new(SLUICE).args(args).output().unwrap());
    assert!(run(&["node"]).contains("--controller"), "{}", run(&["node"]));
    let both = run(&["node", "--controller", "/run/x", "--config-dir", "/etc"]);
    assert!(both.contains("leave one out"), "{both}");
    let chain = run(&["controller", "--controller", "/run/x"]);
    assert!(chain.contains("a controller follows no other"), "{chain}");
}

/// A setting that does nothing would be taken for one that protects.
#[test]
fn settings_of_nodes_of_a_network_are_refused_where_there_are_none() {
    let state = Scratch::new("no-network").unwrap();
    for (flag, value) in [("--node-namespace", "edge"), ("--node-accounts", "edge/sluice-node")] {
        let mut command = Command::new(SLUICE);
        command.arg("controller").arg(common::example()).arg("--state-dir").arg(state.join("state"));
        let output = command.args([flag, value]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("{flag} does nothing without --stream-address")), "{said}");
    }
}

/// Only the controller outlives the node, and only it can have the keys then. Without it there are none: they are on no disk.
#[test]
fn clients_come_back_to_a_node_that_was_killed_by_the_keys_of_its_controller() {
    with_roles("roles-tickets", &[], |mut roles| {
        let certificate = SelfSigned::new(&["one.example"]);
        roles.config.write("secret.yaml", &certificate.secret("ingress", "one")).unwrap();
        roles.config.write("secure.yaml", SECURE).unwrap();
        let client = tls::client(&[&certificate], Versions::New);
        let ask = || {
            let mut fresh = tls::connect(([127, 0, 0, 1], 443).into(), "one.example", &client).ok()?;
            // TLS 1.3 brings the tickets with the first response.
            fresh.get("one.example", "/").ok().filter(|response| response.status == 404)
        };
        let counted = |resumed: f64| {
            wait::until("the handshake to be counted", || {
                (metric("sluice_tls_handshakes_total", &[]) >= 1.0).then_some(())
            });
            assert_eq!(metric("sluice_tls_resumed_total", &[]), resumed);
        };
        let kill = |roles: &mut Roles<'_>| {
            roles.node.signal(Signal::SIGKILL).unwrap();
            roles.node.wait();
            roles.node = start_node(roles.inside, &[("SLUICE_LAST_GOOD", "keys")]);
        };
        wait::until("the listener", ask);
        kill(&mut roles);
        wait::until("the listener", ask);
        counted(1.0);
        wait::until("the copy on disk", || {
            let copy = fs::read(roles.inside.scratch().join("state/last-good-stream")).ok()?;
            copy.windows(11).any(|part| part == b"one.example").then_some(())
        });
        roles.stop_controller();
        kill(&mut roles);
        wait::until("the listener", ask);
        counted(0.0);
    });
}
