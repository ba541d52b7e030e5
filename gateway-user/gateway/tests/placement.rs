//! Gateways that are served on some nodes alone: two nodes with labels of their own, each in a network of its own.

mod common;

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::place::Place;
use common::roles::{TARGET, controller_state, socket, start_controller, status};
use common::steady::SteadyClients;
use common::{HTTP, SLUICE, get, pair, start_backend, start_gateway, wait_until_ready};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::tls::{self, SelfSigned, Versions};
use gateway_testkit::{http, netns, wait};
use serde_json::Value;

const EDGE_HTTP: &str = "127.0.0.1:8080";
const EDGE_HTTPS: &str = "127.0.0.1:8443";
const NAME: &str = "one.example";

/// A Gateway for the nodes of one tier, with a route.
const EDGE: &str = "
apiVersion: sluice.dev/v1alpha1
kind: GatewayConfig
metadata: {name: edge, namespace: ingress}
spec: {nodes: {matchLabels: {tier: edge}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: ingress}
spec:
  gatewayClassName: sluice
  infrastructure: {parametersRef: {group: sluice.dev, kind: GatewayConfig, name: edge}}
  listeners:
  - {name: http, protocol: HTTP, port: 8080, allowedRoutes: {namespaces: {from: All}}}
  - {name: https, protocol: HTTPS, port: 8443, allowedRoutes: {namespaces: {from: All}}, tls: {certificateRefs: [{name: one}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: edge, namespace: team1}
spec:
  parentRefs: [{name: edge, namespace: ingress}]
  rules: [{backendRefs: [{name: httpbin, namespace: team2, port: 8000}]}]
";

/// The nodes' labels.
fn nodes(a: &str, b: &str) -> String {
    let node = |name: &str, tier: &str| {
        format!("---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{tier: {tier}}}}}\n")
    };
    node("a", a) + &node("b", b)
}

/// The example with that Gateway.
fn config(certificate: &SelfSigned, a: &str, b: &str) -> Scratch {
    let config = Scratch::new("config").unwrap();
    config.copy_from(&common::example()).unwrap();
    config.write("edge.yaml", EDGE).unwrap();
    config.write("secret.yaml", &certificate.secret("ingress", "one")).unwrap();
    config.write("nodes.yaml", &nodes(a, b)).unwrap();
    config
}

/// A node in a network of its own, with a backend.
struct Node {
    name: &'static str,
    pid: u32,
    state: PathBuf,
    _processes: (Guarded, Guarded),
    place: Place,
}

impl Node {
    fn start(name: &'static str, controller: PathBuf) -> Self {
        let place = Place::new(&format!("node-{name}"));
        let (node, backend, state) = place.run(move |inside| {
            let backend = start_backend();
            let state = inside.scratch().join("state");
            let mut command = Command::new(SLUICE);
            command.arg("node").arg("--controller").arg(controller).arg("--bpffs").arg(inside.bpffs());
            command.arg("--state-dir").arg(&state).args(["--node-name", name, "--ring-entries", "256"]);
            command.args(pair::flags(&[]));
            let mut node = Guarded::spawn(&mut command).unwrap();
            wait_until_ready(&mut node);
            (node, backend, state)
        });
        Self { name, pid: node.pid(), state, _processes: (node, backend), place }
    }

    fn get(&self, address: &'static str) -> Option<u16> {
        self.place.run(move |_| {
            let response = http::get(address.parse().unwrap(), "127.0.0.1", "/get");
            response.ok().map(|response| response.status)
        })
    }

    fn handshakes(&self, certificate: &SelfSigned) -> bool {
        let client = tls::client(&[certificate], Versions::New);
        let to: SocketAddr = EDGE_HTTPS.parse().unwrap();
        self.place.run(move |_| tls::connect(to, NAME, &client).is_ok())
    }

    /// True if nothing listens on the Gateway's ports.
    fn refuses(&self) -> bool {
        self.place.run(|_| {
            [EDGE_HTTP, EDGE_HTTPS].iter().all(|port| {
                TcpStream::connect(port)
                    .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
            })
        })
    }

    fn serves(&self, certificate: &SelfSigned) -> bool {
        self.get(EDGE_HTTP) == Some(200) && self.handshakes(certificate)
    }

    #[track_caller]
    fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        wait::until(&format!("node {} {what}", self.name), || holds(self).then_some(()));
    }

    /// Ports that it steers, by its own word.
    fn ports(&self) -> Vec<Value> {
        let listeners = status(&self.state)["listeners"].as_array().unwrap().clone();
        listeners.iter().map(|one| one["port"].clone()).collect()
    }
}

/// True if a part of what the process has in memory is `part`.
fn remembers(pid: u32, part: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let written =
        maps.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|mode| mode.starts_with("rw")));
    let mut ranges = written.filter_map(|line| {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
    });
    ranges.any(|(from, to)| {
        let mut bytes = Vec::new();
        memory.seek(SeekFrom::Start(from)).unwrap();
        // Parts of a device cannot be read this way.
        let _ = memory.by_ref().take(to - from).read_to_end(&mut bytes);
        bytes.windows(part.len()).any(|one| one == part)
    })
}

