//! Status and addresses of Gateways that are not served on every node.

mod common;

use std::collections::BTreeMap;

use gateway_api_types::{ConditionStatus, ResourceSet};
use gateway_ir::{Generation, ObjectName};
use gateway_translate::{
    NodeReport, StatusSet, TranslateOptions, Translation, address_wants, digests, translate,
};

/// Two nodes of the tier, and one beside it.
const RESOURCES: &str = "
apiVersion: v1
kind: Node
metadata: {name: a, labels: {tier: edge}}
---
apiVersion: v1
kind: Node
metadata: {name: b, labels: {tier: edge}}
---
apiVersion: v1
kind: Node
metadata: {name: c}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
---
apiVersion: sluice.dev/v1alpha1
kind: GatewayConfig
metadata: {name: edge, namespace: edge}
spec: {nodes: {matchLabels: {tier: edge}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge, generation: 2}
spec:
  gatewayClassName: sluice
  infrastructure: {parametersRef: {group: sluice.dev, kind: GatewayConfig, name: edge}}
  listeners: [{name: web, protocol: HTTP, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: other, namespace: edge, generation: 2}
spec:
  gatewayClassName: sluice
  listeners: [{name: web, protocol: HTTP, port: 81}]
";

fn resources() -> ResourceSet {
    common::resources(RESOURCES)
}

fn translation() -> Translation {
    translate(&resources(), &TranslateOptions::default())
}

/// The report of a node that serves everything, or nothing yet.
fn report(serves: bool, address: &str) -> NodeReport {
    let gateways = if serves { digests(&translation().ir) } else { BTreeMap::new() };
    let addresses = vec![address.parse().unwrap()];
    NodeReport { generation: Generation(4), gateways, addresses, ..NodeReport::default() }
}

fn with(nodes: &[(&str, NodeReport)]) -> StatusSet {
    let reports = nodes.iter().map(|(node, report)| ((*node).to_owned(), report.clone())).collect();
    translation().status.with_reports(&reports)
}

/// `True Programmed: …`, and the addresses.
fn programmed(set: &StatusSet, gateway: &str) -> (String, Vec<String>) {
    let status = &set.gateways[&ObjectName::new("edge", gateway)];
    let one = status.conditions.iter().find(|one| one.type_ == "Programmed").unwrap();
    let addresses = status.addresses.iter().map(|one| one.value.clone()).collect();
    (format!("{} {}: {}", one.status, one.reason, one.message), addresses)
}

#[test]
fn only_nodes_that_are_selected_are_waited_for() {
    let nodes =
        |b| [("a", report(true, "10.0.0.1")), ("b", report(b, "10.0.0.2")), ("c", report(false, "10.0.0.3"))];
    let (told, addresses) = programmed(&with(&nodes(true)), "gw");
    assert!(told.starts_with("True Programmed"), "{told}");
    assert_eq!(addresses, ["10.0.0.1", "10.0.0.2"], "those of its nodes");
    assert_eq!(programmed(&with(&nodes(false)), "gw").0, "Unknown Pending: not applied yet by b");
    assert_eq!(programmed(&with(&nodes(true)), "other").0, "Unknown Pending: not applied yet by c");
}

#[test]
fn where_no_node_that_reports_is_selected_it_is_said() {
    let set = with(&[("c", report(false, "10.0.0.3")), ("d", report(true, "10.0.0.4"))]);
    let (told, addresses) = programmed(&set, "gw");
    let want = "False NoResources: served nowhere: none of the 2 nodes that report has the labels that its GatewayConfig asks \
                for (tier=edge); label a node, or edit spec.nodes there";
    assert_eq!((told.as_str(), addresses.len()), (want, 0));
    let listener = &set.gateways[&ObjectName::new("edge", "gw")].listeners[0];
    let one = listener.conditions.iter().find(|one| one.type_ == "Programmed").unwrap();
    assert_eq!((one.status, one.reason.as_str()), (ConditionStatus::False, "Pending"));
    assert_eq!(one.observed_generation, Some(2));
    assert!(programmed(&with(&[]), "gw").0.ends_with("no node has reported yet"));
}

#[test]
fn a_process_alone_has_its_nodes_gateways() {
    let of = |node: &str| {
        let set = translation().status.with_report_of(node, &report(true, "10.0.0.1"));
        assert!(programmed(&set, "other").0.starts_with("True"));
        programmed(&set, "gw").0
    };
    assert!(of("a").starts_with("True Programmed"), "{}", of("a"));
    assert!(
        of("c").starts_with("False NoResources: served nowhere: node \"c\", which alone serves,"),
        "{}",
        of("c")
    );
}

#[test]
fn addresses_are_wanted_on_its_nodes() {
    let wants = address_wants(&resources(), &TranslateOptions::default());
    let of = |gateway: &str| {
        let want = wants.iter().find(|want| want.gateway == ObjectName::new("edge", gateway)).unwrap();
        want.nodes.clone().map(|nodes| nodes.into_iter().collect::<Vec<_>>().join(" "))
    };
    assert_eq!((of("gw").as_deref(), of("other")), (Some("a b"), None));
}

/// As `sluice translate` prints it.
#[test]
fn a_placement_is_printed_by_name() {
    let value = serde_json::to_value(translation()).expect("every key is text");
    assert_eq!(value["placement"], serde_json::json!({"edge/gw": "tier=edge"}));
    let mut resources = resources();
    resources.gateway_configs.clear();
    let value = serde_json::to_value(translate(&resources, &TranslateOptions::default())).unwrap();
    assert_eq!(value.get("placement"), None, "a Gateway that is refused is placed nowhere");
}
