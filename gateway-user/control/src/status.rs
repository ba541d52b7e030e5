//! Conditions get the time at which they last changed.

use std::collections::BTreeMap;

use gateway_api_types::Condition;
use gateway_translate::StatusSet;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Gives every condition of `next` its `lastTransitionTime`: that of the same condition in `previous` if its `status`
/// is the same, else `now` (Kubernetes API conventions, "typical status properties").
pub fn stamp(previous: &StatusSet, next: &mut StatusSet, now: Timestamp) {
    let known = times(previous);
    each_list(next, &mut |place, conditions| {
        for condition in conditions {
            let before = known.get(&(place.to_owned(), condition.type_.clone()));
            let since =
                before.filter(|(status, _)| *status == condition.status).and_then(|(_, time)| time.clone());
            condition.last_transition_time = Some(since.unwrap_or(Time(now)));
        }
    });
}

type Known = BTreeMap<(String, String), (gateway_api_types::ConditionStatus, Option<Time>)>;

fn times(set: &StatusSet) -> Known {
    let mut known = Known::new();
    each_list(&mut set.clone(), &mut |place, conditions| {
        for condition in conditions {
            let entry = (condition.status, condition.last_transition_time.clone());
            known.insert((place.to_owned(), condition.type_.clone()), entry);
        }
    });
    known
}

/// Calls `visit` with every list of conditions and a name for its place.
fn each_list(set: &mut StatusSet, visit: &mut dyn FnMut(&str, &mut Vec<Condition>)) {
    for (name, status) in &mut set.gateway_classes {
        visit(&format!("class {name}"), &mut status.conditions);
    }
    for (name, status) in &mut set.gateways {
        visit(&format!("gateway {name}"), &mut status.conditions);
        for listener in &mut status.listeners {
            visit(&format!("gateway {name} {}", listener.name), &mut listener.conditions);
        }
    }
    for (name, status) in &mut set.http_routes {
        for parent in &mut status.parents {
            let place = format!("route {name} {:?} {}", parent.parent_ref, parent.controller_name);
            visit(&place, &mut parent.conditions);
        }
    }
}
