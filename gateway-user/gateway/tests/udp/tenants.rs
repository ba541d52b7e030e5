//! Places of flows that namespaces share.

use std::net::{SocketAddr, UdpSocket};

use gateway_testkit::wait;

use crate::common::{Running, metric, with_gateway_flags};
use crate::udp::{self, PORT_PLEASE, ask, client};

/// Three listeners of another namespace, for the servers of the first one's.
const CROWD: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: crowd, namespace: ingress}
spec:
  gatewayClassName: sluice
  listeners:
  - {name: one, protocol: UDP, port: 5301, allowedRoutes: {namespaces: {from: All}}}
  - {name: two, protocol: UDP, port: 5302, allowedRoutes: {namespaces: {from: All}}}
  - {name: three, protocol: UDP, port: 5303, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: crowd, namespace: crowd}
spec:
  parentRefs: [{name: crowd, namespace: ingress}]
  rules: [{backendRefs: [{name: crowd, port: 53}]}]
---
apiVersion: v1
kind: Service
metadata: {name: crowd, namespace: crowd}
spec: {ports: [{name: dns, port: 53, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: crowd-1, namespace: crowd, labels: {kubernetes.io/service-name: crowd}}
addressType: IPv4
ports: [{name: dns, port: 15353, protocol: UDP}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]
";

/// Places for flows in all.
const PLACES: usize = 40;

/// A flow with a client that is there, and the port that its backend sees.
fn begin(to: SocketAddr) -> (UdpSocket, Vec<u8>) {
    let client = client(to);
    let port = ask(&client, PORT_PLEASE).expect("a flow");
    assert_eq!(ask(&client, PORT_PLEASE).unwrap(), port);
    (client, port)
}

fn a_crowd_is_not_felt(label: &str, flags: &'static [&'static str]) {
    let limits = ["--workers", "1", "--max-udp-flows", "40", "--max-udp-flows-per-client", "1000"];
    let flags: &[&str] = Box::leak([flags, &limits].concat().into_boxed_slice());
    with_gateway_flags(label, flags, move |_, running: &mut Running| {
        udp::start_servers();
        running.config.write("udp.yaml", &udp::resources("team2")).unwrap();
        running.config.write("crowd.yaml", CROWD).unwrap();
        let small: SocketAddr = ([127, 0, 0, 1], 53).into();
        let crowd = [5301, 5302, 5303].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        for to in [small, crowd[0], crowd[1], crowd[2]] {
            wait::until(&format!("{to}; the gateway says:\n{}", running.log()), || {
                ask(&client(to), b"x").ok()
            });
        }
        let few: Vec<_> = (0..5).map(|_| begin(small)).collect();
        // Some are answered and say more, as those do who are there.
        let many: Vec<_> = (0..300).map(|number| client(crowd[number % 3])).collect();
        for _ in 0..3 {
            for one in &many {
                one.send(b"x").unwrap();
            }
        }
        wait::until("a full table", || (metric("sluice_udp_flows", &[]) >= PLACES as f64).then_some(()));
        let stay = |all: &[(UdpSocket, Vec<u8>)]| {
            all.iter().all(|(client, port)| ask(client, PORT_PLEASE).is_ok_and(|now| now == *port))
        };
        assert!(stay(&few), "flows of the namespace that has few");
        // It may have half of all places, though the other one has three listeners.
        let more: Vec<_> = (few.len()..PLACES / 2).map(|_| begin(small)).collect();
        for one in &many {
            one.send(b"x").unwrap();
        }
        assert!(stay(&few) && stay(&more));
        assert!(metric("sluice_udp_flows", &[]) <= PLACES as f64);
    });
}

#[test]
fn a_crowd_is_not_felt_over_io_uring() {
    a_crowd_is_not_felt("udp-crowd-u", &["--steering", "ebpf", "--io", "uring", "--ring-entries", "256"]);
}

#[test]
fn a_crowd_is_not_felt_over_epoll() {
    a_crowd_is_not_felt("udp-crowd-e", &["--steering", "reuseport", "--io", "epoll"]);
}
