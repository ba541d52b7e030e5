//! The answer put together: the IR of what is served, and the endpoints behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_ir::{
    Action, AttachedRoute, Bind, BindAddress, ClusterKey, Endpoints, Ir, Listener, WeightedTarget,
};

use crate::Severity;
use crate::endpoints;
use crate::findings::Findings;
use crate::gateway::GatewayState;
use crate::httproute::RouteState;
use crate::view::{self, View};

/// Counts routes on listeners. The number does not depend on whether the listener is served
/// (`ListenerStatus.attachedRoutes`), only on whether the route is accepted.
pub(crate) fn count_attached(gateways: &mut [GatewayState<'_>], routes: &[RouteState<'_>]) {
    for route in routes.iter().filter(|route| route.is_valid()) {
        let mut places: Vec<_> = route.attachments().map(|one| (one.gateway, one.listener)).collect();
        places.sort_unstable();
        places.dedup();
        for (gateway, listener) in places {
            let listener = gateways.get_mut(gateway).and_then(|gateway| gateway.listeners.get_mut(listener));
            if let Some(listener) = listener {
                listener.attached_routes += 1;
            }
        }
    }
}

/// Everything that is served: accepted Gateways, their listeners without conflicts, and the routes on those.
pub(crate) fn ir(gateways: &[GatewayState<'_>], routes: &[RouteState<'_>]) -> Ir {
    let mut attached: BTreeMap<(usize, usize), Vec<AttachedRoute>> = BTreeMap::new();
    let mut ir = Ir::default();
    for route in routes {
        for place in route.attachments().filter(|place| is_served(gateways, place.gateway, place.listener)) {
            let on_listener = attached.entry((place.gateway, place.listener)).or_default();
            add(on_listener, route, &place.hostnames);
            ir.http_routes.entry(route.ir.id.clone()).or_insert_with(|| Arc::new(route.ir.clone()));
        }
    }
    ir.binds = binds(gateways, &attached);
    ir
}

fn is_served(gateways: &[GatewayState<'_>], gateway: usize, listener: usize) -> bool {
    let Some(gateway) = gateways.get(gateway) else { return false };
    gateway.listeners.get(listener).is_some_and(|listener| gateway.serves(listener))
}

/// Two parentRefs may name one listener; the route is on it once. Routes come one after the other, so only the last
/// entry can be of the same route.
fn add(
    on_listener: &mut Vec<AttachedRoute>,
    route: &RouteState<'_>,
    hostnames: &[gateway_ir::MatchHostname],
) {
    match on_listener.last_mut().filter(|attached| attached.route == route.ir.id) {
        Some(attached) => {
            let new = hostnames.iter().filter(|name| !attached.hostnames.contains(name)).cloned();
            let new: Vec<_> = new.collect();
            attached.hostnames.extend(new);
        }
        None => {
            on_listener.push(AttachedRoute { route: route.ir.id.clone(), hostnames: hostnames.to_vec() });
        }
    }
}

fn binds(
    gateways: &[GatewayState<'_>],
    attached: &BTreeMap<(usize, usize), Vec<AttachedRoute>>,
) -> Vec<Bind> {
    let mut binds: BTreeMap<(u16, BindAddress), Bind> = BTreeMap::new();
    for (g, gateway) in gateways.iter().enumerate() {
        for (l, listener) in gateway.listeners.iter().enumerate().filter(|(_, one)| gateway.serves(one)) {
            let Some(protocol) = listener.protocol else { continue };
            let port = listener.spec.port;
            for address in &gateway.addresses {
                let bind = binds.entry((port, *address)).or_insert_with(|| Bind {
                    address: *address,
                    port,
                    protocol,
                    listeners: Vec::new(),
                });
                bind.listeners.push(Listener {
                    id: listener.id.clone(),
                    hostname: listener.hostname.clone(),
                    routes: attached.get(&(g, l)).cloned().unwrap_or_default(),
                });
            }
        }
    }
    for bind in binds.values_mut() {
        bind.listeners.sort_by(|a, b| (&a.hostname, &a.id).cmp(&(&b.hostname, &b.id)));
    }
    binds.into_values().collect()
}

/// The endpoints of every cluster that a served route refers to, and a word where there are none.
pub(crate) fn endpoints(
    view: &View<'_>,
    ir: &Ir,
    routes: &[RouteState<'_>],
    findings: &mut Findings<'_>,
) -> Endpoints {
    let mut table = Endpoints::default();
    let mut notes: BTreeMap<ClusterKey, String> = BTreeMap::new();
    for route in routes.iter().filter(|route| ir.http_routes.contains_key(&route.ir.id)) {
        for (index, rule) in route.ir.rules.iter().enumerate() {
            let Action::Forward(backends) = &rule.action else { continue };
            for (b, backend) in backends.iter().enumerate() {
                let WeightedTarget::Cluster(cluster) = &backend.target else { continue };
                if !table.clusters.contains_key(cluster) {
                    let (addresses, note) = endpoints::addresses(view, cluster);
                    table.clusters.insert(cluster.clone(), addresses);
                    notes.extend(note.map(|note| (cluster.clone(), note)));
                }
                if let Some(note) = notes.get(cluster) {
                    let field = format!("rules[{index}].backendRefs[{b}]");
                    let object = view::route_ref(&route.ir.id.object);
                    findings.push(Severity::Warning, &object, &field, note);
                }
            }
        }
    }
    table
}
