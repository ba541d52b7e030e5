//! Leftovers: objects that are valid and do nothing.

use gateway_api_types::{Kind, ObjectKey, ParentReference};
use gateway_ir::ObjectName;

use crate::Severity;
use crate::diagnostics::{Diagnostics, ObjectRef};
use crate::gateway::GatewayState;
use crate::read::find_gateway;
use crate::view::{self, View};

/// Kinds that can be written and are not served.
const NOT_SERVED: [Kind; 6] = [
    Kind::ListenerSet,
    Kind::UdpRoute,
    Kind::XBackend,
    Kind::XBackendTrafficPolicy,
    Kind::XMesh,
    Kind::XTelemetryPolicy,
];

const NO_EFFECT: &str = "the kind is not supported; it has no effect";

/// Says what has no effect.
pub(crate) fn find(view: &View<'_>, gateways: &[GatewayState<'_>], diagnostics: &mut Diagnostics) {
    for kind in NOT_SERVED {
        for key in keys(view, kind) {
            if parents(view, kind, key).is_some_and(|parents| are_foreign(view, gateways, key, parents)) {
                continue;
            }
            let object = ObjectRef { kind, key: key.clone() };
            diagnostics.push(Severity::Warning, &object, "", NO_EFFECT);
        }
    }
    for gateway in gateways {
        for listener in gateway.listeners.iter().filter(|listener| gateway.serves(listener)) {
            if listener.attached_routes == 0 {
                let fate = match listener.serve {
                    Some(serve) if serve.takes_connections() => "connections are reset",
                    _ => "requests are answered with 404",
                };
                let message = format!("no route is attached to listener {:?}; {fate}", listener.spec.name);
                diagnostics.push(
                    Severity::Note,
                    &view::gateway_ref(&gateway.name),
                    &listener.field,
                    &message,
                );
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

/// The parents of a route of a kind that is not served.
fn parents<'a>(view: &View<'a>, kind: Kind, key: &ObjectKey) -> Option<&'a [ParentReference]> {
    let resources = view.resources;
    Some(match kind {
        Kind::UdpRoute => &resources.udp_routes.get(key)?.spec.parent_refs,
        _ => return None,
    })
}

/// True if a route is another controller's alone: all its parents are Gateways that are not ours, or Services
/// (a mesh).
fn are_foreign(
    view: &View<'_>,
    gateways: &[GatewayState<'_>],
    route: &ObjectKey,
    parents: &[ParentReference],
) -> bool {
    let is_foreign = |parent: &ParentReference| {
        let namespace = parent.namespace.as_deref().unwrap_or(&route.namespace);
        let name = ObjectName::new(namespace, &*parent.name);
        let gateway =
            parent.is_gateway() && view.has_gateway(&name) && find_gateway(gateways, &name).is_none();
        gateway || parent.is_service()
    };
    !parents.is_empty() && parents.iter().all(is_foreign)
}

fn keys<'a>(view: &View<'a>, kind: Kind) -> Vec<&'a ObjectKey> {
    let resources = view.resources;
    match kind {
        Kind::ListenerSet => resources.listener_sets.keys().collect(),
        Kind::UdpRoute => resources.udp_routes.keys().collect(),
        Kind::XBackend => resources.xbackends.keys().collect(),
        Kind::XBackendTrafficPolicy => resources.xbackend_traffic_policies.keys().collect(),
        Kind::XMesh => resources.xmeshes.keys().collect(),
        Kind::XTelemetryPolicy => resources.xtelemetry_policies.keys().collect(),
        _ => Vec::new(),
    }
}
