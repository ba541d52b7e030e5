//! Since when each condition has its status.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher as _};
use std::sync::Arc;

use gateway_api_types::{Condition, ConditionStatus};
use gateway_translate::StatusSet;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The time at which each condition's `status` last changed (Kubernetes API conventions, "typical status
/// properties").
///
/// There are several conditions to every route, so no names are held but a hash of each place; two places of
/// one hash, which nobody will ever see among 64 bits, would show a wrong time to people and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since(Box<[Entry]>);

/// Place, status, and since when; sorted.
type Entry = (u64, ConditionStatus, Timestamp);

impl Since {
    /// The times for `set`: that of the same condition so far if its status is the same, else `now`.
    #[must_use]
    pub fn follow(&self, set: &StatusSet, now: Timestamp) -> Self {
        let mut entries = Vec::new();
        each_list(set, &mut |place, conditions| {
            for condition in conditions {
                let place = of(place, condition);
                let known = self.get(place).filter(|(_, status, _)| *status == condition.status);
                entries.push((place, condition.status, known.map_or(now, |(.., since)| *since)));
            }
        });
        entries.sort_unstable();
        Self(entries.into_boxed_slice())
    }

    /// Fills in `lastTransitionTime` where it is known.
    #[must_use]
    pub fn date(&self, mut set: StatusSet) -> StatusSet {
        let date = |place: u64, conditions: &mut [Condition]| {
            for condition in conditions {
                let since = self.get(of(place, condition)).map(|(.., since)| Time(*since));
                condition.last_transition_time = since;
            }
        };
        for (name, status) in &mut set.gateway_classes {
            date(hash(&("class", name)), &mut status.conditions);
        }
        for (name, status) in &mut set.gateways {
            date(hash(&("gateway", name)), &mut status.conditions);
            for listener in &mut status.listeners {
                date(hash(&("listener", name, &listener.name)), &mut listener.conditions);
            }
        }
        for (name, status) in Arc::make_mut(&mut set.routes) {
            for parent in &mut Arc::make_mut(status).parents {
                let place = hash(&("route", name, &parent.parent_ref, &parent.controller_name));
                date(place, &mut parent.conditions);
            }
        }
        set
    }

    fn get(&self, place: u64) -> Option<&Entry> {
        let index = self.0.binary_search_by_key(&place, |(place, ..)| *place).ok()?;
        self.0.get(index)
    }
}

/// Calls `visit` with every list of conditions and its place.
fn each_list(set: &StatusSet, visit: &mut dyn FnMut(u64, &[Condition])) {
    for (name, status) in &set.gateway_classes {
        visit(hash(&("class", name)), &status.conditions);
    }
    for (name, status) in &set.gateways {
        visit(hash(&("gateway", name)), &status.conditions);
        for listener in &status.listeners {
            visit(hash(&("listener", name, &listener.name)), &listener.conditions);
        }
    }
    for (name, status) in set.routes.iter() {
        for parent in &status.parents {
            let place = hash(&("route", name, &parent.parent_ref, &parent.controller_name));
            visit(place, &parent.conditions);
        }
    }
}

/// The place of one condition of a list.
fn of(list: u64, condition: &Condition) -> u64 {
    hash(&(list, &condition.type_))
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
