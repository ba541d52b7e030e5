//! ListenerSets merged with their Gateways: against a model of precedence, and the work that thousands of listeners cost.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::world::{class, set, typed};
use gateway_api_types::{Condition, Kind, Object, ObjectKey, ResourceSet};
use gateway_ir::{BindAddress, ObjectName, Transport};
use gateway_translate::{
    NodeReport, RejectedBind, RejectionReason, TranslateOptions, Translation, Translator, digests,
    set_digests, translate,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const HOSTS: [&str; 4] = ["a.example.com", "b.example.com", "c.example.com", "d.example.com"];

/// An object with listeners for hosts of one port: a Gateway, or a set of one.
#[derive(Clone, Debug)]
struct Holder {
    name: usize,
    /// The number of the Gateway that a set names.
    gateway: Option<usize>,
    /// Day of its creation.
    created: u8,
    hosts: BTreeSet<usize>,
}

impl Holder {
    fn value(&self) -> Value {
        let listeners = self.hosts.iter().map(|host| {
            json!({"name": format!("l{host}"), "port": 80, "protocol": "HTTP", "hostname": HOSTS[*host]})
        });
        let listeners: Vec<_> = listeners.collect();
        let metadata = |prefix: &str| {
            let created = format!("2026-01-{:02}T00:00:00Z", self.created);
            json!({"name": format!("{prefix}{}", self.name), "namespace": "x", "creationTimestamp": created})
        };
        match self.gateway {
            None => json!({"kind": "Gateway", "metadata": metadata("g"), "spec": {
                "gatewayClassName": "sluice", "allowedListeners": {"namespaces": {"from": "All"}}, "listeners": listeners}}),
            Some(gateway) => json!({"kind": "ListenerSet", "metadata": metadata("s"), "spec": {
                "parentRef": {"name": format!("g{gateway}")}, "listeners": listeners}}),
        }
    }

    fn text(&self) -> String {
        match self.gateway {
            None => format!("g{}", self.name),
            Some(gateway) => format!("g{gateway}/x/s{}", self.name),
        }
    }
}

/// The holder of each host, as the specification's order and the ages say it.
fn model(holders: &[Holder]) -> BTreeMap<&'static str, String> {
    let gateways: BTreeMap<usize, u8> =
        holders.iter().filter(|one| one.gateway.is_none()).map(|one| (one.name, one.created)).collect();
    let mut order: Vec<_> = holders
        .iter()
        .filter_map(|one| {
            let own = one.created;
            let since = match one.gateway {
                Some(gateway) => own.max(*gateways.get(&gateway)?),
                None => own,
            };
            Some(((since, one.gateway.is_some(), own, one.name), one))
        })
        .collect();
    order.sort_by_key(|(key, _)| *key);
    let mut won = BTreeMap::new();
    for (_, holder) in order {
        for host in &holder.hosts {
            won.entry(HOSTS[*host]).or_insert_with(|| holder.text());
        }
    }
    won
}

fn served(translation: &Translation) -> BTreeMap<String, String> {
    let listeners = translation.ir.binds.iter().flat_map(|bind| &bind.listeners);
    let text = |id: &gateway_ir::ListenerId| match &id.set {
        Some(set) => format!("{}/{set}", id.gateway.name),
        None => id.gateway.name.to_string(),
    };
    listeners.map(|one| (one.hostname.as_ref().unwrap().to_string(), text(&one.id))).collect()
}

fn world(holders: &[Holder]) -> ResourceSet {
    let objects = holders.iter().map(|holder| typed(holder.value()));
    set(&[class()].into_iter().chain(objects).collect::<Vec<_>>())
}

fn condition<'a>(conditions: &'a [Condition], type_: &str) -> &'a Condition {
    conditions.iter().find(|one| one.type_ == type_).unwrap()
}

