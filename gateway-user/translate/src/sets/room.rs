//! Room for the listeners of sets on one Gateway (decision 338): one namespace takes neither all of it nor all sockets of a node.
//! The oldest sets have it first, so that a set loses nothing by another one that is created later.

use std::collections::{BTreeMap, BTreeSet};

use gateway_ir::{ObjectName, Serve, Transport};

use crate::diagnostics::ConfigError;
use crate::gateway::GatewayState;
use crate::listener::ListenerState;
use crate::reason;

/// Most listeners of the sets of one namespace.
pub(super) const LISTENERS_OF_NAMESPACE: usize = 1_024;
/// Most listeners of all sets.
pub(super) const LISTENERS: usize = 16_384;
/// Most ports of the sets of one namespace, beyond those of the Gateway itself. Each costs a socket for each address and worker.
pub(super) const PORTS_OF_NAMESPACE: usize = 16;
/// Most such ports of all sets, as many as a Gateway can have by itself.
pub(super) const PORTS: usize = 64;

/// The number of a port, and its transport.
type Port = (u16, Transport);

/// The part of a Gateway's room that is taken.
#[derive(Debug, Default)]
struct Room<'n> {
    /// The ports of the Gateway's own listeners.
    own: BTreeSet<Port>,
    all: Taken,
    by_namespace: BTreeMap<&'n str, Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    listeners: usize,
    ports: BTreeSet<Port>,
}

/// Refuses the listeners of the youngest sets for which there is no room.
pub(super) fn bound(gateways: &[GatewayState<'_>], sets: &mut [GatewayState<'_>]) {
    let own = |gateway: &GatewayState<'_>| Room {
        own: gateway.listeners.iter().filter_map(port_of).collect(),
        ..Room::default()
    };
    let mut rooms: BTreeMap<ObjectName, Room<'_>> =
        gateways.iter().map(|gateway| (gateway.name.clone(), own(gateway))).collect();
    let mut order: Vec<_> = sets.iter_mut().collect();
    order.sort_by(|a, b| a.precedence(b));
    for set in order {
        let GatewayState { key, name, listeners, .. } = set;
        let Some(room) = rooms.get_mut(name) else { continue };
        for listener in listeners.iter_mut().filter(|listener| listener.refused.is_none()) {
            listener.refused = room.take(&key.name().namespace, listener).err();
        }
    }
}

fn port_of(listener: &ListenerState<'_>) -> Option<Port> {
    Some((listener.spec.port, listener.serve.map(Serve::transport)?))
}

impl<'n> Room<'n> {
    /// Takes room for a listener of a set of this namespace.
    ///
    /// # Errors
    /// `TooManyListeners` or `PortUnavailable`, with the bound that is reached.
    fn take(&mut self, namespace: &'n str, listener: &ListenerState<'_>) -> Result<(), ConfigError> {
        let own = self.by_namespace.entry(namespace).or_default();
        let too_many = |of: String| {
            let message = format!(
                "{of}, and older ListenerSets have them; take listeners away, or use another Gateway"
            );
            Err(ConfigError::new(reason::TOO_MANY_LISTENERS, &*listener.field, message))
        };
        if own.listeners >= LISTENERS_OF_NAMESPACE {
            return too_many(format!(
                "ListenerSets of one namespace have {LISTENERS_OF_NAMESPACE} listeners on a Gateway at most"
            ));
        }
        if self.all.listeners >= LISTENERS {
            return too_many(format!(
                "all ListenerSets together have {LISTENERS} listeners on a Gateway at most"
            ));
        }
        let port = port_of(listener).filter(|port| !self.own.contains(port));
        if let Some(port) = port {
            let is_full = |taken: &Taken, most| !taken.ports.contains(&port) && taken.ports.len() >= most;
            let whose = match (is_full(own, PORTS_OF_NAMESPACE), is_full(&self.all, PORTS)) {
                (true, _) => Some(("ListenerSets of one namespace", PORTS_OF_NAMESPACE)),
                (_, true) => Some(("all ListenerSets together", PORTS)),
                _ => None,
            };
            if let Some((whose, most)) = whose {
                let message = format!(
                    "{whose} have {most} ports at most on a Gateway beyond those of its own listeners, and older sets have \
                     them; use one of these"
                );
                let field = format!("{}.port", listener.field);
                return Err(ConfigError::new(reason::PORT_UNAVAILABLE, field, message));
            }
            own.ports.insert(port);
            self.all.ports.insert(port);
        }
        own.listeners += 1;
        self.all.listeners += 1;
        Ok(())
    }
}
