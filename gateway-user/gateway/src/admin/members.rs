//! Metrics of what this process writes into its cluster.

use gateway_control::cluster::ClusterTally;

use super::exposition::Exposition;

/// Writes of statuses, reports and Events, and whether this process leads.
pub(super) fn page(page: &mut Exposition, tally: &ClusterTally) {
    page.gauge("sluice_leader", "1 if this process writes the status of the cluster's objects.");
    page.sample(&[], u8::from(tally.leads()));
    page.counter("sluice_status_writes_total", "Writes of the status of objects, by kind and outcome.");
    for ((kind, outcome), count) in tally.statuses() {
        page.sample(&[("kind", kind.as_str()), ("result", outcome.as_str())], count);
    }
    page.counter("sluice_node_report_writes_total", "Writes of this node's NodeReport, by outcome.");
    for (outcome, count) in tally.reports() {
        page.sample(&[("result", outcome.as_str())], count);
    }
    let (sent, left_out) = tally.events();
    page.counter("sluice_kubernetes_events_total", "Events on objects, by whether they were sent.");
    page.sample(&[("result", "sent")], sent).sample(&[("result", "left_out")], left_out);
}
