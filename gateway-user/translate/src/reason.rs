//! Reasons of conditions, as the Gateway API spells them (apis/v1 of v1.7.0), and how a condition is made.

use std::fmt;

use gateway_api_types::{Condition, ConditionStatus};

pub(crate) use crate::condition_type as kind;
use crate::diagnostics::ConfigError;

/// Of our own, with `sluice.dev/SettingsApplied`, which is then false.
pub(crate) const ABOVE_MAXIMUM: &str = "AboveMaximum";
pub(crate) const ACCEPTED: &str = "Accepted";
pub(crate) const ADDRESS_NOT_ASSIGNED: &str = "AddressNotAssigned";
pub(crate) const ADDRESS_NOT_USABLE: &str = "AddressNotUsable";
/// Of our own, with `sluice.dev/SettingsApplied`.
pub(crate) const APPLIED: &str = "Applied";
pub(crate) const BACKEND_NOT_FOUND: &str = "BackendNotFound";
/// Of our own, with `Accepted`: every host of the route is another namespace's.
pub(crate) const HOST_OWNED_BY_OTHER_NAMESPACE: &str = "HostOwnedByOtherNamespace";
pub(crate) const CONFIGURATION_CHANGED: &str = "ConfigurationChanged";
pub(crate) const CONFLICTED: &str = "Conflicted";
/// Of our own, with `DefaultGateway`: GEP-3793 names none.
pub(crate) const DEFAULT_SCOPE: &str = "DefaultScope";
pub(crate) const HOSTNAME_CONFLICT: &str = "HostnameConflict";
pub(crate) const INCOMPATIBLE_FILTERS: &str = "IncompatibleFilters";
pub(crate) const INVALID: &str = "Invalid";
pub(crate) const INVALID_CA_CERTIFICATE_KIND: &str = "InvalidCACertificateKind";
pub(crate) const INVALID_CA_CERTIFICATE_REF: &str = "InvalidCACertificateRef";
pub(crate) const INVALID_CERTIFICATE_REF: &str = "InvalidCertificateRef";
pub(crate) const INVALID_CLIENT_CERTIFICATE_REF: &str = "InvalidClientCertificateRef";
pub(crate) const INVALID_KIND: &str = "InvalidKind";
pub(crate) const INVALID_PARAMETERS: &str = "InvalidParameters";
pub(crate) const INVALID_ROUTE_KINDS: &str = "InvalidRouteKinds";
/// Of our own, with `sluice.dev/SettingsApplied`, which is then false.
pub(crate) const INVALID_VALUE: &str = "InvalidValue";
pub(crate) const LISTENERS_NOT_RESOLVED: &str = "ListenersNotResolved";
pub(crate) const LISTENERS_NOT_VALID: &str = "ListenersNotValid";
/// Of our own, with `sluice.dev/HostConflict`.
pub(crate) const LOSES_REQUESTS: &str = "LosesRequests";
pub(crate) const NO_CONFLICTS: &str = "NoConflicts";
pub(crate) const NO_MATCHING_LISTENER_HOSTNAME: &str = "NoMatchingListenerHostname";
pub(crate) const NO_MATCHING_PARENT: &str = "NoMatchingParent";
pub(crate) const NO_RESOURCES: &str = "NoResources";
pub(crate) const NO_VALID_CA_CERTIFICATE: &str = "NoValidCACertificate";
pub(crate) const NOT_ALLOWED_BY_LISTENERS: &str = "NotAllowedByListeners";
/// Of our own, with `sluice.dev/Shadowed`.
pub(crate) const OLDER_ROUTE: &str = "OlderRoute";
pub(crate) const NOT_ALLOWED: &str = "NotAllowed";
pub(crate) const PARENT_NOT_ACCEPTED: &str = "ParentNotAccepted";
pub(crate) const PARENT_NOT_PROGRAMMED: &str = "ParentNotProgrammed";
pub(crate) const PENDING: &str = "Pending";
pub(crate) const PORT_UNAVAILABLE: &str = "PortUnavailable";
pub(crate) const PROGRAMMED: &str = "Programmed";
pub(crate) const PROTOCOL_CONFLICT: &str = "ProtocolConflict";
pub(crate) const REF_NOT_PERMITTED: &str = "RefNotPermitted";
pub(crate) const RESOLVED_REFS: &str = "ResolvedRefs";
/// Of our own, with `sluice.dev/HostConflict`.
pub(crate) const RULE_NEVER_REACHED: &str = "RuleNeverReached";
/// Of our own, with `sluice.dev/HostConflict`, which is then false.
pub(crate) const SHARED: &str = "Shared";
pub(crate) const SUPPORTED_VERSION: &str = "SupportedVersion";
/// Of our own, with `sluice.dev/HostConflict`.
pub(crate) const TAKES_REQUESTS: &str = "TakesRequests";
pub(crate) const UNSUPPORTED_ADDRESS: &str = "UnsupportedAddress";
pub(crate) const UNSUPPORTED_PROTOCOL: &str = "UnsupportedProtocol";
pub(crate) const UNSUPPORTED_VALUE: &str = "UnsupportedValue";
/// Of our own, with `sluice.dev/BackendTLS`.
pub(crate) const TOO_MANY_ANCESTORS: &str = "TooManyAncestors";
pub(crate) const TOO_MANY_LISTENERS: &str = "TooManyListeners";
pub(crate) const TARGET_NOT_FOUND: &str = "TargetNotFound";
pub(crate) const UNSUPPORTED_VERSION: &str = "UnsupportedVersion";
/// Of our own, with `sluice.dev/SettingsApplied`, which is then false.
pub(crate) const WITHOUT_EFFECT: &str = "WithoutEffect";

