//! Listeners and routes as a node serves them that has them by its controller's word.

use std::collections::BTreeMap;

use gateway_control::view::Live;
use gateway_ir::{Bind, ClientValidationMode, Listener};
use gateway_steer::Rejection;

use super::Facts;
use super::document::{ConditionLine, ListenerLine, RouteLine, address};

/// Every listener on every bind; what is refused says so in a condition.
pub(super) fn listeners(live: &Live, facts: &Facts) -> Vec<ListenerLine> {
    let said = |(bind, listener): (&Bind, &Listener)| ListenerLine {
        conditions: refusal(live, bind).map(programmed).into_iter().collect(),
        ..line(bind, listener, facts)
    };
    on_binds(live).map(said).collect()
}

/// Every listener with each bind that it shares.
pub(super) fn on_binds(live: &Live) -> impl Iterator<Item = (&Bind, &Listener)> {
    live.ir.binds.iter().flat_map(|bind| bind.listeners.iter().map(move |one| (bind, one)))
}

/// A listener on one of its binds, without conditions.
pub(super) fn line(bind: &Bind, listener: &Listener, facts: &Facts) -> ListenerLine {
    ListenerLine {
        gateway: listener.id.gateway.to_string(),
        listener: listener.id.within_gateway(),
        address: address(bind.address),
        port: Some(bind.port),
        served_on: facts.offset.filter(|(_, below)| bind.port < *below).map(|(offset, _)| bind.port + offset),
        protocol: listener.serve.protocol().to_owned(),
        hostname: listener.hostname.as_ref().map(ToString::to_string).unwrap_or_default(),
        client_certificates: client_certificates(listener).map(str::to_owned),
        attached_routes: i32::try_from(listener.routes.len()).unwrap_or(i32::MAX),
        conditions: BTreeMap::new(),
    }
}

/// The mode of a listener's check of client certificates, as the Gateway API writes it.
fn client_certificates(listener: &Listener) -> Option<&'static str> {
    Some(match listener.tls.as_ref()?.clients.as_ref()?.mode {
        ClientValidationMode::AllowValidOnly => "AllowValidOnly",
        ClientValidationMode::AllowInsecureFallback => "AllowInsecureFallback",
    })
}

/// Every route with the Gateways that it is attached to.
pub(super) fn routes(live: &Live) -> Vec<RouteLine> {
    let mut parents: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for listener in live.ir.binds.iter().flat_map(|bind| &bind.listeners) {
        for route in listener.routes.keys() {
            let parent = listener.id.to_string();
            let of_route = parents.entry(route.to_string()).or_default();
            if !of_route.contains(&parent) {
                of_route.push(parent);
            }
        }
    }
    let line = |route: &String, parent: String| RouteLine {
        route: route.clone(),
        parent,
        conditions: BTreeMap::new(),
    };
    parents
        .iter()
        .flat_map(|(route, all)| all.iter().map(move |parent| line(route, parent.clone())))
        .collect()
}

fn refusal<'a>(live: &'a Live, bind: &Bind) -> Option<&'a Rejection> {
    let place = (bind.address, bind.port, bind.transport());
    live.refused.iter().find(|one| (one.bind.address, one.bind.port, one.bind.transport) == place)
}

fn programmed(rejection: &Rejection) -> (String, ConditionLine) {
    let line = ConditionLine {
        status: "False".to_owned(),
        reason: "NotServed".to_owned(),
        message: rejection.message.clone(),
    };
    ("Programmed".to_owned(), line)
}
