//! The objects of a cluster as they are now, for commands that end.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use gateway_api_types::{Gateway, Kind, Object, ObjectKey};
use gateway_ir::ObjectName;
use gateway_translate::{Assignment, Assignments};

use super::thread::Cluster;
use crate::source::PollResult;
use crate::store::StoreView;

/// Error of a cluster that has not given everything in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server at {server} has not given everything in {} s: {missing}", .timeout.as_secs())]
pub struct Unread {
    server: String,
    timeout: Duration,
    /// The kinds that are missing, and the errors of their watches.
    missing: String,
}

impl Cluster {
    /// Everything that a gateway would serve by now. A kind that the server refuses to give is named in the diagnostics.
    ///
    /// # Errors
    /// The server has not given every list within `timeout`.
    pub fn read_once(&self, timeout: Duration) -> Result<StoreView, Unread> {
        let (changed, changes) = channel();
        // A receiver that is gone needs no change any more.
        self.wake_by(move || {
            let _ = changed.send(());
        });
        let (mut view, until) = (StoreView::default(), Instant::now() + timeout);
        loop {
            let missing = match self.take(&mut view) {
                PollResult::New | PollResult::Same => return Ok(view),
                PollResult::Waiting(what) | PollResult::Unreadable(what) => what,
            };
            let left = until.saturating_duration_since(Instant::now());
            if changes.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                let errors = view.diagnostics.iter().map(|line| format!("; {line}"));
                let missing = missing + &errors.collect::<String>();
                return Err(Unread { server: self.server().to_owned(), timeout, missing });
            }
        }
    }

    /// The addresses that the Gateways of a controller have by their statuses; none if two have one in common or one has none, as
    /// where each is served on all addresses of the nodes. Who asks from afar cannot know otherwise which are of a pool. With
    /// `is_pool` it is known, and one without addresses waits for one.
    pub fn own_addresses(&self, controller: &str, is_pool: bool) -> Option<Assignments> {
        let mut assignments = Assignments::default();
        for key in self.keys(Kind::Gateway) {
            let Some(Object::Gateway(gateway)) = self.object(Kind::Gateway, &key) else { continue };
            if !self.is_of(&gateway, controller) {
                continue;
            }
            let given = given(&gateway);
            if given.is_empty() && !is_pool {
                return None;
            }
            if given.iter().any(|one| assignments.holder(one.address).is_some()) {
                return None;
            }
            if !given.is_empty() {
                assignments.given.insert(ObjectName::new(&*key.namespace, &*key.name), given);
            }
        }
        (!assignments.given.is_empty()).then_some(assignments)
    }
}

impl Cluster {
    fn is_of(&self, gateway: &Gateway, controller: &str) -> bool {
        let class = ObjectKey::new("", &*gateway.spec.gateway_class_name);
        matches!(self.object(Kind::GatewayClass, &class), Some(Object::GatewayClass(class)) if class.spec.controller_name == controller)
    }
}

/// The addresses of its status.
fn given(gateway: &Gateway) -> Vec<Assignment> {
    let addresses = gateway.status.iter().flat_map(|status| &status.addresses);
    let parsed = addresses.filter_map(|address| address.value.parse().ok());
    parsed.map(|address| Assignment { address, node: String::new() }).collect()
}
