//! GatewayConfig: settings of Gateways beyond the Gateway API. Its definition is ours (`deploy/crds`).

use serde::{Deserialize, Serialize};

use super::LabelSelector;

resource! {
    /// Settings of the Gateways whose `infrastructure.parametersRef`, or whose GatewayClass's `parametersRef`, names it.
    GatewayConfig, "GatewayConfig", "gatewayconfigs", sluice / "v1alpha1", namespaced,
    spec: GatewayConfigSpec
}

/// The settings. `settings` is a Gateway's own, `defaults` and `maxima` are a GatewayClass's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayConfigSpec {
    /// Labels of the nodes on which the Gateways are served; all nodes if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<LabelSelector>,
    /// The values of the Gateways that name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<GatewaySettings>,
    /// Values of the class's Gateways that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<GatewaySettings>,
    /// The largest values of the class's Gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxima: Option<GatewaySettings>,
    /// Always absent: a rule of the definition refuses it and says where workers are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<i64>,
}

/// Values by setting. Durations are Gateway API durations (GEP-2257) above zero. Each is the flag of `sluice run` of its name,
/// such as `--client-idle-timeout`; `maxRequestTimeout` has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySettings {
    /// From the first byte of a request until its head is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_header_timeout: Option<String>,
    /// Between two requests of a client's connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_idle_timeout: Option<String>,
    /// Silence of a client in the middle of a request's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_body_timeout: Option<String>,
    /// Time in which a client takes no byte of its response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_send_timeout: Option<String>,
    /// From a request's head to the end of its response, where its route sets no `timeouts.request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<String>,
    /// The same at most, whatever its route sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_request_timeout: Option<String>,
    /// From the request sent to the end of the backend's response head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_response_timeout: Option<String>,
    /// Silence of a backend in the middle of a response's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_body_timeout: Option<String>,
    /// Silence of either side of a gRPC call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_idle_timeout: Option<String>,
    /// Silence of both sides of an upgraded connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_idle_timeout: Option<String>,
    /// Bytes of a request's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_header_bytes: Option<i64>,
    /// Fields of a request's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_headers: Option<i64>,
    /// Requests are written to the access log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<bool>,
}
