//! The status that follows from a node's report.

mod common;

use std::collections::BTreeMap;

use gateway_ir::{BindAddress, Generation};

use gateway_translate::{
    GatewayDigest, NodeReport, RejectedBind, RejectionReason, StatusSet, TranslateOptions, Translation,
    digests, translate,
};

const TWO_LISTENERS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge, generation: 2}
spec:
  gatewayClassName: sluice
  addresses: ADDRESSES
  listeners:
  - {name: web, protocol: HTTP, port: 80}
  - {name: alt, protocol: HTTP, port: 8080}
  - {name: secret, protocol: example.com/own, port: 443}
";

fn translation(addresses: &str) -> Translation {
    let text = TWO_LISTENERS.replace("ADDRESSES", addresses);
    translate(&common::resources(&text), &TranslateOptions::default())
}

fn status(addresses: &str) -> StatusSet {
    translation(addresses).status
}

/// The report of a node that runs what was made of these addresses, but for what it refuses.
fn report(addresses: &str, refused: Vec<RejectedBind>) -> NodeReport {
    let gateways = digests(&translation(addresses).ir);
    NodeReport { generation: Generation(4), gateways, refused, ..NodeReport::default() }
}

fn refuse(address: &str, port: u16, reason: RejectionReason) -> RejectedBind {
    let address = match address {
        "any" => BindAddress::Any,
        ip => BindAddress::Ip(ip.parse().expect("an address")),
    };
    let transport = gateway_ir::Transport::Tcp;
    RejectedBind { address, port, transport, reason, message: format!("{reason:?} on port {port}") }
}

/// `Gateway edge/gw` after a report, as text.
fn after(addresses: &str, refused: Vec<RejectedBind>) -> serde_json::Value {
    let set = status(addresses).with_report(&report(addresses, refused));
    assert_eq!(set.generation, Some(Generation(4)));
    common::status(&set).remove("Gateway edge/gw").expect("the Gateway is ours")
}

fn text<'a>(shown: &'a serde_json::Value, path: &str) -> &'a str {
    shown.pointer(path).and_then(|value| value.as_str()).unwrap_or_else(|| panic!("no {path} in {shown}"))
}

#[test]
fn nothing_is_programmed_before_a_node_says_so() {
    let set = status("[]");
    assert_eq!(set.generation, None);
    let shown = common::status(&set).remove("Gateway edge/gw").unwrap();
    for path in ["/Programmed", "/listener web/Programmed", "/listener alt/Programmed"] {
        assert!(text(&shown, path).starts_with("Unknown Pending"), "{path}: {shown}");
    }
    assert!(text(&shown, "/listener secret/Programmed").starts_with("False Invalid"), "{shown}");
}

#[test]
fn what_is_not_refused_is_programmed() {
    let shown = after("[]", vec![]);
    assert_eq!(
        text(&shown, "/listener web/Programmed"),
        "True Programmed (generation 2): the listener is served"
    );
    assert_eq!(
        text(&shown, "/Programmed"),
        "True Programmed (generation 2): served but for listeners \"secret\""
    );
    assert!(text(&shown, "/Accepted").starts_with("True ListenersNotValid"), "{shown}");
    assert!(
        text(&shown, "/listener secret/Programmed").starts_with("False Invalid"),
        "never served: {shown}"
    );
}

#[test]
fn a_port_that_somebody_holds_refuses_its_listener_alone() {
    let shown = after("[]", vec![refuse("any", 80, RejectionReason::PortUnavailable)]);
    let want = "(generation 2): PortUnavailable on port 80";
    assert_eq!(text(&shown, "/listener web/Accepted"), format!("False PortUnavailable {want}"));
    assert_eq!(text(&shown, "/listener web/Programmed"), format!("False PortUnavailable {want}"));
    assert!(text(&shown, "/listener alt/Programmed").starts_with("True"), "{shown}");
    assert!(text(&shown, "/Accepted").starts_with("True ListenersNotValid"), "{shown}");
    assert!(text(&shown, "/Programmed").starts_with("True Programmed"), "{shown}");
}

