//! References of routes: Services, their endpoints, grants.

use gateway_translate::Rebuilt;
use serde_json::{Value, json};

use crate::pipeline::Pipeline;
use crate::world::{base, hosts, long, route, service, slice};
use crate::{KIB, MIB};

fn rule(number: usize, backends: Vec<Value>) -> Value {
    json!({"matches": [{"path": {"value": format!("/{number}")}}], "backendRefs": backends})
}

/// 256 backendRefs that lead nowhere beside 500 Services of like names: half a minute, and again for every
/// Service that anybody added.
#[test]
fn missing_services_do_not_look_for_names_without_end_and_not_again_for_a_neighbours_service() {
    let mut objects = base(1);
    objects.extend((0..500).map(|n| service("loud", &long(n, 63), &[80])));
    let missing = |n: usize| json!({"name": format!("{n:03}{}", "y".repeat(60)), "port": 80});
    let rules: Vec<_> = (0..16).map(|r| rule(r, (0..16).map(|n| missing(r * 16 + n)).collect())).collect();
    objects.push(route(0, &hosts(1), &rules));
    let (mut pipeline, cost) = Pipeline::new(objects);
    assert!(cost.asked() < 12 * MIB, "{cost:?}");
    let added = pipeline.put(vec![service("small", "other", &[80])]);
    assert_eq!(added.rebuilt, Rebuilt::default(), "the neighbour's Service is none of its business");
    let own = pipeline.put(vec![service("loud", "other", &[80])]);
    let routes = Rebuilt { routes: 1, ..Rebuilt::default() };
    assert_eq!(Rebuilt { hosts: 0, host_routes: 0, ..own.rebuilt }, routes, "its own may be what was meant");
    pipeline.assert_edit_costs(512 * KIB);
}

/// 10,000 endpoints on 32 ports: lists of them were copied for every edit of anybody.
#[test]
fn endpoints_are_not_copied_for_another_ones_edit() {
    let mut objects = base(1);
    let ports: Vec<u16> = (80..112).collect();
    objects.push(service("loud", "web", &ports));
    let named: Vec<_> = ports.iter().map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    for n in 0..100 {
        let mut one = slice("loud", "web", n, 100);
        one["ports"] = json!(named);
        objects.push(one);
    }
    let backends = |ports: &[u16]| ports.iter().map(|port| json!({"name": "web", "port": port})).collect();
    let rules: Vec<_> = ports.chunks(16).enumerate().map(|(n, ports)| rule(n, backends(ports))).collect();
    objects.push(route(0, &hosts(1), &rules));
    let (mut pipeline, cost) = Pipeline::new(objects);
    let all = pipeline.translation.endpoints.clusters.values().map(|list| list.len()).sum::<usize>();
    assert_eq!(all, 32 * 10_000 + 1);
    assert!(cost.kept() < 16 * MIB, "an address has 32 bytes: {cost:?}");
    pipeline.assert_edit_costs(256 * KIB);
}

/// Grants that do not help, for each of 1,024 references into their namespace.
#[test]
fn grants_are_found_by_what_they_say() {
    let mut objects = base(1);
    let group = "gateway.networking.k8s.io";
    for n in 0..2_000 {
        let from = |f: usize| {
            let namespace = if f == 15 { "loud".to_owned() } else { format!("n{f}") };
            json!({"group": group, "kind": "HTTPRoute", "namespace": namespace})
        };
        let to = |t: usize| json!({"group": "", "kind": "Service", "name": format!("no-{n}-{t}")});
        let spec =
            json!({"from": (0..16).map(from).collect::<Vec<_>>(), "to": (0..16).map(to).collect::<Vec<_>>()});
        let metadata = json!({"name": format!("g{n}"), "namespace": "other"});
        objects.push(json!({"kind": "ReferenceGrant", "metadata": metadata, "spec": spec}));
    }
    let refused = |n: usize| json!({"name": format!("s{n}"), "namespace": "other", "port": 80});
    for r in 0..4 {
        let rules: Vec<_> = (0..16).map(|r| rule(r, (0..16).map(refused).collect())).collect();
        objects.push(route(r, &hosts(1), &rules));
    }
    let (mut pipeline, cost) = Pipeline::new(objects);
    assert!(cost.asked() < 32 * MIB, "{cost:?}");
    pipeline.assert_edit_costs(MIB);
}