fn holders() -> impl Strategy<Value = Vec<Holder>> {
    let hosts = || prop::collection::btree_set(0..HOSTS.len(), 1..4);
    let gateways = prop::collection::vec((1..4_u8, hosts()), 1..3);
    let sets = prop::collection::vec((0..2_usize, 1..6_u8, hosts()), 0..6);
    (gateways, sets).prop_map(|(gateways, sets)| {
        let gateways = gateways.into_iter().enumerate();
        let gateways =
            gateways.map(|(name, (created, hosts))| Holder { name, gateway: None, created, hosts });
        let sets = sets.into_iter().enumerate().map(|(name, (gateway, created, hosts))| Holder {
            name,
            gateway: Some(gateway),
            created,
            hosts,
        });
        gateways.chain(sets).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hosts_go_to_whom_the_order_says_and_losers_change_nothing(holders in holders()) {
        let translation = translate(&world(&holders), &TranslateOptions::default());
        let won = model(&holders);
        let served: BTreeMap<_, _> = served(&translation);
        let wanted: BTreeMap<_, _> =
            won.iter().map(|(host, holder)| ((*host).to_owned(), holder.clone())).collect();
        prop_assert_eq!(&served, &wanted);
        for (at, holder) in holders.iter().enumerate().filter(|(_, one)| one.gateway.is_some()) {
            let name = ObjectName::new("x", format!("s{}", holder.name));
            let Some(status) = translation.status.listener_sets.get(&name) else { continue };
            let has = |host: &usize| won.get(HOSTS[*host]) == Some(&holder.text());
            let accepted = holder.hosts.iter().any(has);
            prop_assert_eq!(condition(&status.conditions, "Accepted").status.as_str() == "True", accepted);
            for (host, listener) in holder.hosts.iter().zip(&status.listeners) {
                let conflicted = condition(&listener.conditions, "Conflicted").status.as_str() == "True";
                prop_assert_eq!(conflicted, !has(host));
            }
            if !accepted {
                let mut rest = holders.clone();
                rest.remove(at);
                let without = translate(&world(&rest), &TranslateOptions::default());
                prop_assert_eq!(&without.ir, &translation.ir);
            }
        }
    }
}

/// Ten namespaces with ten sets of 50 listeners each, all of one Gateway, and a route on each set.
fn thousands() -> ResourceSet {
    let spec = json!({"gatewayClassName": "sluice", "allowedListeners": {"namespaces": {"from": "All"}},
        "listeners": [{"name": "own", "port": 80, "protocol": "HTTP", "hostname": "own.example.com"}]});
    let gateway = json!({"kind": "Gateway", "metadata": {"name": "gw", "namespace": "edge"}, "spec": spec});
    let mut objects = vec![class(), typed(gateway)];
    for number in 0..100 {
        objects.push(typed(many(number, 50)));
        objects.push(typed(route(number)));
    }
    objects.into_iter().map(|object| (object, None)).collect()
}

fn many(number: usize, listeners: usize) -> Value {
    let listener = |at: usize| json!({"name": format!("l{at}"), "port": 80, "protocol": "HTTP", "hostname": format!("h{at}.s{number}.example.com")});
    let listeners: Vec<_> = (0..listeners).map(listener).collect();
    json!({"kind": "ListenerSet", "metadata": {"name": format!("s{number}"), "namespace": format!("t{}", number % 10)},
        "spec": {"parentRef": {"name": "gw", "namespace": "edge"}, "listeners": listeners}})
}

fn route(number: usize) -> Value {
    json!({"kind": "HTTPRoute", "metadata": {"name": format!("r{number}"), "namespace": format!("t{}", number % 10)},
        "spec": {"parentRefs": [{"kind": "ListenerSet", "name": format!("s{number}")}], "rules": [{}]}})
}

#[test]
fn an_edit_of_one_set_among_thousands_of_listeners_translates_its_own_routes() {
    let mut resources = thousands();
    let mut translator = Translator::new(TranslateOptions::default());
    let before = translator.update(&resources);
    let listeners = |translation: &Translation| -> usize {
        translation.ir.binds.iter().map(|bind| bind.listeners.len()).sum()
    };
    assert_eq!((before.ir.binds.len(), listeners(&before)), (1, 5_001));
    assert_eq!(translator.rebuilt().routes, 100);
    assert_eq!(before.status.gateways.values().next().unwrap().attached_listener_sets, Some(100));
    resources.insert(typed(many(7, 49)), None);
    let after = translator.update(&resources);
    assert_eq!((listeners(&after), translator.rebuilt().routes), (5_000, 1));
    resources.insert(typed(many(100, 50)), None);
    translator.update(&resources);
    assert_eq!(translator.rebuilt().routes, 0, "a new set has no route yet");
    resources.remove(Kind::ListenerSet, &ObjectKey::new("t3", "s3"));
    translator.update(&resources);
    assert_eq!(translator.rebuilt().routes, 1);
    let name = ObjectName::new("t7", "s7");
    let status = |translation: &Translation| translation.status.listener_sets.get(&name).cloned().unwrap();
    assert_eq!((status(&before).listeners.len(), status(&after).listeners.len()), (50, 49));
}

/// Reasons for which listeners are not accepted, over all sets of a namespace.
fn reasons(translation: &Translation, namespace: &str) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    let own = translation.status.listener_sets.iter().filter(|(name, _)| *name.namespace == *namespace);
    for listener in own.flat_map(|(_, status)| &status.listeners) {
        let accepted = condition(&listener.conditions, "Accepted");
        *reasons.entry(accepted.reason.clone()).or_default() += 1;
    }
    reasons
}

#[test]
fn the_youngest_sets_of_a_namespace_are_told_that_there_is_no_room() {
    let mut resources = thousands();
    for number in 0..40 {
        let listener = |at: usize| json!({"name": format!("l{at}"), "port": 80, "protocol": "HTTP", "hostname": format!("h{at}.g{number}.example.com")});
        let created = format!("2026-02-01T00:{number:02}:00Z");
        let greedy = json!({"kind": "ListenerSet",
            "metadata": {"name": format!("s{number}"), "namespace": "greedy", "creationTimestamp": created},
            "spec": {"parentRef": {"name": "gw", "namespace": "edge"}, "listeners": (0..32).map(listener).collect::<Vec<_>>()}});
        resources.insert(typed(greedy), None);
    }
    let translation = translate(&resources, &TranslateOptions::default());
    let wanted = [("Accepted".to_owned(), 1_024), ("TooManyListeners".to_owned(), 256)];
    assert_eq!(reasons(&translation, "greedy"), wanted.into());
    assert_eq!(reasons(&translation, "t0"), [("Accepted".to_owned(), 500)].into(), "others lose nothing");
    let status = |name: &str| &translation.status.listener_sets[&ObjectName::new("greedy", name)];
    assert_eq!(condition(&status("s31").conditions, "Accepted").reason, "Accepted");
    let refused = condition(&status("s32").conditions, "Accepted");
    assert_eq!((refused.status.as_str(), &*refused.reason), ("False", "ListenersNotValid"));
    assert!(refused.message.contains("1024 listeners"), "{}", refused.message);
    assert_eq!(translation.status.gateways.values().next().unwrap().attached_listener_sets, Some(132));
}

#[test]
fn a_port_that_nodes_refuse_is_told_to_its_set_alone() {
    let mut resources = thousands();
    let tcp = json!({"kind": "ListenerSet", "metadata": {"name": "tcp", "namespace": "t0"}, "spec": {
        "parentRef": {"name": "gw", "namespace": "edge"}, "listeners": [{"name": "db", "port": 5432, "protocol": "TCP"}]}});
    resources.insert(typed(tcp), None);
    let translation = translate(&resources, &TranslateOptions::default());
    let refused = RejectedBind {
        address: BindAddress::Any,
        port: 5432,
        transport: Transport::Tcp,
        reason: RejectionReason::PortUnavailable,
        message: "another program listens".to_owned(),
    };
    let report = NodeReport {
        gateways: digests(&translation.ir),
        listener_sets: set_digests(&translation.ir),
        refused: vec![refused],
        ..NodeReport::default()
    };
    let status = translation.status.with_reports(&[("a".to_owned(), report)].into());
    let of = |namespace: &str, name: &str| {
        let set = &status.listener_sets[&ObjectName::new(namespace, name)];
        ["Accepted", "Programmed"].map(|type_| condition(&set.conditions, type_).reason.clone())
    };
    assert_eq!(of("t0", "tcp"), ["ListenersNotValid", "PortUnavailable"]);
    assert_eq!(of("t0", "s10"), ["Accepted", "Programmed"]);
    let gateway = status.gateways.values().next().unwrap();
    assert_eq!(gateway.attached_listener_sets, Some(100));
    assert_eq!(condition(&gateway.conditions, "Programmed").reason, "Programmed");
}

#[test]
fn a_set_is_told_of_an_address_of_its_gateway_that_no_node_has() {
    let mut objects = two_gateways();
    let (address, name) = ("192.0.2.1", ObjectName::new("t", "s0"));
    for gateway in objects.iter_mut().filter(|one| one.kind() == Kind::Gateway) {
        let mut value = gateway.to_value().unwrap();
        value["spec"]["addresses"] = json!([{"value": address}]);
        *gateway = typed(value);
    }
    objects.push(one_host("t", 0, "a.example.com"));
    let translation = translate(&set(&objects), &TranslateOptions::default());
    let refused = RejectedBind {
        address: BindAddress::Ip(address.parse().unwrap()),
        port: 80,
        transport: Transport::Tcp,
        reason: RejectionReason::AddressNotUsable,
        message: "no interface has 192.0.2.1".to_owned(),
    };
    let report = NodeReport {
        gateways: digests(&translation.ir),
        listener_sets: set_digests(&translation.ir),
        refused: vec![refused],
        ..NodeReport::default()
    };
    let status = translation.status.with_reports(&[("a".to_owned(), report)].into());
    let programmed = condition(&status.listener_sets[&name].conditions, "Programmed");
    assert_eq!((programmed.status.as_str(), &*programmed.reason), ("False", "ParentNotProgrammed"));
    assert_eq!(programmed.message, "node a: no interface has 192.0.2.1");
}

#[test]
fn sets_of_many_namespaces_share_the_ports_of_a_gateway() {
    let spec = json!({"gatewayClassName": "sluice", "allowedListeners": {"namespaces": {"from": "All"}},
        "listeners": [{"name": "own", "port": 80, "protocol": "HTTP"}]});
    let gateway = json!({"kind": "Gateway", "metadata": {"name": "gw", "namespace": "edge"}, "spec": spec});
    let sets = (0..5_u16).map(|number| {
        let listener =
            |at: u16| json!({"name": format!("l{at}"), "port": 9_000 + 16 * number + at, "protocol": "TCP"});
        let listeners: Vec<_> = (0..16).map(listener).collect();
        typed(json!({"kind": "ListenerSet", "metadata": {"name": "ports", "namespace": format!("t{number}")},
            "spec": {"parentRef": {"name": "gw", "namespace": "edge"}, "listeners": listeners}}))
    });
    let all: Vec<Object> = [class(), typed(gateway)].into_iter().chain(sets).collect();
    let resources: ResourceSet = all.into_iter().map(|object| (object, None)).collect();
    let translation = translate(&resources, &TranslateOptions::default());
    assert_eq!(translation.ir.binds.len(), 65);
    assert_eq!(reasons(&translation, "t3"), [("Accepted".to_owned(), 16)].into());
    assert_eq!(reasons(&translation, "t4"), [("PortUnavailable".to_owned(), 16)].into());
}

#[test]
fn sets_that_name_no_gateway_share_one_budget_for_suggestions() {
    let mut objects = vec![class()];
    for number in 0..1_000 {
        let spec = json!({"gatewayClassName": "other", "listeners": [{"name": "l", "port": 80, "protocol": "HTTP"}]});
        objects.push(typed(json!({"kind": "Gateway", "metadata": {"name": format!("gateway-{number}"), "namespace": "edge"}, "spec": spec})));
    }
    for number in 0..5_000 {
        let spec = json!({"parentRef": {"name": format!("gatewya-{}", number % 1_000), "namespace": "edge"},
            "listeners": [{"name": "l", "port": 80, "protocol": "HTTP"}]});
        let metadata = json!({"name": format!("s{number}"), "namespace": format!("t{}", number % 100)});
        objects.push(typed(json!({"kind": "ListenerSet", "metadata": metadata, "spec": spec})));
    }
    let translation = translate(&set(&objects), &TranslateOptions::default());
    let told = translation.diagnostics.iter().filter(|one| one.message.contains("no Gateway \""));
    let told: Vec<_> = told.collect();
    let hints = told.iter().filter(|one| one.message.contains("did you mean")).count();
    assert!(told.len() == 5_000 && (1..20).contains(&hints), "{} {hints}", told.len());
}

/// A set with one listener for a host of its own, on one of two Gateways.
fn one_host(namespace: &str, number: usize, host: &str) -> Object {
    let listener = json!({"name": "l", "port": 80, "protocol": "HTTP", "hostname": host});
    let created = format!("2026-02-01T{:02}:{:02}:00Z", number / 60, number % 60);
    let metadata =
        json!({"name": format!("s{number}"), "namespace": namespace, "creationTimestamp": created});
    typed(json!({"kind": "ListenerSet", "metadata": metadata,
        "spec": {"parentRef": {"name": format!("gw{}", number % 2), "namespace": "edge"}, "listeners": [listener]}}))
}

fn two_gateways() -> Vec<Object> {
    let gateway = |number: usize| {
        let spec = json!({"gatewayClassName": "sluice", "allowedListeners": {"namespaces": {"from": "All"}},
            "listeners": [{"name": "own", "port": 80, "protocol": "HTTP", "hostname": format!("gw{number}.example.com")}]});
        let metadata = json!({"name": format!("gw{number}"), "namespace": "edge", "creationTimestamp": "2026-01-01T00:00:00Z"});
        typed(json!({"kind": "Gateway", "metadata": metadata, "spec": spec}))
    };
    vec![class(), gateway(0), gateway(1)]
}

#[test]
fn sets_are_bounded_over_all_gateways() {
    let mut objects = two_gateways();
    let host = |namespace: usize, number: usize| {
        one_host(&format!("t{namespace}"), number, &format!("h{number}.t{namespace}.example.com"))
    };
    objects.extend((0..130).map(|number| host(0, number)));
    objects.extend((1..9).flat_map(|namespace| (200..328).map(move |number| host(namespace, number))));
    let translation = translate(&set(&objects), &TranslateOptions::default());
    let served = set_digests(&translation.ir);
    assert_eq!(served.len(), 1_024, "what each report of a node names");
    assert_eq!((served_of(&served, "t0"), served_of(&served, "t8")), (128, 112));
    assert_eq!(reasons(&translation, "t0")["TooManyListeners"], 2);
    let told = |namespace: &str, number: usize| {
        let status = &translation.status.listener_sets[&ObjectName::new(namespace, format!("s{number}"))];
        condition(&status.conditions, "Accepted").message.clone()
    };
    assert!(told("t0", 129).contains("at most 128 sets of a namespace"), "{}", told("t0", 129));
    assert!(told("t8", 327).contains("at most 1024 sets of all namespaces"), "{}", told("t8", 327));
}

fn served_of(served: &BTreeMap<ObjectName, gateway_translate::GatewayDigest>, namespace: &str) -> usize {
    served.keys().filter(|name| *name.namespace == *namespace).count()
}

#[test]
fn sets_that_lose_their_conflicts_take_no_room() {
    let mut objects = two_gateways();
    let loser = |number: usize| one_host("t", number, &format!("gw{}.example.com", number % 2));
    objects.extend((0..128).map(loser));
    objects.push(one_host("t", 128, "own.example.com"));
    let translation = translate(&set(&objects), &TranslateOptions::default());
    let served = set_digests(&translation.ir);
    assert_eq!(served.keys().map(ToString::to_string).collect::<Vec<_>>(), ["t/s128"]);
}
