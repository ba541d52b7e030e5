//! Conditions of ListenerSets.

use gateway_api_types::{Condition, ConditionStatus, ListenerSetStatus, ListenerStatus};

use crate::diagnostics::ConfigError;
use crate::gateway::GatewayState;
use crate::reason::{self, condition, kind};

/// The status of a set before anything is known of the node; `listeners` are those of its listeners.
pub(crate) fn of(set: &GatewayState<'_>, listeners: Vec<ListenerStatus>, waiting: &str) -> ListenerSetStatus {
    let accepted = match &set.refused {
        Some(error) => refusal(kind::ACCEPTED, error.reason, error, set.generation()),
        None => accepted(&listeners, set.generation()),
    };
    let programs = set.listeners.iter().any(|listener| set.programs(listener));
    let programmed = match (&set.refused, set.unassigned.first()) {
        (Some(error), _) => {
            let reason = match error.reason {
                reason::PARENT_NOT_ACCEPTED => reason::PARENT_NOT_PROGRAMMED,
                other => other,
            };
            refusal(kind::PROGRAMMED, reason, error, set.generation())
        }
        (None, Some(error)) => {
            refusal(kind::PROGRAMMED, reason::PARENT_NOT_PROGRAMMED, error, set.generation())
        }
        (None, None) if programs => {
            let status = ConditionStatus::Unknown;
            condition(kind::PROGRAMMED, status, reason::PENDING, waiting, set.generation())
        }
        (None, None) => {
            Condition { type_: kind::PROGRAMMED.to_owned(), ..not_valid(&listeners, set.generation()) }
        }
    };
    ListenerSetStatus { conditions: vec![accepted, programmed], listeners }
}

fn refusal(type_: &str, reason: &str, error: &ConfigError, generation: Option<i64>) -> Condition {
    condition(type_, ConditionStatus::False, reason, error.to_string(), generation)
}

/// `Accepted` of a set that its Gateway lets in: true with one listener that can be served, with the reason `ListenersNotValid`
/// unless all can be.
pub(crate) fn accepted(listeners: &[ListenerStatus], generation: Option<i64>) -> Condition {
    match invalid(listeners).count() {
        0 => {
            let message = "every listener is valid";
            condition(kind::ACCEPTED, ConditionStatus::True, reason::ACCEPTED, message, generation)
        }
        some => {
            let status = if some < listeners.len() { ConditionStatus::True } else { ConditionStatus::False };
            Condition { status, ..not_valid(listeners, generation) }
        }
    }
}

fn not_valid(listeners: &[ListenerStatus], generation: Option<i64>) -> Condition {
    let message = reason::list(invalid(listeners));
    condition(kind::ACCEPTED, ConditionStatus::False, reason::LISTENERS_NOT_VALID, message, generation)
}

/// Listeners that can never be served as they are, each with the reason: not accepted, or without a certificate.
fn invalid(listeners: &[ListenerStatus]) -> impl Iterator<Item = String> {
    listeners.iter().filter_map(|listener| {
        let is_false = |one: &&Condition| one.status == ConditionStatus::False;
        let of = |type_: &str| listener.conditions.iter().find(|one| one.type_ == type_).filter(is_false);
        let unresolved = || {
            let programmed = of(kind::PROGRAMMED).filter(|one| one.reason == reason::INVALID);
            of(kind::RESOLVED_REFS).filter(|_| programmed.is_some())
        };
        let wrong = of(kind::ACCEPTED).or_else(unresolved)?;
        Some(format!("listener {:?}: {}", listener.name, wrong.message))
    })
}

/// `Programmed` once the nodes have reported: true if any listener is served.
pub(crate) fn programmed(listeners: &[ListenerStatus], generation: Option<i64>) -> Condition {
    let find = |listener: &ListenerStatus| {
        listener.conditions.iter().find(|one| one.type_ == kind::PROGRAMMED).cloned()
    };
    let is_served = |one: &ListenerStatus| find(one).is_some_and(|one| one.status == ConditionStatus::True);
    let others: Vec<_> =
        listeners.iter().filter(|one| !is_served(one)).map(|one| format!("{:?}", one.name)).collect();
    let of = |status, reason: &str, message: String| {
        condition(kind::PROGRAMMED, status, reason, message, generation)
    };
    if others.is_empty() {
        return of(ConditionStatus::True, reason::PROGRAMMED, "every listener is served".to_owned());
    }
    if others.len() < listeners.len() {
        let message = format!("served but for listeners {}", others.join(", "));
        return of(ConditionStatus::True, reason::PROGRAMMED, message);
    }
    let first = |reason: &str| listeners.iter().filter_map(find).find(|one| one.reason == reason);
    match (first(reason::PORT_UNAVAILABLE), first(reason::ADDRESS_NOT_USABLE)) {
        (Some(port), _) => of(ConditionStatus::False, reason::PORT_UNAVAILABLE, port.message),
        // Addresses are the Gateway's.
        (None, Some(address)) => of(ConditionStatus::False, reason::PARENT_NOT_PROGRAMMED, address.message),
        (None, None) => {
            of(ConditionStatus::False, reason::LISTENERS_NOT_VALID, reason::list(invalid(listeners)))
        }
    }
}
