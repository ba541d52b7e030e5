//! Since when each condition has its status.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher as _};
use std::sync::Arc;

use gateway_api_types::{Condition, ConditionStatus, ListenerStatus, RouteStatus};
use gateway_ir::DiffItem;
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

    /// The times for `set`, where these are those of `before`: themselves, if no condition came, went or changed its status.
    /// That is so for most edits of a route, and takes no hash of any name.
    #[must_use]
    pub fn after(self: &Arc<Self>, before: &StatusSet, set: &StatusSet, now: Timestamp) -> Arc<Self> {
        if are_same(before, set) { Arc::clone(self) } else { Arc::new(self.follow(set, now)) }
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
        for (name, status) in &mut set.listener_sets {
            date(hash(&("set", name)), &mut status.conditions);
            for listener in &mut status.listeners {
                date(hash(&("set listener", name, &listener.name)), &mut listener.conditions);
            }
        }
        let dated = set.routes.iter().map(|(name, status)| {
            let mut status = RouteStatus::clone(status);
            for parent in &mut status.parents {
                let place = hash(&("route", name, &parent.parent_ref, &parent.controller_name));
                date(place, &mut parent.conditions);
            }
            (name.clone(), Arc::new(status))
        });
        set.routes = dated.collect();
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
    for (name, status) in &set.listener_sets {
        visit(hash(&("set", name)), &status.conditions);
        for listener in &status.listeners {
            visit(hash(&("set listener", name, &listener.name)), &listener.conditions);
        }
    }
    for (name, status) in set.routes.iter() {
        for parent in &status.parents {
            let place = hash(&("route", name, &parent.parent_ref, &parent.controller_name));
            visit(place, &parent.conditions);
        }
    }
}

/// True if both have the same conditions with the same statuses, whatever else they say.
fn are_same(one: &StatusSet, other: &StatusSet) -> bool {
    let classes = alike(&one.gateway_classes, &other.gateway_classes, |one, other| {
        same_statuses(&one.conditions, &other.conditions)
    });
    let gateways = alike(&one.gateways, &other.gateways, |one, other| {
        same_statuses(&one.conditions, &other.conditions) && same_listeners(&one.listeners, &other.listeners)
    });
    let sets = alike(&one.listener_sets, &other.listener_sets, |one, other| {
        same_statuses(&one.conditions, &other.conditions) && same_listeners(&one.listeners, &other.listeners)
    });
    let is_same = |one: &RouteStatus, other: &RouteStatus| {
        one.parents.len() == other.parents.len()
            && one.parents.iter().zip(&other.parents).all(|(one, other)| {
                one.parent_ref == other.parent_ref
                    && one.controller_name == other.controller_name
                    && same_statuses(&one.conditions, &other.conditions)
            })
    };
    let mut routes = one.routes.diff(&other.routes).map(|difference| match difference {
        DiffItem::Update { old: (_, old), new: (_, new) } => is_same(old, new),
        DiffItem::Add(..) | DiffItem::Remove(..) => false,
    });
    classes && gateways && sets && routes.all(|same| same)
}

/// True if two maps have the same keys with values that are alike.
fn alike<K: Ord, V>(one: &BTreeMap<K, V>, other: &BTreeMap<K, V>, same: impl Fn(&V, &V) -> bool) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((name, one), (key, other))| name == key && same(one, other))
}

fn same_listeners(one: &[ListenerStatus], other: &[ListenerStatus]) -> bool {
    let same = |(one, other): (&ListenerStatus, &ListenerStatus)| {
        one.name == other.name && same_statuses(&one.conditions, &other.conditions)
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

fn same_statuses(one: &[Condition], other: &[Condition]) -> bool {
    let same =
        |(one, other): (&Condition, &Condition)| one.type_ == other.type_ && one.status == other.status;
    one.len() == other.len() && one.iter().zip(other).all(same)
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

#[cfg(test)]
mod tests {
    use gateway_ir::{ObjectName, RouteId, RouteKind};
    use serde_json::{Value, json};

    use super::*;

    /// Name and status, of conditions and of listeners.
    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn conditions(all: Pairs<'_>) -> Value {
        let one = |(type_, status): &(&str, &str)| json!({"type": type_, "status": status, "reason": "R", "message": "", "observedGeneration": 1});
        all.iter().map(one).collect()
    }

    /// One object of each kind; listeners and routes by name, each with its condition's status.
    fn set(class: &str, listeners: Pairs<'_>, routes: &[(&str, &str, Pairs<'_>)]) -> StatusSet {
        let mut set = StatusSet::default();
        let status = json!({"conditions": conditions(&[("Accepted", class)])});
        set.gateway_classes.insert("c".into(), serde_json::from_value(status).unwrap());
        let listeners: Vec<_> = listeners
            .iter()
            .map(|(name, status)| {
                let conditions = conditions(&[("Programmed", status)]);
                json!({"name": name, "supportedKinds": [], "attachedRoutes": 0, "conditions": conditions})
            })
            .collect();
        let status = json!({"conditions": conditions(&[("Accepted", "True")]), "listeners": listeners});
        set.gateways.insert(ObjectName::new("a", "g"), serde_json::from_value(status).unwrap());
        let routes = routes.iter().map(|(name, parent, all)| {
            let parent = json!({"parentRef": {"name": parent}, "controllerName": "x/y", "conditions": conditions(all)});
            let id = RouteId { kind: RouteKind::HTTPRoute, object: ObjectName::new("a", *name) };
            (id, Arc::new(serde_json::from_value(json!({"parents": [parent]})).unwrap()))
        });
        set.routes = routes.collect();
        set
    }

    #[test]
    fn times_are_the_same_where_no_condition_is_another_and_else_as_counted_anew() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let base = set("True", &[("l", "True")], &[("r", "g", &[("Accepted", "True")])]);
        let since = Arc::new(Since::default().follow(&base, at(1)));
        let mut reworded = base.clone();
        let routes = base.routes.iter().map(|(id, route)| {
            let mut route = RouteStatus::clone(route);
            let condition = &mut route.parents[0].conditions[0];
            (condition.observed_generation, condition.message) = (Some(2), "moved".to_owned());
            (id.clone(), Arc::new(route))
        });
        reworded.routes = routes.collect();
        for same in [&base, &reworded] {
            assert!(Arc::ptr_eq(&since.after(&base, same, at(2)), &since));
        }
        for other in [
            set("False", &[("l", "True")], &[("r", "g", &[("Accepted", "True")])]),
            set("True", &[("l", "False")], &[("r", "g", &[("Accepted", "True")])]),
            set("True", &[("m", "True")], &[("r", "g", &[("Accepted", "True")])]),
            set("True", &[], &[("r", "g", &[("Accepted", "True")])]),
            set("True", &[("l", "True")], &[("r", "g", &[("Accepted", "Unknown")])]),
            set("True", &[("l", "True")], &[("r", "g", &[("ResolvedRefs", "True")])]),
            set("True", &[("l", "True")], &[("r", "g", &[("Accepted", "True"), ("ResolvedRefs", "True")])]),
            set("True", &[("l", "True")], &[("r", "h", &[("Accepted", "True")])]),
            set("True", &[("l", "True")], &[("s", "g", &[("Accepted", "True")])]),
            set("True", &[("l", "True")], &[]),
            StatusSet::default(),
        ] {
            let after = since.after(&base, &other, at(2));
            assert_eq!(*after, since.follow(&other, at(2)));
            assert_ne!(*after, *since, "{other:?}");
        }
    }
}