/// Most bytes of a condition's message. The API takes 32,768 characters of each, but a Gateway has four
/// conditions for each of 64 listeners, an HTTPRoute three for each of 32 parents, and etcd takes 1.5 MiB of
/// an object: beyond that no status could be written at all.
const MESSAGE_MAX: usize = 2_048;

/// A condition without a transition time, which only the status writer knows.
pub(crate) fn condition(
    type_: &str,
    status: ConditionStatus,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
) -> Condition {
    let mut message = message.into();
    shorten(&mut message, MESSAGE_MAX);
    Condition {
        type_: type_.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: None,
    }
}

/// Cuts a text that is longer, with a mark where.
pub(crate) fn shorten(text: &mut String, bytes: usize) {
    const MARK: &str = "…";
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes.saturating_sub(MARK.len())));
        text.push_str(MARK);
    }
}

/// Several faults as one message, in order.
pub(crate) fn join_errors<'a>(errors: impl IntoIterator<Item = &'a ConfigError>) -> String {
    list(errors)
}

/// Several texts as one, in order: as many as a condition has room for, and how many more there are, which
/// are only counted.
pub(crate) fn list<T: fmt::Display>(texts: impl IntoIterator<Item = T>) -> String {
    const ROOM_FOR_COUNT: usize = 32;
    let (mut all, mut more) = (String::new(), 0);
    for text in texts {
        if more > 0 {
            more += 1;
            continue;
        }
        let text = text.to_string();
        let fits = all.len() + text.len() + ROOM_FOR_COUNT <= MESSAGE_MAX;
        if !(fits || all.is_empty()) {
            more += 1;
            continue;
        }
        if !all.is_empty() {
            all.push_str("; ");
        }
        all.push_str(&text);
    }
    if more > 0 {
        shorten(&mut all, MESSAGE_MAX - ROOM_FOR_COUNT);
        all.push_str(&format!("; and {more} more"));
    }
    all
}

/// Several messages as one, in order, none twice.
pub(crate) fn join<'a>(messages: impl IntoIterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = Vec::new();
    for message in messages {
        if !all.contains(&message) {
            all.push(message);
        }
    }
    list(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_between_characters_and_says_how_much_is_missing() {
        let mut text = "é".repeat(1_500);
        shorten(&mut text, 100);
        assert!(text.len() <= 100 && text.starts_with('é') && text.ends_with('…'), "{text}");
        let errors: Vec<_> =
            (0..300).map(|n| ConfigError::new(INVALID, format!("f{n}"), "x".repeat(100))).collect();
        let all = join_errors(&errors);
        assert!(all.len() <= MESSAGE_MAX && all.starts_with("f0: ") && all.ends_with(" more"), "{all}");
        let shown = all.matches(": ").count();
        assert!(all.ends_with(&format!("; and {} more", 300 - shown)), "{all}");
        let one = list(["y".repeat(5_000)]);
        let status = condition("T", ConditionStatus::True, "R", one, None);
        assert!(status.message.len() <= MESSAGE_MAX);
        assert_eq!(list(["a".to_owned(), "b".to_owned()]), "a; b");
    }
}
