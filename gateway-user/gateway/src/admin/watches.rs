//! State of each watch of the cluster, for `/metrics` and `/status`.

use gateway_control::source::kube::{WatchId, WatchState};

use super::document::WatchLine;
use super::exposition::Exposition;

/// Adds the metrics of all watches.
pub(super) fn page(page: &mut Exposition, watches: &[(WatchId, WatchState, usize)]) {
    let mut family = |name: &str, help: &str, is_counter: bool, value: fn(&WatchState, usize) -> u64| {
        if is_counter {
            page.counter(name, help)
        } else {
            page.gauge(name, help)
        };
        for (id, state, objects) in watches {
            let kind = id.subject.to_string();
            let namespace = id.namespace.as_deref().unwrap_or("");
            page.sample(&[("kind", &kind), ("namespace", namespace)], value(state, *objects));
        }
    };
    family("sluice_watch_objects", "Objects that a watch of the cluster holds.", false, |_, objects| {
        objects as u64
    });
    family("sluice_watch_synced", "1 once a whole list of the kind has arrived.", false, |state, _| {
        u64::from(state.synced)
    });
    family("sluice_watch_failing", "1 while a watch gives nothing.", false, |state, _| {
        u64::from(state.failing.is_some())
    });
    family("sluice_watch_events_total", "Objects that came, changed or went.", true, |state, _| state.events);
    family("sluice_watch_lists_total", "Whole lists that arrived.", true, |state, _| state.lists);
    family("sluice_watch_failures_total", "Times that a watch could not go on.", true, |state, _| {
        state.failures
    });
}

/// One line of the status document.
pub(super) fn line((id, state, objects): (WatchId, WatchState, usize)) -> WatchLine {
    let (since, why) = state.failing.unzip();
    WatchLine {
        kind: id.subject.to_string(),
        namespace: id.namespace,
        synced: state.synced,
        objects,
        last_event: state.last_event.map(|time| time.to_string()),
        failing_since: since.map(|time| time.to_string()),
        why: why.map(|failure| failure.to_string()),
    }
}
