//! GatewayClass: the controller of the Gateways that name it.

use serde::{Deserialize, Serialize};

use super::{Condition, ParametersReference};

resource! {
    /// A kind of Gateway and the controller behind it.
    GatewayClass, "GatewayClass", "gatewayclasses", gateway / "v1", cluster,
    spec: GatewayClassSpec, status: GatewayClassStatus
}

/// Wanted state of a GatewayClass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    /// The controller, as `example.com/gateway`; cannot be changed.
    pub controller_name: String,
    /// Configuration of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<ParametersReference>,
    /// Text for people, at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Reported state of a GatewayClass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassStatus {
    /// `Accepted`, `SupportedVersion`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Features that the class supports, sorted by name (GEP-2162).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_features: Vec<SupportedFeature>,
}

/// One feature of the Gateway API's feature list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SupportedFeature {
    /// Name, such as `HTTPRouteQueryParamMatching`.
    pub name: String,
}
