//! Gateways, and sets of them, that no node serves.

use gateway_api_types::{Condition, ConditionStatus, GatewayStatus, ListenerSetStatus};

use crate::reason::{self, condition, kind};

/// Says that no node serves a Gateway, wherever it would be served if there were one.
pub(crate) fn nowhere(status: &mut GatewayStatus, message: String) {
    let listeners = status.listeners.iter_mut();
    listeners.for_each(|listener| not_programmed(&mut listener.conditions, reason::PENDING, &message));
    not_programmed(&mut status.conditions, reason::NO_RESOURCES, &message);
}

/// Says the same of a set.
pub(crate) fn set_nowhere(status: &mut ListenerSetStatus, message: String) {
    let listeners = status.listeners.iter_mut();
    listeners.for_each(|listener| not_programmed(&mut listener.conditions, reason::PENDING, &message));
    not_programmed(&mut status.conditions, reason::PARENT_NOT_PROGRAMMED, &message);
}

fn not_programmed(conditions: &mut [Condition], reason: &str, message: &str) {
    let waiting = conditions
        .iter_mut()
        .filter(|one| one.type_ == kind::PROGRAMMED && one.status == ConditionStatus::Unknown);
    for one in waiting {
        let generation = one.observed_generation;
        *one = condition(kind::PROGRAMMED, ConditionStatus::False, reason, message, generation);
    }
}
