//! ListenerSets that are others than before, as routes see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api_types::{ListenerSet, ResourceSet};

use super::{Changes, PreviousObjects};
use crate::gateway::GatewayState;
use crate::parent::ParentKey;
use crate::read::{Read, find_parent};
use crate::view;

/// A ListenerSet as routes see it.
#[derive(Debug)]
pub(super) struct SetSummary {
    object: Arc<ListenerSet>,
    /// The reason for which it is refused as a whole, if so, and for each listener whether it is served; `None` if its Gateway is not ours.
    outcome: Option<(Option<String>, Vec<bool>)>,
}

impl PreviousObjects {
    /// A listener of a set is served or not by all others, as for Gateways.
    pub(super) fn listener_sets(
        &mut self,
        resources: &ResourceSet,
        gateways: &[GatewayState<'_>],
        changes: &mut Changes,
    ) -> bool {
        let summary = |object: &Arc<ListenerSet>| {
            let ours = find_parent(gateways, &ParentKey::ListenerSet(view::name_of(&object.metadata)));
            let outcome = |(_, set): (usize, &GatewayState<'_>)| {
                let serves = set.listeners.iter().map(|listener| set.serves(listener)).collect();
                (set.refused.as_ref().map(ToString::to_string), serves)
            };
            SetSummary { object: Arc::clone(object), outcome: ours.map(outcome) }
        };
        let new: BTreeMap<_, _> =
            resources.listener_sets.iter().map(|(key, object)| (key.clone(), summary(object))).collect();
        let old = std::mem::replace(&mut self.listener_sets, new);
        let new = &self.listener_sets;
        let gone = old.keys().filter(|key| !new.contains_key(*key));
        let changed =
            new.iter().filter(|(key, summary)| old.get(*key).is_none_or(|old| !old.is_like(summary)));
        changes.reads.extend(gone.chain(changed.map(|(key, _)| key)).cloned().map(Read::ListenerSet));
        let listing = !old.keys().eq(new.keys());
        changes.reads.extend(listing.then_some(Read::ListenerSetNames));
        listing
    }
}

impl SetSummary {
    fn is_like(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.object, &other.object) || self.object.spec == other.object.spec;
        same && self.outcome == other.outcome
    }
}
