//! Leftovers: objects that are valid and do nothing.

use gateway_api_types::{Kind, ObjectKey};
use gateway_ir::Serve;

use crate::Severity;
use crate::diagnostics::{Diagnostics, ObjectRef};
use crate::gateway::GatewayState;
use crate::view::{self, View};

/// Kinds that can be written and are not served.
const NOT_SERVED: [Kind; 4] =
    [Kind::XBackend, Kind::XBackendTrafficPolicy, Kind::XMesh, Kind::XTelemetryPolicy];

const NO_EFFECT: &str = "the kind is not supported; it has no effect";

/// Says what has no effect.
pub(crate) fn find(view: &View<'_>, gateways: &[GatewayState<'_>], diagnostics: &mut Diagnostics) {
    for kind in NOT_SERVED {
        for key in keys(view, kind) {
            let object = ObjectRef { kind, key: key.clone() };
            diagnostics.push(Severity::Warning, &object, "", NO_EFFECT);
        }
    }
    for gateway in gateways {
        for listener in gateway.listeners.iter().filter(|listener| gateway.serves(listener)) {
            if listener.attached_routes == 0 {
                let fate = match listener.serve {
                    Some(Serve::Udp) => "datagrams are dropped",
                    Some(serve) if serve.takes_connections() => "connections are reset",
                    _ => "requests are answered with 404",
                };
                let message = format!("no route is attached to listener {:?}; {fate}", listener.spec.name);
                diagnostics.push(Severity::Note, &gateway.key.object(), &listener.field, &message);
            }
        }
    }
    for (key, slice) in &view.resources.endpoint_slices {
        if view::service_of(slice).is_none() {
            let object = ObjectRef { kind: Kind::EndpointSlice, key: key.clone() };
            let message = "belongs to no Service; label it kubernetes.io/service-name: <name>";
            diagnostics.push(Severity::Note, &object, "", message);
        }
    }
}

fn keys<'a>(view: &View<'a>, kind: Kind) -> Vec<&'a ObjectKey> {
    let resources = view.resources;
    match kind {
        Kind::XBackend => resources.xbackends.keys().collect(),
        Kind::XBackendTrafficPolicy => resources.xbackend_traffic_policies.keys().collect(),
        Kind::XMesh => resources.xmeshes.keys().collect(),
        Kind::XTelemetryPolicy => resources.xtelemetry_policies.keys().collect(),
        _ => Vec::new(),
    }
}
