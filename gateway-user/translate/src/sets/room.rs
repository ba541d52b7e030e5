//! Room for ListenerSets and for their listeners (decision 338): one namespace takes neither all of it nor all sockets of a node.
//! The oldest sets have it first, so that a set loses nothing by another one that is created later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_ir::{ObjectName, Serve, Transport};

use crate::diagnostics::ConfigError;
use crate::gateway::GatewayState;
use crate::listener::ListenerState;
use crate::reason;

/// Most sets of one namespace that are served, whatever Gateways they name.
const SETS_OF_NAMESPACE: usize = 128;
/// Most sets that are served. Each report of a node names all of them.
const SETS: usize = 1_024;
/// Most listeners of the sets of one namespace on one Gateway.
const LISTENERS_OF_NAMESPACE: usize = 1_024;
/// Most listeners of all sets of one Gateway.
const LISTENERS: usize = 16_384;
/// Most ports of the sets of one namespace, beyond those of the Gateway itself. Each costs a socket for each address and worker.
const PORTS_OF_NAMESPACE: usize = 16;
/// Most such ports of all sets, as many as a Gateway can have by itself.
const PORTS: usize = 64;

/// The number of a port, and its transport.
type Port = (u16, Transport);

/// The room that is taken so far. It is asked for by the oldest sets first, and only for listeners that nothing else is in the way of.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    gateways: BTreeMap<ObjectName, Room>,
    /// The sets with a listener that is served.
    sets: BTreeSet<ObjectName>,
    sets_of_namespace: BTreeMap<Arc<str>, usize>,
}

/// The part of a Gateway's room that is taken.
#[derive(Debug, Default)]
struct Room {
    /// The ports of the Gateway's own listeners.
    own: BTreeSet<Port>,
    all: Taken,
    by_namespace: BTreeMap<Arc<str>, Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    listeners: usize,
    ports: BTreeSet<Port>,
}

fn port_of(listener: &ListenerState<'_>) -> Option<Port> {
    Some((listener.spec.port, listener.serve.map(Serve::transport)?))
}

impl Rooms {
    /// The room of these Gateways, none of it taken.
    pub(crate) fn of(gateways: &[GatewayState<'_>]) -> Self {
        let own = |gateway: &GatewayState<'_>| Room {
            own: gateway.listeners.iter().filter_map(port_of).collect(),
            ..Room::default()
        };
        let gateways = gateways.iter().filter(|one| one.set.is_none());
        Self { gateways: gateways.map(|one| (one.name.clone(), own(one))).collect(), ..Self::default() }
    }

    /// Takes room for a listener of a set of a Gateway.
    ///
    /// # Errors
    /// `TooManyListeners` or `PortUnavailable`, with the bound that is reached.
    pub(crate) fn take(
        &mut self,
        set: &ObjectName,
        gateway: &ObjectName,
        listener: &ListenerState<'_>,
    ) -> Result<(), ConfigError> {
        let is_new = !self.sets.contains(set);
        let own = self.sets_of_namespace.get(&set.namespace).copied().unwrap_or(0);
        let whose = match (own >= SETS_OF_NAMESPACE, self.sets.len() >= SETS) {
            (true, _) => Some(format!("at most {SETS_OF_NAMESPACE} sets of a namespace")),
            (_, true) => Some(format!("at most {SETS} sets of all namespaces")),
            _ => None,
        };
        if let Some(bound) = whose.filter(|_| is_new) {
            let message = format!(
                "{bound} are served, on all Gateways together, and older ones are; put listeners into fewer sets"
            );
            return Err(ConfigError::new(reason::TOO_MANY_LISTENERS, &*listener.field, message));
        }
        self.gateways.entry(gateway.clone()).or_default().take(&set.namespace, listener)?;
        if is_new {
            self.sets.insert(set.clone());
            *self.sets_of_namespace.entry(Arc::clone(&set.namespace)).or_default() += 1;
        }
        Ok(())
    }
}

impl Room {
    /// Takes room for a listener of a set of this namespace.
    ///
    /// # Errors
    /// [`Rooms::take`].
    fn take(&mut self, namespace: &Arc<str>, listener: &ListenerState<'_>) -> Result<(), ConfigError> {
        let own = self.by_namespace.entry(Arc::clone(namespace)).or_default();
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
