//! Listeners, as Gateways and ListenerSets hold them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gateway_group;
use super::{Condition, ExternalAuthFilter, LabelSelector, LocalObjectReference, SecretObjectReference};

open_enum! {
    /// The protocol of a listener (`ProtocolType`).
    ProtocolType {
        /// HTTP/1.1 and HTTP/2 in clear text.
        Http = "HTTP",
        /// HTTP over TLS, terminated here.
        Https = "HTTPS",
        /// TLS, passed through or terminated.
        Tls = "TLS",
        /// TCP.
        Tcp = "TCP",
        /// UDP.
        Udp = "UDP",
    }
}

closed_enum! {
    /// The end of a TLS session.
    TlsMode {
        /// The listener.
        Terminate = "Terminate",
        /// The backend; only the ClientHello is read here.
        Passthrough = "Passthrough",
    }
}

closed_enum! {
    /// Namespaces that something may attach from.
    FromNamespaces {
        /// Any.
        All = "All",
        /// Those whose labels the selector matches.
        Selector = "Selector",
        /// The object's own.
        Same = "Same",
        /// None (ListenerSets only).
        None = "None",
    }
}

closed_enum! {
    /// The kind of a listener filter.
    ListenerFilterType {
        /// Asks an authorization service.
        ExternalAuth = "ExternalAuth",
        /// The definition in the named object.
        ExtensionRef = "ExtensionRef",
    }
}

/// A port and protocol to serve, for a hostname or for all. The same in a Gateway and in a ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Unique within the object.
    pub name: String,
    /// Host to serve, maybe with `*.` in front; every host if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Port to serve, 1 to 65535.
    pub port: u16,
    /// The protocol spoken on it.
    pub protocol: ProtocolType,
    /// Certificates and mode; for HTTPS and TLS only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTlsConfig>,
    /// Routes that may attach.
    #[serde(default)]
    pub allowed_routes: AllowedRoutes,
    /// Filters of a request before it is routed (GEP-5224).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<ListenerFilters>,
}

/// TLS settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTlsConfig {
    /// The end of the TLS session.
    #[serde(default = "terminate")]
    pub mode: TlsMode,
    /// Secrets with certificate and key; the first is the one to serve without SNI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_refs: Vec<SecretObjectReference>,
    /// Implementation-specific settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Routes that may attach to a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedRoutes {
    /// Their namespaces.
    #[serde(default)]
    pub namespaces: RouteNamespaces,
    /// Their kinds; those of the protocol if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<RouteGroupKind>,
}

/// Namespaces of routes that may attach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteNamespaces {
    /// The namespaces, as a choice; `None` is not allowed here.
    #[serde(default = "same")]
    pub from: FromNamespaces,
    /// Labels of the namespaces, for `Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// A kind of route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteGroupKind {
    /// API group.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// The kind.
    pub kind: String,
}

/// Filters that run before routing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerFilters {
    /// For requests, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<ListenerRequestFilter>,
}

/// One filter that runs before routing; the field that `type` names is present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerRequestFilter {
    /// The kind of filter.
    #[serde(rename = "type")]
    pub type_: ListenerFilterType,
    /// For `ExternalAuth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<ExternalAuthFilter>,
    /// For `ExtensionRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
}

/// Reported state of one listener, in a Gateway and in a ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Name of the listener.
    pub name: String,
    /// Kinds of routes that may attach: those asked for, less those not supported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_kinds: Vec<RouteGroupKind>,
    /// Number of routes attached, those with references that do not resolve included.
    pub attached_routes: i32,
    /// `Accepted`, `Programmed`, `ResolvedRefs`, `Conflicted`, `OverlappingTLSConfig`.
    pub conditions: Vec<Condition>,
}

impl Default for RouteNamespaces {
    fn default() -> Self {
        Self { from: FromNamespaces::Same, selector: None }
    }
}

fn terminate() -> TlsMode {
    TlsMode::Terminate
}

fn same() -> FromNamespaces {
    FromNamespaces::Same
}
