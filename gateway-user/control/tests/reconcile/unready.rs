//! Endpoints that all become not ready at once, as after an outage of the API server.

use std::time::Duration;

use gateway_control::store::StoreView;

use crate::bench::{Bench, config, resources};

const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// Two endpoints with these conditions, in one slice.
fn with(first: &str, second: &str) -> StoreView {
    let text = config(&[80], "one", 2);
    let (before, _) = text.split_once("endpoints:").unwrap();
    let line = |number: u32, conditions: &str| {
        format!("  - {{addresses: [10.0.0.{number}], conditions: {{{conditions}}}}}\n")
    };
    resources(&format!("{before}endpoints:\n{}{}", line(1, first), line(2, second)))
}

const UP: &str = "ready: true";
const DOWN: &str = "ready: false, serving: false, terminating: false";
const GOES: &str = "ready: false, serving: false, terminating: true";

struct Watched(Bench);

impl Watched {
    fn new(patience: Duration) -> Self {
        let bench = Bench::new();
        let reconciler = bench.reconciler.believing_unready_after(patience);
        let mut watched = Self(Bench { reconciler, ..bench });
        assert_eq!(watched.endpoints(&with(UP, UP)), Some("0 endpoints one=2".to_owned()));
        watched
    }

    /// The endpoints that a worker is told; nothing if it is told none.
    fn endpoints(&mut self, view: &StoreView) -> Option<String> {
        self.0.runtime.block_on(self.0.reconciler.reconcile(view));
        self.0.notes.take().into_iter().find(|line| line.starts_with("0 endpoints"))
    }

    fn due_in(&self) -> Option<Duration> {
        self.0.runtime.block_on(async { self.0.reconciler.due_in() })
    }

    fn advance(&self, seconds: u64) {
        self.0.runtime.block_on(tokio::time::advance(Duration::from_secs(seconds)));
    }
}

#[test]
fn endpoints_that_are_ready_again_soon_were_used_all_the_time() {
    let mut watched = Watched::new(READY_TIMEOUT);
    assert_eq!(watched.endpoints(&with(DOWN, DOWN)), None);
    assert_eq!(watched.due_in(), Some(READY_TIMEOUT));
    watched.advance(9);
    assert_eq!(watched.endpoints(&with(DOWN, DOWN)), None);
    assert_eq!(watched.endpoints(&with(UP, DOWN)), Some("0 endpoints one=1".to_owned()));
    assert_eq!(watched.due_in(), None);
}

#[test]
fn endpoints_that_stay_not_ready_are_believed() {
    let mut watched = Watched::new(READY_TIMEOUT);
    assert_eq!(watched.endpoints(&with(DOWN, DOWN)), None);
    watched.advance(10);
    assert_eq!(watched.due_in(), Some(Duration::ZERO));
    assert_eq!(watched.endpoints(&with(DOWN, DOWN)), Some("0 endpoints one=0".to_owned()));
    assert_eq!(watched.due_in(), None);
    assert_eq!(watched.endpoints(&with(DOWN, DOWN)), None, "it does not begin anew");
}

#[test]
fn endpoints_that_go_or_are_not_ready_one_by_one_are_believed_at_once() {
    let mut watched = Watched::new(READY_TIMEOUT);
    assert_eq!(watched.endpoints(&with(UP, DOWN)), Some("0 endpoints one=1".to_owned()));
    // The last one may be an outage as well, and is used a little longer.
    assert_eq!(watched.endpoints(&with(DOWN, DOWN)), None);
    let mut watched = Watched::new(READY_TIMEOUT);
    assert_eq!(watched.endpoints(&with(GOES, DOWN)), Some("0 endpoints one=0".to_owned()));
    let mut watched = Watched::new(READY_TIMEOUT);
    assert_eq!(watched.endpoints(&with(DOWN, DOWN)), None);
    assert_eq!(watched.endpoints(&with(DOWN, GOES)), Some("0 endpoints one=0".to_owned()));
    let mut watched = Watched::new(READY_TIMEOUT);
    assert_eq!(watched.endpoints(&resources(&config(&[80], "one", 0))), Some("0 endpoints one=0".to_owned()));
}

#[test]
fn another_slice_with_ready_endpoints_takes_their_place() {
    let mut watched = Watched::new(READY_TIMEOUT);
    assert_eq!(watched.endpoints(&with(DOWN, DOWN)), None);
    let mut view = with(DOWN, DOWN);
    let more = resources(
        &config(&[80], "one", 2)
            .replace("EndpointSlice\nmetadata: {name: one,", "EndpointSlice\nmetadata: {name: more,")
            .replace("10.0.0.", "10.0.1."),
    );
    view.resources.endpoint_slices.extend(more.resources.endpoint_slices);
    assert_eq!(view.resources.endpoint_slices.len(), 2);
    assert_eq!(watched.endpoints(&view), Some("0 endpoints one=2".to_owned()));
    assert_eq!(watched.due_in(), None);
}

#[test]
fn without_patience_all_is_believed_at_once() {
    let mut watched = Watched::new(Duration::ZERO);
    assert_eq!(watched.endpoints(&with(DOWN, DOWN)), Some("0 endpoints one=0".to_owned()));
}
