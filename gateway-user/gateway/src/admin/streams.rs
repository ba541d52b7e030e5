//! Streams between controller and nodes, for `/metrics` and `/status`.

use std::sync::PoisonError;

use gateway_control::stream::{LossCounts, StreamState};
use gateway_control::view::View;

use super::Shared;
use super::document::{ControllerLine, NodeLine};
use super::exposition::Exposition;

/// Adds the metrics of either side.
pub(super) fn page(page: &mut Exposition, shared: &Shared, view: &View) {
    if let Some(state) = state(shared) {
        of_node(page, &state, view);
    }
    if let Some(nodes) = &shared.nodes {
        of_controller(page, &nodes.lines(), view);
        of_losses(page, nodes.loss_counts());
    }
}

/// The stream of a node that follows.
pub(super) fn of_node(page: &mut Exposition, state: &StreamState, view: &View) {
    page.gauge("sluice_controller_connected", "1 while the controller's stream is there.");
    page.sample(&[], u8::from(state.connected));
    page.counter(
        "sluice_controller_connections_total",
        "Times that the controller was there after it was not.",
    );
    page.sample(&[], state.connections);
    let help = "Seconds since the controller was heard: what is served may be older than its newest by that.";
    page.gauge("sluice_config_age_seconds", help);
    if let Some(heard) = state.heard {
        page.sample(&[], heard.elapsed().as_secs_f64());
    }
    page.gauge("sluice_config_version", "Version of the controller that is served; 0 before the first.");
    page.sample(&[], view.stream.as_ref().map_or(0, |stream| stream.version));
    page.gauge(
        "sluice_closed_items",
        "Items served closed, since they need what this version does not know.",
    );
    page.sample(&[], view.stream.as_ref().map_or(0, |stream| stream.closed));
}

/// The nodes of a controller.
pub(super) fn of_controller(page: &mut Exposition, nodes: &[gateway_control::stream::NodeLine], view: &View) {
    page.gauge("sluice_config_version", "Version of what nodes are told; 0 before the first.");
    page.sample(&[], view.stream.as_ref().map_or(0, |stream| stream.version));
    page.gauge("sluice_node_connected", "1 while a node's stream is there, by node.");
    for line in nodes {
        page.sample(&[("node", &line.node)], u8::from(line.connected));
    }
    page.gauge("sluice_node_version", "Version that a node acknowledged last, by node.");
    for line in nodes {
        page.sample(&[("node", &line.node)], line.version);
    }
    page.gauge("sluice_node_closed_items", "Items that a node serves closed, by node.");
    for line in nodes {
        page.sample(&[("node", &line.node)], line.closed);
    }
}

/// Probes among a controller's nodes.
pub(super) fn of_losses(page: &mut Exposition, counts: LossCounts) {
    page.counter("sluice_node_probes_total", "Questions whether a node reaches another one, by outcome.");
    for (outcome, count) in
        [("reached", counts.reached), ("not_reached", counts.not_reached), ("unanswered", counts.unanswered)]
    {
        page.sample(&[("outcome", outcome)], count);
    }
    page.counter(
        "sluice_nodes_lost_total",
        "Times that a node was found to be lost, so that its addresses moved.",
    );
    page.sample(&[], counts.lost);
}

/// Either side for `/status`.
pub(super) fn lines(shared: &Shared, view: &View) -> (Option<ControllerLine>, Vec<NodeLine>) {
    let controller = state(shared).map(|state| ControllerLine {
        connected: state.connected,
        program: state.controller,
        version: view.stream.as_ref().map_or(0, |stream| stream.version),
        age_seconds: state.heard.map(|heard| heard.elapsed().as_secs()),
        error: state.error,
    });
    let line = |line: gateway_control::stream::NodeLine| NodeLine {
        node: line.node,
        program: line.program,
        connected: line.connected,
        version: line.version,
        closed: line.closed,
        error: line.error,
        suspicion: line.suspicion,
    };
    let nodes = shared.nodes.iter().flat_map(|nodes| nodes.lines()).map(line).collect();
    (controller, nodes)
}

fn state(shared: &Shared) -> Option<StreamState> {
    // Each change of it is whole before anything can panic.
    shared.stream.as_ref().map(|state| state.lock().unwrap_or_else(PoisonError::into_inner).clone())
}
