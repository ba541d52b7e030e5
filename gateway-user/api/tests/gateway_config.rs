//! GatewayConfigs and Nodes in files.

use gateway_api_types::Object;
use gateway_api_types::load::load;

/// Every diagnostic of a GatewayConfig with this selector, and the number of objects.
fn config(nodes: &str) -> (Vec<String>, usize) {
    let text = format!(
        "apiVersion: sluice.dev/v1alpha1\nkind: GatewayConfig\nmetadata: {{name: c, namespace: n}}\nspec:\n  nodes:\n{nodes}"
    );
    let loaded = load("f.yaml", &text);
    (loaded.diagnostics.iter().map(ToString::to_string).collect(), loaded.objects.len())
}

#[test]
fn a_selector_is_checked_as_its_definition_says() {
    let right = "    matchLabels: {tier: edge}\n    matchExpressions:\n    - {key: zone, operator: In, values: [a, b]}\n    - {key: spot, operator: DoesNotExist}\n";
    assert_eq!(config(right), (Vec::new(), 1));
    for (nodes, message) in [
        (
            "    matchExpressions: [{key: a, operator: in, values: [b]}]\n",
            "f.yaml:6:43: GatewayConfig n/c: spec.nodes.matchExpressions[0].operator: \"in\" is not one of \"In\", \"NotIn\", \"Exists\", \"DoesNotExist\"",
        ),
        (
            "    matchExpressions: [{key: a, operator: In}]\n",
            "f.yaml:6:24: GatewayConfig n/c: spec.nodes.matchExpressions[0]: operators In and NotIn need at least one value",
        ),
        (
            "    matchExpressions: [{key: a, operator: Exists, values: [b]}]\n",
            "f.yaml:6:24: GatewayConfig n/c: spec.nodes.matchExpressions[0]: operators Exists and DoesNotExist take no values",
        ),
        (
            "    matchLabel: {tier: edge}\n",
            "f.yaml:6:5: GatewayConfig n/c: spec.nodes.matchLabel: unknown field",
        ),
    ] {
        let (told, objects) = config(nodes);
        assert!(told[0].starts_with(message), "{told:#?}");
        assert_eq!(objects, 0, "{told:?}");
    }
}

#[test]
fn a_node_is_read_as_kubectl_prints_it() {
    let text = "apiVersion: v1\nkind: Node\nmetadata: {name: edge-1.example, labels: {kubernetes.io/hostname: edge-1, tier: edge}}\nspec: {podCIDR: 10.244.0.0/24, taints: [{key: a, effect: NoSchedule}]}\nstatus: {conditions: [{type: Ready, status: \"True\"}], nodeInfo: {kernelVersion: \"6.1\"}}\n";
    let loaded = load("f.yaml", text);
    assert_eq!(loaded.diagnostics, []);
    let Object::Node(node) = &loaded.objects[0].object else { panic!("a Node") };
    assert_eq!((node.metadata.namespace.as_deref(), node.status.is_none()), (None, true));
    assert_eq!(node.metadata.labels.as_ref().unwrap()["tier"], "edge");
}

#[test]
fn settings_are_checked_as_their_definition_says() {
    for (spec, message) in [
        ("settings: {clientIdleTimeout: 30}", "spec.settings.clientIdleTimeout: "),
        ("settings: {clientIdleTimeout: 1.5m}", "spec.settings.clientIdleTimeout: "),
        ("settings: {clientIdleTimeout: 0s}", "spec.settings.clientIdleTimeout: write a duration above zero"),
        ("settings: {maxHeaders: 3}", "spec.settings.maxHeaders: "),
        ("settings: {clientIdelTimeout: 30s}", "spec.settings.clientIdelTimeout: unknown field"),
        ("maxima: {workers: 4}", "spec.maxima.workers: unknown field"),
        ("workers: 4", "spec: workers belong to a process and serve all Gateways; take the field away"),
        (
            "{defaults: {maxHeaders: 9}, maxima: {maxHeaders: 8}}",
            "spec: defaults.maxHeaders is above maxima.maxHeaders",
        ),
    ] {
        let text = format!(
            "apiVersion: sluice.dev/v1alpha1\nkind: GatewayConfig\nmetadata: {{name: c, namespace: n}}\nspec:\n  {spec}\n"
        );
        let loaded = load("f.yaml", &text);
        let told: Vec<_> = loaded.diagnostics.iter().map(ToString::to_string).collect();
        assert!(told.first().is_some_and(|first| first.contains(message)), "{spec}: {told:#?}");
        assert!(loaded.objects.is_empty(), "{told:?}");
    }
}