#[test]
fn a_port_refused_on_one_address_of_two_leaves_the_listener_accepted() {
    let shown = after(
        "[{value: 10.0.0.1}, {value: 10.0.0.2}]",
        vec![refuse("10.0.0.1", 80, RejectionReason::PortUnavailable)],
    );
    assert!(text(&shown, "/listener web/Accepted").starts_with("True Accepted"), "{shown}");
    assert!(text(&shown, "/listener web/Programmed").starts_with("False PortUnavailable"), "{shown}");
}

#[test]
fn an_address_of_another_machine_is_not_usable() {
    let refused = [80, 8080].map(|port| refuse("10.0.0.1", port, RejectionReason::AddressNotUsable));
    let shown = after("[{value: 10.0.0.1}, {value: 10.0.0.2}]", refused.to_vec());
    assert!(text(&shown, "/Programmed").starts_with("False AddressNotUsable"), "{shown}");
    assert!(text(&shown, "/Accepted").starts_with("True"), "the resource is valid: {shown}");
    assert_eq!(shown["addresses"], serde_json::json!(["IPAddress 10.0.0.2"]));
}

#[test]
fn with_every_listener_refused_the_gateway_is_not_accepted() {
    let refused = [80, 8080].map(|port| refuse("any", port, RejectionReason::PortUnavailable));
    let shown = after("[]", refused.to_vec());
    assert!(text(&shown, "/Accepted").starts_with("False ListenersNotValid"), "{shown}");
    assert!(text(&shown, "/Programmed").starts_with("False Invalid"), "{shown}");
}

#[test]
fn reports_about_other_binds_change_nothing() {
    let other = vec![
        refuse("any", 443, RejectionReason::PortUnavailable),
        refuse("10.0.0.9", 80, RejectionReason::AddressNotUsable),
    ];
    assert_eq!(after("[]", other), after("[]", vec![]));
}

#[test]
fn a_later_report_replaces_an_earlier_one_made_from_the_same_status() {
    let set = status("[]");
    let bad = report("[]", vec![refuse("any", 80, RejectionReason::PortUnavailable)]);
    let good = report("[]", vec![]);
    assert_ne!(set.with_report(&bad).gateways, set.with_report(&good).gateways);
    assert_eq!(set.with_report(&good), set.with_report(&good));
}

/// The Gateway as several nodes have it.
fn with(addresses: &str, nodes: &[(&str, NodeReport)]) -> serde_json::Value {
    let reports: BTreeMap<_, _> =
        nodes.iter().map(|(node, report)| ((*node).to_owned(), report.clone())).collect();
    let set = status(addresses).with_reports(&reports);
    common::status(&set).remove("Gateway edge/gw").expect("the Gateway is ours")
}

#[test]
fn a_gateway_is_programmed_once_every_node_serves_it_as_it_is() {
    let current = report("[]", vec![]);
    let old = report("[{value: 10.0.0.1}]", vec![]);
    let none = NodeReport { gateways: BTreeMap::new(), ..current.clone() };
    let other = NodeReport {
        gateways: current.gateways.keys().map(|name| (name.clone(), GatewayDigest("0".repeat(16)))).collect(),
        ..current.clone()
    };
    for (behind, name) in [(old, "another configuration"), (none, "nothing"), (other, "another version")] {
        let shown = with("[]", &[("a", current.clone()), ("b", behind)]);
        let want = "Unknown Pending (generation 2): not applied yet by b";
        assert_eq!(text(&shown, "/Programmed"), want, "{name}");
        assert_eq!(text(&shown, "/listener web/Programmed"), want, "{name}");
        assert!(text(&shown, "/Accepted").starts_with("True"), "that the nodes have no say in: {shown}");
    }
    let shown = with("[]", &[("a", current.clone()), ("b", current)]);
    assert!(text(&shown, "/Programmed").starts_with("True Programmed"), "{shown}");
    assert!(text(&with("[]", &[]), "/Programmed").ends_with("no node has reported yet"));
}

#[test]
fn a_port_that_is_taken_on_one_node_is_said_with_its_name() {
    let taken = report("[]", vec![refuse("any", 80, RejectionReason::PortUnavailable)]);
    let shown = with("[]", &[("a", report("[]", vec![])), ("b", taken)]);
    assert_eq!(
        text(&shown, "/listener web/Programmed"),
        "False PortUnavailable (generation 2): node b: PortUnavailable on port 80"
    );
    assert!(text(&shown, "/listener alt/Programmed").starts_with("True"), "{shown}");
}

