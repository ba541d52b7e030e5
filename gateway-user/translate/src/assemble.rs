//! The translation put together: the IR of what is served, and the endpoints behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_ir::{
    Action, AttachedRoute, Bind, BindAddress, ClusterKey, Ir, Listener, MatchHostname, WeightedTarget,
};

use crate::Severity;
use crate::attach::Attachment;
use crate::diagnostics::Diagnostics;
use crate::gateway::GatewayState;
use crate::hosts::{Hosts, RouteVerdict};
use crate::read::find_gateway;
use crate::route::OwnRoute;
use crate::view;

/// Counts routes on listeners. The number does not depend on whether the listener is served
/// (`ListenerStatus.attachedRoutes`), only on whether the route is accepted.
pub(crate) fn count_attached<'r>(
    gateways: &mut [GatewayState<'_>],
    routes: impl Iterator<Item = &'r OwnRoute>,
    hosts: &Hosts,
) {
    for route in routes.filter(|route| route.is_valid) {
        let verdict = hosts.verdict(&route.ir.id);
        let attachments = route.attachments.iter().filter(|one| !kept(one, verdict).is_empty());
        let mut places: Vec<_> = attachments.filter_map(|one| place(gateways, one)).collect();
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
pub(crate) fn ir<'r>(
    gateways: &[GatewayState<'_>],
    routes: impl Iterator<Item = &'r OwnRoute>,
    hosts: &Hosts,
) -> Ir {
    let mut attached = BTreeMap::new();
    // Collected in order, which makes a map in one go.
    let mut http_routes = Vec::with_capacity(routes.size_hint().1.unwrap_or(0));
    for route in routes {
        let mut served = false;
        let verdict = hosts.verdict(&route.ir.id);
        for attachment in &route.attachments {
            let hostnames = kept(attachment, verdict);
            if hostnames.is_empty() {
                continue;
            }
            let Some(place) = place(gateways, attachment).filter(|place| is_served(gateways, *place)) else {
                continue;
            };
            add(attached.entry(place).or_default(), route, hostnames);
            served = true;
        }
        if served {
            http_routes.push((route.ir.id.clone(), Arc::clone(&route.ir)));
        }
    }
    attached.values_mut().for_each(Vec::shrink_to_fit);
    Ir { binds: binds(gateways, attached), http_routes: http_routes.into_iter().collect() }
}

/// The hosts of an attachment that are the route's to serve.
fn kept(attachment: &Attachment, verdict: Option<&RouteVerdict>) -> Arc<[MatchHostname]> {
    let keeps = |name: &&MatchHostname| verdict.is_none_or(|one| one.keeps(name.effective.as_ref()));
    match attachment.hostnames.iter().all(|name| keeps(&name)) {
        true => Arc::clone(&attachment.hostnames),
        false => attachment.hostnames.iter().filter(keeps).cloned().collect(),
    }
}

/// Indices of Gateway and listener.
fn place(gateways: &[GatewayState<'_>], attachment: &Attachment) -> Option<(usize, usize)> {
    find_gateway(gateways, &attachment.gateway).map(|(gateway, _)| (gateway, attachment.listener))
}

fn is_served(gateways: &[GatewayState<'_>], (gateway, listener): (usize, usize)) -> bool {
    let Some(gateway) = gateways.get(gateway) else { return false };
    gateway.listeners.get(listener).is_some_and(|listener| gateway.serves(listener))
}

/// Two parentRefs may name one listener; the route is on it once. Routes come one after the other, so only
/// the last entry can be of the same route.
fn add(on_listener: &mut Vec<AttachedRoute>, route: &OwnRoute, hostnames: Arc<[MatchHostname]>) {
    match on_listener.last_mut().filter(|attached| attached.route == route.ir.id) {
        Some(attached) => {
            let new = hostnames.iter().filter(|name| !attached.hostnames.contains(name));
            attached.hostnames = attached.hostnames.iter().chain(new).cloned().collect();
        }
        None => {
            on_listener.push(AttachedRoute { route: route.ir.id.clone(), hostnames });
        }
    }
}

fn binds(
    gateways: &[GatewayState<'_>],
    mut attached: BTreeMap<(usize, usize), Vec<AttachedRoute>>,
) -> Vec<Bind> {
    let mut binds: BTreeMap<(u16, BindAddress), Bind> = BTreeMap::new();
    for (g, gateway) in gateways.iter().enumerate() {
        let Some((last, others)) = gateway.addresses.split_last() else { continue };
        for (l, listener) in gateway.listeners.iter().enumerate().filter(|(_, one)| gateway.serves(one)) {
            let Some(protocol) = listener.protocol else { continue };
            let mut add = |address: BindAddress, routes| {
                let port = listener.spec.port;
                let bind = binds.entry((port, address)).or_insert_with(|| Bind {
                    address,
                    port,
                    protocol,
                    listeners: Vec::new(),
                });
                let (id, hostname) = (listener.id.clone(), listener.hostname.clone());
                bind.listeners.push(Listener { id, hostname, tls: listener.tls.clone(), routes });
            };
            let routes = attached.remove(&(g, l)).unwrap_or_default();
            others.iter().for_each(|address| add(*address, routes.clone()));
            add(*last, routes);
        }
    }
    for bind in binds.values_mut() {
        bind.listeners.sort_by(|a, b| (&a.hostname, &a.id).cmp(&(&b.hostname, &b.id)));
    }
    binds.into_values().collect()
}

/// Goes through every cluster that a served route refers to. The message that `note` gives for one goes to
/// each route that refers to it.
pub(crate) fn clusters(
    ir: &Ir,
    diagnostics: &mut Diagnostics,
    mut note: impl FnMut(&ClusterKey) -> Option<String>,
) {
    for (id, route) in &ir.http_routes {
        for (index, rule) in route.rules.iter().enumerate() {
            let Action::Forward(backends) = &rule.action else { continue };
            for (b, backend) in backends.iter().enumerate() {
                let WeightedTarget::Cluster(cluster) = &backend.target else { continue };
                if let Some(note) = note(cluster) {
                    let field = format!("rules[{index}].backendRefs[{b}]");
                    diagnostics.push(Severity::Warning, &view::route_ref(id), &field, &note);
                }
            }
        }
    }
}
