//! The status of ListenerSets that follows from the reports of nodes.

use std::collections::BTreeMap;

use gateway_api_types::{ConditionStatus, ListenerSetStatus};
use gateway_ir::{ListenerId, ObjectName};

use super::{NodeReport, Reports, those, wait};
use crate::placement;
use crate::reason::kind;
use crate::sets::status;
use crate::status::{StatusSet, find, set_nowhere};

impl StatusSet {
    /// Brings the status of a set to what nodes report; `reports` are those of the nodes that its Gateway is served on.
    pub(super) fn report_set(
        &self,
        (name, gateway): (&ObjectName, &ObjectName),
        set: &mut ListenerSetStatus,
        reports: &Reports<'_>,
        all: &Reports<'_>,
        own: Option<&str>,
    ) {
        let Some(digest) = self.set_digests.get(name) else { return };
        if reports.is_empty() && !all.is_empty() {
            set_nowhere(set, placement::no_node(&self.placement, gateway, &those(all, own)));
            return;
        }
        let current = |report: &NodeReport| report.listener_sets.get(name) == Some(digest);
        let first = ListenerId { gateway: gateway.clone(), set: Some(name.clone()), listener: String::new() };
        let binds = self.binds_of(&first);
        if let Err(message) = self.refused(&first, &binds, reports, current, &mut set.listeners) {
            return wait(&mut set.conditions, &mut set.listeners, &message);
        }
        let generation = set.conditions.first().and_then(|one| one.observed_generation);
        for condition in &mut set.conditions {
            match condition.type_.as_str() {
                // An address that its Gateway waits for stays the reason.
                kind::PROGRAMMED if condition.status == ConditionStatus::Unknown => {
                    *condition = status::programmed(&set.listeners, generation);
                }
                kind::ACCEPTED if condition.status == ConditionStatus::True => {
                    *condition = status::accepted(&set.listeners, generation);
                }
                _ => {}
            }
        }
    }

    /// Counts the sets that are accepted, of which nodes have a say too.
    pub(super) fn count_sets(&mut self) {
        let mut counts: BTreeMap<&ObjectName, i32> = BTreeMap::new();
        for (name, status) in &self.listener_sets {
            let accepted = find(&status.conditions, kind::ACCEPTED);
            if accepted.is_some_and(|one| one.status == ConditionStatus::True)
                && let Some(gateway) = self.set_gateways.get(name)
            {
                *counts.entry(gateway).or_default() += 1;
            }
        }
        for (name, status) in &mut self.gateways {
            if let Some(count) = &mut status.attached_listener_sets {
                *count = counts.get(name).copied().unwrap_or(0);
            }
        }
    }
}
