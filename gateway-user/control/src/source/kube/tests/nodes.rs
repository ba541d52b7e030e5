//! Nodes, of which labels alone count, and GatewayConfigs.

use super::*;

fn node(name: &str, tier: &str, heartbeat: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name, "labels": {"tier": tier}},
        "status": {"conditions": [{"type": "Ready", "lastHeartbeatTime": heartbeat.to_string()}]},
    })
}

fn tier(view: &StoreView, name: &str) -> Option<String> {
    let node = view.resources.nodes.get(&ObjectKey::new("", name))?;
    node.metadata.labels.as_ref()?.get("tier").cloned()
}

#[test]
fn a_node_that_says_that_it_is_there_wakes_nobody() {
    let api = server();
    api.put("nodes", node("a", "edge", 0));
    let mut reader = Reader::of(&api, &["shop"]);
    reader.until("the node", |view| tier(view, "a").as_deref() == Some("edge"));
    let (wakes, before) = (reader.wakes.load(Ordering::SeqCst), reader.view.resources.nodes.clone());
    let events = reader.state(Kind::Node).events;
    for heartbeat in 1..=5 {
        api.put("nodes", node("a", "edge", heartbeat));
    }
    until("the events", || (reader.state(Kind::Node).events >= events + 5).then_some(()));
    assert_eq!(reader.wakes.load(Ordering::SeqCst), wakes);
    assert!(matches!(reader.cluster.take(&mut reader.view), PollResult::Same));
    let key = ObjectKey::new("", "a");
    assert!(Arc::ptr_eq(&before[&key], &reader.view.resources.nodes[&key]));
    api.put("nodes", node("a", "inner", 6));
    reader.until("the label", |view| tier(view, "a").as_deref() == Some("inner"));
    assert_eq!(reader.view.resources.nodes[&key].status, None, "its metadata is all that was asked for");
}

#[test]
fn without_the_right_to_read_nodes_all_else_is_there() {
    let api = server();
    api.put(ROUTES, route("a", 1, "/"));
    api.put(
        "gatewayconfigs.sluice.dev",
        json!({"metadata": {"name": "c", "namespace": "shop", "generation": 1},
            "spec": {"nodes": {"matchLabels": {"tier": "edge"}}}}),
    );
    api.set_forbidden("nodes", "list", true);
    api.set_forbidden("nodes", "watch", true);
    let mut reader = Reader::of(&api, &[]);
    reader.until_routes(&["a"]);
    assert_eq!(reader.view.resources.gateway_configs.len(), 1);
    reader.until("the line", |view| {
        view.diagnostics.iter().any(|line| {
            line.message.contains("nodes in the cluster")
                && line.message.contains("GatewayConfig selects nodes are served on none")
                && line.message.contains("grant it the verbs list and watch")
        })
    });
    api.put("nodes", node("a", "edge", 0));
    api.set_forbidden("nodes", "list", false);
    api.set_forbidden("nodes", "watch", false);
    reader.until("the node", |view| tier(view, "a").is_some());
    reader.until("no line", |view| view.diagnostics.is_empty());
}
