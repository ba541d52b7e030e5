//! Condition types and reasons, as the Gateway API spells them (apis/v1 of v1.7.0), and how a condition is made.

use gateway_api_types::{Condition, ConditionStatus};

use crate::findings::Fault;

/// Condition types.
pub(crate) mod kind {
    pub(crate) const ACCEPTED: &str = "Accepted";
    pub(crate) const CONFLICTED: &str = "Conflicted";
    pub(crate) const PARTIALLY_INVALID: &str = "PartiallyInvalid";
    pub(crate) const PROGRAMMED: &str = "Programmed";
    pub(crate) const RESOLVED_REFS: &str = "ResolvedRefs";
    pub(crate) const SUPPORTED_VERSION: &str = "SupportedVersion";
}

pub(crate) const ACCEPTED: &str = "Accepted";
pub(crate) const ADDRESS_NOT_ASSIGNED: &str = "AddressNotAssigned";
pub(crate) const ADDRESS_NOT_USABLE: &str = "AddressNotUsable";
pub(crate) const BACKEND_NOT_FOUND: &str = "BackendNotFound";
pub(crate) const HOSTNAME_CONFLICT: &str = "HostnameConflict";
pub(crate) const INCOMPATIBLE_FILTERS: &str = "IncompatibleFilters";
pub(crate) const INVALID: &str = "Invalid";
pub(crate) const INVALID_CERTIFICATE_REF: &str = "InvalidCertificateRef";
pub(crate) const INVALID_KIND: &str = "InvalidKind";
pub(crate) const INVALID_PARAMETERS: &str = "InvalidParameters";
pub(crate) const INVALID_ROUTE_KINDS: &str = "InvalidRouteKinds";
pub(crate) const LISTENERS_NOT_RESOLVED: &str = "ListenersNotResolved";
pub(crate) const LISTENERS_NOT_VALID: &str = "ListenersNotValid";
pub(crate) const NO_CONFLICTS: &str = "NoConflicts";
pub(crate) const NO_MATCHING_LISTENER_HOSTNAME: &str = "NoMatchingListenerHostname";
pub(crate) const NO_MATCHING_PARENT: &str = "NoMatchingParent";
pub(crate) const NOT_ALLOWED_BY_LISTENERS: &str = "NotAllowedByListeners";
pub(crate) const PENDING: &str = "Pending";
pub(crate) const PORT_UNAVAILABLE: &str = "PortUnavailable";
pub(crate) const PROGRAMMED: &str = "Programmed";
pub(crate) const PROTOCOL_CONFLICT: &str = "ProtocolConflict";
pub(crate) const REF_NOT_PERMITTED: &str = "RefNotPermitted";
pub(crate) const RESOLVED_REFS: &str = "ResolvedRefs";
pub(crate) const SUPPORTED_VERSION: &str = "SupportedVersion";
pub(crate) const UNSUPPORTED_ADDRESS: &str = "UnsupportedAddress";
pub(crate) const UNSUPPORTED_PROTOCOL: &str = "UnsupportedProtocol";
pub(crate) const UNSUPPORTED_VALUE: &str = "UnsupportedValue";
pub(crate) const UNSUPPORTED_VERSION: &str = "UnsupportedVersion";

/// `metav1.Condition.message` holds at most this many characters.
const MESSAGE_MAX: usize = 32_768;

/// A condition without a transition time, which only the status writer knows.
pub(crate) fn condition(
    type_: &str,
    status: ConditionStatus,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
) -> Condition {
    let mut message = message.into();
    if let Some((cut, _)) = message.char_indices().nth(MESSAGE_MAX) {
        message.truncate(cut);
    }
    Condition {
        type_: type_.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: None,
    }
}

/// Several faults as one message, in order.
pub(crate) fn join_faults<'a>(faults: impl IntoIterator<Item = &'a Fault>) -> String {
    faults.into_iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Several messages as one, in order, none twice.
pub(crate) fn join<'a>(messages: impl IntoIterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = Vec::new();
    for message in messages {
        if !all.contains(&message) {
            all.push(message);
        }
    }
    all.join("; ")
}
