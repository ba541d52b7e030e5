//! XBackend: a destination that is no Service (GEP-4894).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    BackendTlsPolicyValidation, Condition, ParentReference, SecretObjectReference, SessionPersistence,
};

resource! {
    /// A destination outside the cluster, or pods by label.
    XBackend, "XBackend", "xbackends", experimental / "v1alpha1", namespaced,
    spec: XBackendSpec, status: XBackendStatus
}

closed_enum! {
    /// The type of an XBackend.
    BackendType {
        /// A DNS name outside the cluster.
        ExternalHostname = "ExternalHostname",
        /// Pods by label.
        EndpointSelector = "EndpointSelector",
    }
}

closed_enum! {
    /// The protocol of an XBackend.
    BackendProtocol {
        /// TCP.
        Tcp = "TCP",
        /// HTTP, version by negotiation.
        Http = "HTTP",
        /// HTTP/2 over TLS.
        Http2 = "HTTP2",
        /// HTTP/1.1.
        Http11 = "HTTP11",
        /// HTTP/2 in clear text.
        H2c = "H2C",
        /// Model Context Protocol.
        Mcp = "MCP",
        /// gRPC.
        Grpc = "GRPC",
        /// WebSocket over TLS.
        Wss = "WSS",
    }
}

closed_enum! {
    /// The sides that show a certificate.
    BackendTlsMode {
        /// Nobody: no TLS.
        None = "None",
        /// The backend.
        ServerOnly = "ServerOnly",
        /// Both.
        ClientAndServer = "ClientAndServer",
    }
}

/// Wanted state of an XBackend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendSpec {
    /// Its type.
    #[serde(rename = "type")]
    pub type_: BackendType,
    /// For `ExternalHostname`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_hostname: Option<ExternalHostnameBackend>,
    /// For `EndpointSelector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_selector: Option<EndpointSelectorBackend>,
    /// Where it listens.
    pub port: BackendPort,
    /// Its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<BackendProtocol>,
    /// TLS towards it.
    #[serde(default)]
    pub tls: BackendTls,
    /// Keeps sessions on one endpoint; for `EndpointSelector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
}

/// A DNS name outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalHostnameBackend {
    /// The name.
    pub hostname: String,
}

/// Pods by label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSelectorBackend {
    /// Label values that must be equal, all of them.
    pub match_labels: BTreeMap<String, String>,
}

/// Where an XBackend listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendPort {
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u16>,
}

/// TLS towards an XBackend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTls {
    /// The sides that show a certificate.
    pub mode: BackendTlsMode,
    /// Checks of the backend's certificate; present unless `mode` is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<BackendTlsPolicyValidation>,
    /// Our certificate, for `ClientAndServer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretObjectReference>,
}

/// Reported state of an XBackend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendStatus {
    /// One entry per ancestor and controller, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<XBackendAncestorStatus>,
}

/// The status of an XBackend at one ancestor, by one controller. Unlike a policy's, its conditions may be
/// absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendAncestorStatus {
    /// The ancestor.
    pub ancestor_ref: ParentReference,
    /// The controller that wrote it.
    pub controller_name: String,
    /// `Accepted`, `ResolvedRefs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl Default for BackendTls {
    fn default() -> Self {
        Self { mode: BackendTlsMode::None, validation: None, client_certificate_ref: None }
    }
}
