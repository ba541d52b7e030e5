//! Services whose endpoints all become not ready at once.
//!
//! Kubernetes takes a node for dead that has not been heard of for 40 s or so, and all of its pods for not ready. After an
//! outage of the API server that is every node, until their kubelets have been heard of again. No pod has failed then.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gateway_api_types::{ObjectKey, Objects, ResourceSet};
use gateway_ir::DiffItem;
use gateway_translate::service_of;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use tokio::time::Instant;
use tracing::{info, warn};

/// Slices that are used as they were before all of their endpoints became not ready.
#[derive(Debug, Default)]
pub(super) struct UnreadyEndpoints {
    /// Time until it is believed; zero believes it at once.
    patience: Duration,
    /// Slices as they were given last.
    given: Objects<EndpointSlice>,
    held: BTreeMap<ObjectKey, HeldSlice>,
}

#[derive(Debug)]
struct HeldSlice {
    before: Arc<EndpointSlice>,
    until: Instant,
}

impl UnreadyEndpoints {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, ..Self::default() }
    }

    /// Follows the slices that are there. Gives resources with others in their place, if some are to be used as they were.
    pub(super) fn follow(&mut self, resources: &ResourceSet) -> Option<ResourceSet> {
        if self.patience.is_zero() {
            return None;
        }
        let now = Instant::now();
        let given = &resources.endpoint_slices;
        let before = std::mem::replace(&mut self.given, given.clone());
        let mut fallen = Vec::new();
        for difference in before.diff(given) {
            match difference {
                DiffItem::Add(..) => {}
                DiffItem::Remove(key, _) => drop(self.held.remove(key)),
                DiffItem::Update { old: (key, old), new: (_, new) } => match self.held.get(key) {
                    Some(held) if has_fallen(&held.before, new) => {}
                    Some(_) => drop(self.held.remove(key)),
                    None if has_fallen(old, new) => fallen.push((key.clone(), Arc::clone(old))),
                    None => {}
                },
            }
        }
        self.hold(fallen, given, now);
        self.believe(now);
        if self.held.is_empty() {
            return None;
        }
        let mut resources = resources.clone();
        for (key, HeldSlice { before, .. }) in &self.held {
            resources.endpoint_slices.insert(key.clone(), Arc::clone(before));
        }
        Some(resources)
    }

    /// In how long a state is to be believed that is not yet.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let next = self.held.values().map(|held| held.until).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Holds slices that have fallen, of Services that have no ready endpoint left in any slice; and none of others.
    fn hold(
        &mut self,
        fallen: Vec<(ObjectKey, Arc<EndpointSlice>)>,
        given: &Objects<EndpointSlice>,
        now: Instant,
    ) {
        if fallen.is_empty() && self.held.is_empty() {
            return;
        }
        let ready = given.iter().filter(|(_, slice)| endpoints(slice).any(is_ready));
        let ready: HashSet<_> = ready.filter_map(|(key, slice)| service(key, slice)).collect();
        let serves = |key: &ObjectKey, slice: &EndpointSlice| {
            service(key, slice).is_none_or(|service| ready.contains(&service))
        };
        self.held.retain(|key, held| !serves(key, &held.before));
        let fallen = fallen.into_iter().filter(|(key, slice)| !serves(key, slice)).collect::<Vec<_>>();
        if let Some((key, _)) = fallen.first() {
            info!(
                "all endpoints of {} EndpointSlices are not ready from one moment to the next ({key} is one), and none terminates; \
                 used as before for up to {:?}",
                fallen.len(),
                self.patience
            );
        }
        let until = now + self.patience;
        self.held.extend(fallen.into_iter().map(|(key, before)| (key, HeldSlice { before, until })));
    }

    /// Lets go of what was not ready for so long that it is believed.
    fn believe(&mut self, now: Instant) {
        let over = self.held.extract_if(.., |_, held| held.until <= now).collect::<Vec<_>>();
        if let Some((key, _)) = over.first() {
            warn!(
                "the endpoints of {} EndpointSlices are still not ready ({key} is one); believed",
                over.len()
            );
        }
    }
}

/// The Service of a slice.
fn service<'s>(key: &'s ObjectKey, slice: &'s EndpointSlice) -> Option<(&'s str, &'s str)> {
    Some((&*key.namespace, service_of(slice)?))
}

fn endpoints(slice: &EndpointSlice) -> impl Iterator<Item = &Endpoint> {
    slice.endpoints.iter().flatten()
}

/// A condition that is absent counts as ready (`discovery.k8s.io/v1`).
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

fn terminates(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.terminating).unwrap_or(false)
}

/// True if all that were ready are still there and are not ready, none because it terminates, and no other is.
fn has_fallen(old: &EndpointSlice, new: &EndpointSlice) -> bool {
    let is_out = |endpoint: &Endpoint| !is_ready(endpoint) && !terminates(endpoint);
    let out: HashSet<_> = endpoints(new).filter(|one| is_out(one)).map(|one| one.addresses.first()).collect();
    let mut ready = endpoints(old).filter(|one| is_ready(one)).peekable();
    ready.peek().is_some()
        && ready.all(|one| out.contains(&one.addresses.first()))
        && !endpoints(new).any(is_ready)
}
