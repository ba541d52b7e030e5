//! Any resources and request: each route that could have taken the request has a reason, each remedy takes its reason away, and
//! remedies one after the other end with the route taking the request, or with a reason that has none.
#![allow(missing_docs)]

#[allow(dead_code, reason = "the world has more than is asked for here")]
#[path = "../../translate/tests/common/world.rs"]
mod world;

use std::cell::RefCell;
use std::net::SocketAddr;

use gateway_api_types::ResourceSet;
use gateway_explain::{Lookup, Loser, LossReason, Remedy};
use gateway_ir::RouteId;
use gateway_regex::Library;
use gateway_snapshot::rewrite::Scheme;
use gateway_snapshot::{FieldList, Generation, RequestView, compile_from, explain};
use gateway_translate::{RegexLimits, TranslateOptions, translate};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use world::{distinct, gateway, grant, grpc_route, listener_set, namespace, object, route, service, set};

/// Most remedies that one route needs: a parent, a label, a listener, each for every parent.
const REMEDIES_MAX: usize = 12;

/// A request of the world.
#[derive(Clone, Debug)]
struct Wanted {
    method: &'static str,
    host: &'static str,
    path: &'static str,
    port: u16,
}

/// The route that took a request, the others that could have, and the grants that are missing.
struct Judged {
    winner: Option<RouteId>,
    has_listener: bool,
    losers: Vec<Loser>,
    grants: Vec<Remedy>,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let method = prop_oneof![3 => Just("GET"), 1 => Just("POST")];
    let host = prop_oneof![
        3 => Just("x.example.com"), 1 => Just("y.example.com"), 1 => Just("z.example.com"), 1 => Just("10.0.0.1")
    ];
    let path = prop_oneof![1 => Just("/"), 3 => Just("/x"), 1 => Just("/x/y"), 1 => Just("/x12")];
    let port = prop_oneof![3 => Just(80), 1 => Just(81)];
    (method, host, path, port).prop_map(|(method, host, path, port)| Wanted { method, host, path, port })
}

fn judge(library: &Library, resources: &ResourceSet, wanted: &Wanted) -> Judged {
    let options = TranslateOptions::default();
    let translation = translate(resources, &options);
    let snapshot = compile_from(library, &translation.ir, Generation(1), None);
    let request = RequestView {
        method: wanted.method.as_bytes(),
        host: wanted.host.as_bytes(),
        path: wanted.path.as_bytes(),
        query: None,
        fields: &FieldList::<String, String>(&[]),
    };
    let local = SocketAddr::from(([127, 0, 0, 1], wanted.port));
    let explanation = explain(&snapshot, local, Scheme::Http, &request);
    let lookup = Lookup {
        resources,
        options: &options,
        translation: &translation,
        library,
        request: &request,
        local,
        explanation: &explanation,
    };
    Judged {
        winner: explanation.hit.as_ref().map(|hit| hit.rule.route.id.clone()),
        has_listener: explanation.listener.is_some(),
        losers: lookup.losers().unwrap(),
        grants: lookup.missing_grants().unwrap(),
    }
}

/// Ends of routes, and the remedies that were applied: random worlds must not leave a way out.
#[derive(Debug, Default)]
struct Counts {
    remedies: u32,
    took: u32,
    lost: u32,
    no_remedy: u32,
}

/// Applies the first remedy of a route again and again, and panics unless it ends as it should.
fn mend(
    library: &Library,
    resources: &ResourceSet,
    wanted: &Wanted,
    route: &RouteId,
    counts: &RefCell<Counts>,
) -> Result<(), TestCaseError> {
    let mut resources = resources.clone();
    for _ in 0..REMEDIES_MAX {
        let judged = judge(library, &resources, wanted);
        if judged.winner.as_ref() == Some(route) {
            counts.borrow_mut().took += 1;
            return Ok(());
        }
        let loser = judged.losers.iter().find(|one| one.route == *route);
        let Some(loser) = loser else {
            return Err(TestCaseError::fail(format!("{route} wants the request no more")));
        };
        prop_assert!(!loser.losses.is_empty(), "{} has no reason", route);
        // Where it is in the race another parent changes nothing.
        let is_last = loser.losses.iter().any(|one| matches!(one.reason, LossReason::GoesFirst(_)));
        let Some(loss) = loser.losses.iter().find(|one| one.remedy.is_some()).filter(|_| !is_last) else {
            let names_winner = |message: &str| {
                judged.winner.as_ref().is_some_and(|winner| message.contains(&winner.to_string()))
            };
            for last in loser.losses.iter().filter(|one| matches!(one.reason, LossReason::GoesFirst(_))) {
                prop_assert!(names_winner(&last.message), "{:?} names no winner", last);
            }
            let counts = &mut counts.borrow_mut();
            counts.lost += u32::from(is_last);
            counts.no_remedy += u32::from(!is_last);
            return Ok(());
        };
        let Some(remedy) = &loss.remedy else { return Ok(()) };
        counts.borrow_mut().remedies += 1;
        resources = remedy.apply(&resources);
        let after = judge(library, &resources, wanted);
        let remains = after.losers.iter().filter(|one| one.route == *route).flat_map(|one| &one.losses);
        prop_assert!(
            remains.clone().all(|other| other != loss),
            "{:?} is there after {:?}",
            loss,
            remedy.text
        );
    }
    Err(TestCaseError::fail(format!("{route} is not mended by {REMEDIES_MAX} remedies")))
}

