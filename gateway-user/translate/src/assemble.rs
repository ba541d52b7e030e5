//! Addresses and ports that are served, with their listeners.

use std::collections::BTreeMap;

use gateway_ir::{AttachedRoutes, Bind, BindAddress, Listener, Transport};

use crate::gateway::GatewayState;

/// Indices of Gateway and listener.
pub(crate) type Place = (usize, usize);

/// True if that listener is served.
pub(crate) fn is_served(gateways: &[GatewayState<'_>], (gateway, listener): Place) -> bool {
    let Some(gateway) = gateways.get(gateway) else { return false };
    gateway.listeners.get(listener).is_some_and(|listener| gateway.serves(listener))
}

/// Every listener that is served, where it is; `attached` gives its routes.
pub(crate) fn binds(gateways: &[GatewayState<'_>], attached: impl Fn(Place) -> AttachedRoutes) -> Vec<Bind> {
    let mut binds: BTreeMap<(u16, BindAddress, Transport), Bind> = BTreeMap::new();
    for (g, gateway) in gateways.iter().enumerate() {
        for (l, listener) in gateway.listeners.iter().enumerate().filter(|(_, one)| gateway.serves(one)) {
            let Some(serve) = listener.serve else { continue };
            let routes = attached((g, l));
            for address in &gateway.addresses {
                let (address, port) = (*address, listener.spec.port);
                let new = || Bind { address, port, listeners: Vec::new() };
                let bind = binds.entry((port, address, serve.transport())).or_insert_with(new);
                let (id, hostname) = (listener.id.clone(), listener.hostname.clone());
                bind.listeners.push(Listener {
                    id,
                    hostname,
                    serve,
                    tls: listener.tls.clone(),
                    settings: gateway.settings.values,
                    backend_certificate: gateway.backend_certificate.clone(),
                    routes: routes.clone(),
                });
            }
        }
    }
    for bind in binds.values_mut() {
        bind.listeners.sort_by(|a, b| (&a.hostname, &a.id).cmp(&(&b.hostname, &b.id)));
    }
    binds.into_values().collect()
}
