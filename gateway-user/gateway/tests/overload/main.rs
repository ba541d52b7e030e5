//! Behaviour beyond the limits: every limit has a defined response and a counter, and neighbours are served.
#![allow(clippy::print_stderr, clippy::print_stdout)] // figures for who reads a test's output; a copy tells its parent

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/ends.rs"]
mod ends;
#[path = "../common/memory.rs"]
mod memory;
#[path = "../common/role.rs"]
mod role;
#[path = "../common/tcp.rs"]
mod tcp;

mod backends;
mod bodies;
mod buffers;
mod capacity;
mod clients;
mod connections;
mod descriptors;
mod idle;
mod logs;
mod shares;
mod slow;
mod tunnels;

use std::thread;
use std::time::{Duration, Instant};

use common::{HTTP, Running, get, metric};
use gateway_testkit::http::Client;
use gateway_testkit::wait;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A second backend, for those that misbehave.
const ODD: &str = "127.0.0.1:8001";
/// Its route: `/odd` on the shared gateway.
const ODD_ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: odd, namespace: team2}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /odd}}]
      backendRefs: [{name: odd, port: 8001}]
---
apiVersion: v1
kind: Service
metadata: {name: odd, namespace: team2}
spec: {ports: [{port: 8001, targetPort: 8001}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: odd-1, namespace: team2, labels: {kubernetes.io/service-name: odd}}
addressType: IPv4
ports: [{port: 8001, protocol: TCP}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]
";

fn client() -> Client {
    Client::connect(HTTP.parse().unwrap()).unwrap()
}

/// Fifty requests of a neighbour, each served; returns their waiting times.
#[track_caller]
fn neighbours_are_served(beside: &str) {
    let mut kept = client();
    let mut waits: Vec<Duration> = (0..50)
        .map(|n| {
            let begun = Instant::now();
            let response = if n % 2 == 0 { kept.get("a", "/httpbin/get") } else { get("/httpbin/get") };
            assert_eq!(response.unwrap().status, 200, "a neighbour beside {beside}");
            begun.elapsed()
        })
        .collect();
    waits.sort();
    eprintln!("beside {beside}: a neighbour waits {:?} at the median and {:?} at most", waits[25], waits[49]);
}

fn active() -> f64 {
    metric("http_server_active_requests", &[])
}

/// Puts the second backend's route live.
#[track_caller]
fn route_the_odd(running: &Running) {
    let before = metric("sluice_config_generation", &[]);
    running.config.write("odd.yaml", ODD_ROUTE).unwrap();
    wait::until("the route", || metric("sluice_config_generation", &[]).gt(&before).then_some(()));
}

/// As many open files as this process may have: for crowds in processes of their own.
fn raise_the_limit_of_open_files() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

/// Requests of a crowd that are under way at once.
const TOGETHER: usize = 100;

/// In a copy: connections that send `request` each; `reads` says whether they read their responses too.
/// Does so again whenever the file `again`, if one is named, is there (and takes it away). Holds them until
/// it is killed, or for some minutes.
fn hold_crowd(words: &[String]) {
    let [count, request, reads, again @ ..] = words else { panic!("{words:?}") };
    raise_the_limit_of_open_files();
    // Some at a time: as many as the backend's queue of connections holds.
    let ask = |some: &mut [Client]| {
        some.iter_mut().for_each(|client| client.send(request).unwrap());
        if reads == "yes" {
            some.iter_mut().for_each(|client| assert!(client.response().unwrap().status < 300));
        }
    };
    let count: usize = count.parse().unwrap();
    let mut crowd: Vec<Client> = Vec::new();
    while crowd.len() < count {
        let begun = crowd.len();
        crowd.extend((begun..count.min(begun + TOGETHER)).map(|_| client()));
        ask(&mut crowd[begun..]);
    }
    println!("all there");
    let mut wave = 1;
    for _ in 0..1000 {
        if again.first().is_some_and(|again| std::fs::remove_file(again).is_ok()) {
            crowd.chunks_mut(TOGETHER).for_each(ask);
            wave += 1;
            println!("wave {wave}");
        }
        thread::sleep(Duration::from_millis(200));
    }
}
