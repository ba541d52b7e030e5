//! Gateway: listeners, the addresses that they serve, and the objects that may attach.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Condition, FromNamespaces, LabelSelector, Listener, ListenerStatus, LocalObjectReference,
    ObjectReference, SecretObjectReference,
};

resource! {
    /// A set of listeners that a controller serves.
    Gateway, "Gateway", "gateways", gateway / "v1", namespaced,
    spec: GatewaySpec, status: GatewayStatus
}

open_enum! {
    /// The type of an address (`AddressType`).
    AddressType {
        /// An IPv4 or IPv6 address.
        IpAddress = "IPAddress",
        /// A DNS name.
        Hostname = "Hostname",
        /// A name that the implementation knows.
        NamedAddress = "NamedAddress",
    }
}

closed_enum! {
    /// Strictness towards client certificates (GEP-91).
    FrontendValidationMode {
        /// A client without a valid certificate is refused.
        AllowValidOnly = "AllowValidOnly",
        /// A client without a valid certificate is let through.
        AllowInsecureFallback = "AllowInsecureFallback",
    }
}

closed_enum! {
    /// Routes that something is the default Gateway for (GEP-3793).
    GatewayDefaultScope {
        /// Every route without a parentRef.
        All = "All",
        /// No route.
        None = "None",
    }
}

/// Wanted state of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Name of the GatewayClass.
    pub gateway_class_name: String,
    /// The listeners, at most 64; names are unique.
    pub listeners: Vec<Listener>,
    /// Addresses to serve on, at most 16; the implementation chooses if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewaySpecAddress>,
    /// Labels, annotations and parameters of the objects that the implementation creates (GEP-1867).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<GatewayInfrastructure>,
    /// ListenerSets that may attach (GEP-1713); none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_listeners: Option<AllowedListeners>,
    /// TLS settings of the whole Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTlsConfig>,
    /// Routes without a parentRef that this is the default Gateway for (GEP-3793).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_scope: Option<GatewayDefaultScope>,
}

/// An address that a Gateway asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpecAddress {
    /// The type of `value`.
    #[serde(rename = "type", default = "ip_address")]
    pub type_: AddressType,
    /// The address; with none, the implementation chooses one of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Network from which it must be reachable: `Cluster`, or `example.com/name` (GEP-5093).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routability: Option<String>,
}

/// Metadata of the objects that the implementation creates for a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayInfrastructure {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Configuration of this Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<LocalObjectReference>,
}

/// ListenerSets that may attach to a Gateway (GEP-1713).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedListeners {
    /// Their namespaces.
    #[serde(default)]
    pub namespaces: ListenerNamespaces,
}

/// Namespaces of ListenerSets that may attach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerNamespaces {
    /// The namespaces, as a choice.
    #[serde(default = "no_namespaces")]
    pub from: FromNamespaces,
    /// Labels of the namespaces, for `Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// TLS settings of a whole Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayTlsConfig {
    /// Towards backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<GatewayBackendTls>,
    /// Towards clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<FrontendTlsConfig>,
}

/// The client certificate that the Gateway shows to backends (GEP-3155).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayBackendTls {
    /// The Gateway's own client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretObjectReference>,
}

/// Checks of client certificates, per port (GEP-91).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsConfig {
    /// For every HTTPS port that `perPort` does not name.
    pub default: TlsConfig,
    /// For single ports; each port once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_port: Vec<TlsPortConfig>,
}

/// The settings for one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsPortConfig {
    /// The port.
    pub port: u16,
    /// Its settings.
    pub tls: TlsConfig,
}

/// Checks of the client certificates of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsConfig {
    /// Client certificates; not asked for if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<FrontendTlsValidation>,
}

/// Checks of client certificates (GEP-91).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsValidation {
    /// ConfigMaps (key `ca.crt`), or ClusterTrustBundles, with the authorities to trust.
    pub ca_certificate_refs: Vec<ObjectReference>,
    /// Strictness of the check.
    #[serde(default = "valid_only")]
    pub mode: FrontendValidationMode,
}

/// Reported state of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Addresses that are served, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewayStatusAddress>,
    /// `Accepted`, `Programmed`, `ResolvedRefs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The listeners of the spec; those of ListenerSets are reported there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
    /// Number of attached ListenerSets with at least one valid listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached_listener_sets: Option<i32>,
}

/// An address that a Gateway serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatusAddress {
    /// The type of `value`.
    #[serde(rename = "type", default = "ip_address")]
    pub type_: AddressType,
    /// The address.
    pub value: String,
    /// Network from which it is reachable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routability: Option<String>,
}

impl Default for ListenerNamespaces {
    fn default() -> Self {
        Self { from: FromNamespaces::None, selector: None }
    }
}

fn ip_address() -> AddressType {
    AddressType::IpAddress
}

fn no_namespaces() -> FromNamespaces {
    FromNamespaces::None
}

fn valid_only() -> FrontendValidationMode {
    FrontendValidationMode::AllowValidOnly
}
