//! Condition types: those of the Gateway API that are written (apis/v1 of v1.7.0), and Sluice's own.

/// Accepted.
pub const ACCEPTED: &str = "Accepted";
/// Of our own, on a Gateway: false if there is a BackendTLSPolicy that it must not use.
pub const BACKEND_TLS: &str = "sluice.dev/BackendTLS";
/// Of a listener: another one has its port and hostname.
pub const CONFLICTED: &str = "Conflicted";
/// Of a Gateway: routes get it without naming it (GEP-3793).
pub const DEFAULT_GATEWAY: &str = "DefaultGateway";
/// Of our own, on a route's parent: relations to routes of others on its hosts.
pub const HOST_CONFLICT: &str = "sluice.dev/HostConflict";
/// Of our own, on a Gateway: false if it has not what its infrastructure asks for.
pub const INFRASTRUCTURE: &str = "sluice.dev/Infrastructure";
/// Of a Gateway: clients are let in without the valid certificate that they are asked for (GEP-91).
pub const INSECURE_FRONTEND_VALIDATION_MODE: &str = "InsecureFrontendValidationMode";
/// Of a route's parent: some of its rules are not served.
pub const PARTIALLY_INVALID: &str = "PartiallyInvalid";
/// Served by every node.
pub const PROGRAMMED: &str = "Programmed";
/// Every reference leads somewhere and is granted.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// Of our own, on a Gateway and a GatewayClass: true if the settings of their GatewayConfigs are in force as written.
pub const SETTINGS_APPLIED: &str = "sluice.dev/SettingsApplied";
/// Of our own, on a route's parent: another route has all connections of a listener, or of a host of it.
pub const SHADOWED: &str = "sluice.dev/Shadowed";
/// Of a GatewayClass: its definitions are of a version that is known.
pub const SUPPORTED_VERSION: &str = "SupportedVersion";

/// True if a condition of this type tells of a fault by being true; others do so by not being true.
pub fn is_fault_if_true(type_: &str) -> bool {
    matches!(
        type_,
        CONFLICTED | HOST_CONFLICT | INSECURE_FRONTEND_VALIDATION_MODE | PARTIALLY_INVALID | SHADOWED
    )
}
