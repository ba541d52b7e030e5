//! Properties of any resources: order does not matter, the input stays as it was, and tenants do not touch
//! one another.

mod common;

use common::world::{distinct, object, run, set};
use gateway_api_types::{Kind, L4RouteRule, Object};
use gateway_ir::{Endpoints, Ir};
use proptest::prelude::*;

/// The part of the result that serves one tenant: its routes, where they are attached, and its endpoints.
fn served(ir: &Ir, endpoints: &Endpoints, tenant: &str) -> String {
    let routes: Vec<_> = ir.routes.values().filter(|route| *route.id().object.namespace == *tenant).collect();
    let places: Vec<_> = ir
        .binds
        .iter()
        .flat_map(|bind| bind.listeners.iter().map(move |listener| (bind.address, bind.port, listener)))
        .flat_map(|(address, port, listener)| {
            let own = listener.routes.iter().filter(|(route, _)| *route.object.namespace == *tenant);
            own.map(move |route| (address, port, &listener.id, route))
        })
        .collect();
    let own = endpoints.clusters.iter().filter(|(cluster, _)| *cluster.service.namespace == *tenant);
    // Only clusters that the tenant's own routes use: a Service may be used by others as well.
    let used = format!("{routes:?}");
    let own: Vec<_> = own.filter(|(cluster, _)| used.contains(&format!("{cluster:?}"))).collect();
    format!("{routes:#?}\n{places:#?}\n{own:#?}")
}

/// The namespaces of the Services that a route of any kind names.
fn backends(object: &Object) -> impl Iterator<Item = Option<&str>> {
    let l4: &[L4RouteRule] = match object {
        Object::TcpRoute(route) => &route.spec.rules,
        Object::TlsRoute(route) => &route.spec.rules,
        Object::UdpRoute(route) => &route.spec.rules,
        _ => &[],
    };
    let http = match object {
        Object::HttpRoute(route) => route.spec.rules.as_slice(),
        _ => &[],
    };
    let grpc = match object {
        Object::GrpcRoute(route) => route.spec.rules.as_slice(),
        _ => &[],
    };
    let l4 = l4.iter().flat_map(|rule| &rule.backend_refs).map(|one| &one.backend);
    let http = http.iter().flat_map(|rule| &rule.backend_refs).map(|one| &one.backend);
    let grpc = grpc.iter().flat_map(|rule| &rule.backend_refs).map(|one| &one.backend);
    l4.chain(http).chain(grpc).map(|backend| backend.namespace.as_deref())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_does_not_matter(
        objects in prop::collection::vec(object(), 0..24).prop_map(distinct),
        seed in any::<u64>(),
    ) {
        let mut shuffled = objects.clone();
        // A permutation that the seed picks: any order of insertion.
        for index in (1..shuffled.len()).rev() {
            let other = (seed.rotate_left(index as u32 * 7) % (index as u64 + 1)) as usize;
            shuffled.swap(index, other);
        }
        prop_assert_eq!(run(&set(&objects)), run(&set(&shuffled)));
    }

    #[test]
    fn the_input_stays_and_the_answer_is_the_same_twice(
        objects in prop::collection::vec(object(), 0..24).prop_map(distinct),
    ) {
        let resources = set(&objects);
        let before = resources.clone();
        let first = run(&resources);
        prop_assert_eq!(&resources, &before);
        prop_assert_eq!(first, run(&resources));
    }

    #[test]
    fn a_tenant_that_refers_to_nobody_else_is_not_touched_by_others(
        objects in prop::collection::vec(object(), 0..30).prop_map(distinct),
    ) {
        // Everything of tenants b and c goes: routes, Services, grants, labels.
        let without: Vec<_> = objects
            .iter()
            .filter(|object| {
                let metadata = object.metadata();
                let place = metadata.namespace.as_ref().or(metadata.name.as_ref()).map(String::as_str);
                !matches!(place, Some("b" | "c"))
            })
            .cloned()
            .collect();
        // A route of the tenant that names a Service of another one is none of this, and sets of one Gateway have hosts and ports by
        // age (`sets.rs`).
        let own_only = |object: &Object| match object.metadata().namespace.as_deref() {
            Some("a") => backends(object).all(|namespace| namespace == Some("a")),
            _ => object.kind() != Kind::ListenerSet,
        };
        let keep = |objects: &[Object]| objects.iter().filter(|o| own_only(o)).cloned().collect::<Vec<_>>();
        let (all, some) = (run(&set(&keep(&objects))), run(&set(&keep(&without))));
        prop_assert_eq!(served(&all.ir, &all.endpoints, "a"), served(&some.ir, &some.endpoints, "a"));
    }

    #[test]
    fn what_is_served_holds_together(objects in prop::collection::vec(object(), 0..30).prop_map(distinct)) {
        let translation = run(&set(&objects));
        let ir = &translation.ir;
        let mut places: Vec<_> = ir.binds.iter().map(|bind| (bind.port, bind.address, bind.transport())).collect();
        prop_assert!(places.is_sorted());
        places.dedup();
        prop_assert_eq!(places.len(), ir.binds.len(), "a bind twice");
        for bind in &ir.binds {
            prop_assert!(!bind.listeners.is_empty(), "a bind of nobody");
            let mut hosts: Vec<_> = bind.listeners.iter().map(|listener| &listener.hostname).collect();
            hosts.dedup();
            prop_assert_eq!(hosts.len(), bind.listeners.len(), "a hostname twice on a bind");
            for (route, hostnames) in bind.listeners.iter().flat_map(|listener| &listener.routes) {
                prop_assert!(ir.routes.contains_key(route));
                prop_assert!(!hostnames.is_empty());
            }
        }
        for (id, route) in &ir.routes {
            let mut listeners = ir.binds.iter().flat_map(|bind| &bind.listeners);
            prop_assert!(listeners.any(|one| one.routes.contains_key(id)), "{} is attached nowhere", id);
            for cluster in route.clusters() {
                prop_assert!(translation.endpoints.clusters.contains_key(cluster), "{} is unknown", cluster);
            }
        }
    }
}
