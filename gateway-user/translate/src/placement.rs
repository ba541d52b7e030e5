//! The nodes on which each Gateway is served.

use std::collections::BTreeMap;

use gateway_api_types::ResourceSet;
use gateway_ir::{ObjectName, Placement};

use crate::Severity;
use crate::diagnostics::Diagnostics;
use crate::gateway::GatewayState;
use crate::{parameters, view};

/// Placement of the Gateways that are served at all.
pub(crate) fn of(resources: &ResourceSet, gateways: &[GatewayState<'_>]) -> Placement {
    let placed = gateways.iter().filter(|one| one.refused.is_none() && !one.nodes.is_any());
    let placed: BTreeMap<_, _> = placed.map(|one| (one.name.clone(), one.nodes.clone())).collect();
    Placement::new(placed, parameters::nodes(resources))
}

/// Says which Gateways no node serves.
pub(crate) fn tell(placement: &Placement, diagnostics: &mut Diagnostics) {
    for gateway in placement.gateways.keys().filter(|name| placement.is_nowhere(name)) {
        let message = served_nowhere(placement, gateway);
        diagnostics.push(Severity::Warning, &view::gateway_ref(gateway), "", &message);
    }
}

/// The message of a Gateway that no node serves.
pub(crate) fn served_nowhere(placement: &Placement, gateway: &ObjectName) -> String {
    match placement.nodes.is_empty() {
        true => no_node(placement, gateway, "there is no Node object, so none has"),
        false => no_node(placement, gateway, "no Node has"),
    }
}

/// The message of a Gateway that none of those serves, as `those` begins to say.
pub(crate) fn no_node(placement: &Placement, gateway: &ObjectName, those: &str) -> String {
    let wanted = placement.gateways.get(gateway).map(ToString::to_string).unwrap_or_default();
    format!(
        "served nowhere: {those} the labels that its GatewayConfig asks for ({wanted}); label a node, or edit \
         spec.nodes there"
    )
}