#[test]
fn an_address_is_served_by_the_nodes_that_have_it() {
    let addresses = "[{value: 10.0.0.1}]";
    let without =
        || [80, 8080].map(|port| refuse("10.0.0.1", port, RejectionReason::AddressNotUsable)).to_vec();
    let shown = with(addresses, &[("a", report(addresses, vec![])), ("b", report(addresses, without()))]);
    assert!(text(&shown, "/Programmed").starts_with("True"), "node a has it: {shown}");
    assert_eq!(shown["addresses"], serde_json::json!(["IPAddress 10.0.0.1"]));
    let nobody = report(addresses, without());
    let shown = with(addresses, &[("a", nobody.clone()), ("b", nobody)]);
    assert!(text(&shown, "/Programmed").starts_with("False AddressNotUsable"), "{shown}");
    assert_eq!(shown.get("addresses"), None, "{shown}");
}

#[test]
fn a_gateway_on_every_address_has_those_of_its_nodes() {
    let at = |addresses: &[&str]| NodeReport {
        addresses: addresses.iter().map(|ip| ip.parse().expect("an address")).collect(),
        ..report("[]", vec![])
    };
    let shown = with("[]", &[("a", at(&["10.0.0.9", "fd00::9"])), ("b", at(&["10.0.0.7", "10.0.0.9"]))]);
    let want = ["IPAddress 10.0.0.7", "IPAddress 10.0.0.9", "IPAddress fd00::9"];
    assert_eq!(shown["addresses"], serde_json::json!(want));
    let named = "[{value: 10.0.0.1}]";
    let report = NodeReport { addresses: at(&["10.0.0.9"]).addresses, ..report(named, vec![]) };
    assert_eq!(with(named, &[("a", report)])["addresses"], serde_json::json!(["IPAddress 10.0.0.1"]));
}

#[test]
fn what_is_refused_of_one_gateway_says_nothing_of_others() {
    let of = |name: &str, address: &str| {
        let text = TWO_LISTENERS.replace("name: gw,", &format!("name: {name},"));
        text.replace("ADDRESSES", &format!("[{{value: {address}}}]"))
    };
    let yaml = [of("gv", "10.0.0.1"), of("gw", "10.0.0.2"), of("gw-b", "10.0.0.3")].join("---");
    let translation = translate(&common::resources(&yaml), &TranslateOptions::default());
    let refused = ["10.0.0.1", "10.0.0.3"].map(|ip| refuse(ip, 80, RejectionReason::AddressNotUsable));
    let report =
        NodeReport { gateways: digests(&translation.ir), refused: refused.into(), ..NodeReport::default() };
    let shown = common::status(&translation.status.with_report(&report));
    let programmed = |name: &str| text(&shown[&format!("Gateway edge/{name}")], "/Programmed").to_owned();
    assert!(programmed("gv").starts_with("False AddressNotUsable"), "{shown:?}");
    assert!(programmed("gw").starts_with("True Programmed"), "{shown:?}");
    assert!(programmed("gw-b").starts_with("False AddressNotUsable"), "{shown:?}");
}

#[test]
fn a_translation_can_be_written_as_yaml() {
    let text = TWO_LISTENERS.replace("ADDRESSES", "[]");
    let translation = translate(&common::resources(&text), &TranslateOptions::default());
    let yaml = serde_saphyr::to_string(&translation).expect("every key is text");
    let value: serde_json::Value = serde_saphyr::from_str(&yaml).expect("it is YAML");
    let path = "/status/gateways/edge~1gw/conditions/0/type";
    assert_eq!(value.pointer(path), Some(&serde_json::json!("Accepted")), "{yaml}");
    assert_eq!(value.pointer("/findings/0/object"), Some(&serde_json::json!("Gateway edge/gw")), "{yaml}");
    assert_eq!(value.pointer("/findings/0/severity"), Some(&serde_json::json!("error")), "{yaml}");
}