fn cases<T: Strategy>(strategy: &T, test: impl Fn(T::Value) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    // The same worlds each time, so that what they have is no matter of luck.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, random).run(strategy, test).unwrap();
}

/// A Gateway that takes every host, and lets the namespaces with a label in; a second one of any kind for the address of
/// requests; routes that meet there, and some of all else.
fn worlds() -> impl Strategy<Value = (ResourceSet, Wanted)> {
    let first = json!({
        "kind": "Gateway",
        "metadata": {"name": "one", "namespace": "gateways"},
        "spec": {"gatewayClassName": "sluice", "allowedListeners": {"namespaces": {"from": "All"}}, "listeners": [{
            "name": "l0", "port": 80, "protocol": "HTTP",
            "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "yes"}}}},
        }]},
    });
    let open = gateway().prop_map(|mut gateway| {
        gateway["spec"]["addresses"] = json!([]);
        gateway
    });
    let many = (
        (prop::collection::vec(open, 0..2), prop::collection::vec(listener_set(), 0..3)),
        prop::collection::vec((prop_oneof![3 => route(), 1 => grpc_route()], 0..3_usize), 2..9),
        prop::collection::vec(namespace(), 0..4),
        prop::collection::vec(service(), 0..4),
        prop::collection::vec(grant(), 0..2),
        prop::collection::vec(object(), 0..4),
    );
    let tenants = ["a", "b"]
        .map(|name| json!({"kind": "Namespace", "metadata": {"name": name, "labels": {"team": "yes"}}}));
    let objects = many.prop_map(move |((gateways, sets), routes, namespaces, services, grants, others)| {
        let routes = routes.into_iter().map(|(mut route, meets)| {
            if meets > 0 {
                route["spec"]["parentRefs"] = json!([{"name": "one", "namespace": "gateways"}]);
            }
            if meets > 1 {
                route["spec"]["hostnames"] = json!([]);
                route["spec"]["rules"][0]["matches"] = json!([{}]);
            }
            route
        });
        let fixed = [vec![first.clone()], if grants.is_empty() { tenants.to_vec() } else { Vec::new() }];
        let all = [fixed.concat(), gateways, sets, routes.collect(), namespaces, services, grants, others];
        set(&distinct(all.concat()))
    });
    (objects, wanted())
}

#[test]
fn remedies_take_their_reasons_away() {
    let library = Library::new(RegexLimits::default().expression);
    let counts = RefCell::new(Counts::default());
    cases(&worlds(), |(resources, wanted)| {
        let judged = judge(&library, &resources, &wanted);
        for loser in &judged.losers {
            prop_assert!(Some(&loser.route) != judged.winner.as_ref());
            let remedies = loser.losses.iter().filter(|one| one.remedy.is_some());
            // A parent is worth naming only where somebody takes the request's host.
            for loss in remedies.filter(|_| !judged.has_listener) {
                prop_assert_eq!(loss.reason, LossReason::NotAllowed);
            }
            mend(&library, &resources, &wanted, &loser.route, &counts)?;
        }
        Ok(())
    });
    let Counts { remedies, took, lost, no_remedy } = counts.into_inner();
    assert!(remedies > 20 && took > 5 && lost > 2 && no_remedy > 5, "{remedies} {took} {lost} {no_remedy}");
}

#[test]
fn grants_that_are_printed_help() {
    let library = Library::new(RegexLimits::default().expression);
    let counts = RefCell::new(0);
    cases(&worlds(), |(mut resources, wanted)| {
        for _ in 0..8 {
            let judged = judge(&library, &resources, &wanted);
            let Some(grant) = judged.grants.first() else { return Ok(()) };
            *counts.borrow_mut() += 1;
            resources = grant.apply(&resources);
            let after = judge(&library, &resources, &wanted);
            prop_assert_eq!(&after.winner, &judged.winner);
            prop_assert!(after.grants.len() < judged.grants.len());
        }
        Ok(())
    });
    assert!(counts.into_inner() > 5);
}
