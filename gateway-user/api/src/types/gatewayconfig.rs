//! GatewayConfig: settings of Gateways beyond the Gateway API. Its definition is ours (`deploy/crds`).

use serde::{Deserialize, Serialize};

use super::LabelSelector;

resource! {
    /// Settings of the Gateways whose `infrastructure.parametersRef`, or whose GatewayClass's `parametersRef`, names it.
    GatewayConfig, "GatewayConfig", "gatewayconfigs", sluice / "v1alpha1", namespaced,
    spec: GatewayConfigSpec
}

/// The settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayConfigSpec {
    /// Labels of the nodes on which the Gateways are served; all nodes if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<LabelSelector>,
}