fn holds(path: &Path, part: &[u8]) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(part.len()).any(|one| one == part))
}

#[test]
fn a_gateway_is_on_the_nodes_that_it_selects_and_on_no_other() {
    netns::run("placement", |inside| {
        let certificate = SelfSigned::new(&[NAME]);
        let config = config(&certificate, "edge", "inner");
        let _controller = start_controller(inside, config.path(), &[]);
        let (a, b) = (Node::start("a", socket(inside)), Node::start("b", socket(inside)));
        a.until("serves it", |a| a.serves(&certificate));
        let both = || [&a, &b].map(|node| node.place.run(|_| get(TARGET).unwrap().status));
        assert_eq!(both(), [200, 200]);
        assert!(b.refuses());
        assert_eq!((a.ports().len(), b.ports()), (3, vec![80.into()]));
        // The key is where it is used, and neither it nor the certificate's name anywhere on the other node.
        let key = certificate.key_der();
        assert!(remembers(a.pid, &key), "else looking for it says nothing");
        assert!(!remembers(b.pid, &key) && !remembers(b.pid, NAME.as_bytes()));
        for (node, has) in [(&a, true), (&b, false)] {
            let copy = node.state.join("last-good-stream");
            node.until("has a copy", |_| {
                holds(&copy, b"shared-gateway") && (!has || holds(&copy, NAME.as_bytes()))
            });
            assert!(has || !holds(&copy, NAME.as_bytes()), "on the disk of {}", node.name);
        }

        // The labels change: the Gateway moves, and the one that both serve has no part in it.
        let steady = [&a, &b].map(|node| node.place.run(|_| SteadyClients::start(HTTP)));
        config.write("nodes.yaml", &nodes("inner", "edge")).unwrap();
        b.until("serves it", |b| b.serves(&certificate));
        a.until("serves it no more", Node::refuses);
        // A selector for every node.
        config.write("edge.yaml", &EDGE.replace("{tier: edge}", "{}")).unwrap();
        a.until("serves it again", |a| a.serves(&certificate));
        assert!(b.serves(&certificate));
        config.write("edge.yaml", &EDGE.replace("tier: edge", "tier: none")).unwrap();
        a.until("serves it no more", Node::refuses);
        b.until("serves it no more", Node::refuses);
        for steady in steady {
            steady.wait_for_more(200);
            steady.must_be_clean();
        }
        let controller = status(&controller_state(inside));
        let told = controller.to_string();
        assert!(
            told.contains("served nowhere: no Node has the labels") && told.contains("(tier=none)"),
            "{told}"
        );
    });
}

#[test]
fn one_process_serves_the_gateways_of_its_node() {
    netns::run("placement-run", |inside| {
        let certificate = SelfSigned::new(&[NAME]);
        let config = config(&certificate, "edge", "inner");
        let _backend = start_backend();
        let gateway = start_gateway(inside, config.path(), &["--node-name", "b"]);
        assert_eq!(get(TARGET).unwrap().status, 200);
        assert!(TcpStream::connect(EDGE_HTTP).is_err());
        let state = inside.scratch().join("state");
        let told = status(&state).to_string();
        assert!(told.contains("node \\\"b\\\", which alone serves, does not have the labels"), "{told}");
        config.write("nodes.yaml", &nodes("inner", "edge")).unwrap();
        wait::until("the Gateway", || {
            let response = http::get(EDGE_HTTP.parse().unwrap(), "127.0.0.1", "/get").ok()?;
            (response.status == 200).then_some(())
        });
        // A GatewayConfig with a mistake leaves the one before in force.
        config.write("edge.yaml", &EDGE.replace("matchLabels", "matchLabel")).unwrap();
        wait::until("the mistake", || {
            gateway.output().contains("spec.nodes.matchLabel: unknown field").then_some(())
        });
        assert_eq!(http::get(EDGE_HTTP.parse().unwrap(), "127.0.0.1", "/get").unwrap().status, 200);
    });
}
