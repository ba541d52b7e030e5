//! The part of what is to be served that one node is told: Gateways that are not served there are hidden, with all that
//! only they need.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use gateway_ir::{Bind, Endpoints, Ir, ObjectName, Placement, Route, SharedMap};

use crate::item::Desired;

/// The Gateways that a node is told nothing of. Cheap to clone; the default hides none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    hidden: Arc<BTreeSet<ObjectName>>,
}

impl Scope {
    /// The scope of the node of this name.
    pub fn of(placement: &Placement, node: &str) -> Self {
        Self { hidden: Arc::new(placement.hidden_from(node).cloned().collect()) }
    }

    /// True if nothing is hidden.
    pub fn is_whole(&self) -> bool {
        self.hidden.is_empty()
    }

    /// True if an item is seen that these Gateways need; `None` stands for every node.
    pub(crate) fn sees(&self, gateways: Option<&[ObjectName]>) -> bool {
        self.is_whole() || gateways.is_none_or(|all| all.iter().any(|one| !self.hidden.contains(one)))
    }
}

impl Desired {
    /// The part that the node of this name serves.
    #[must_use]
    pub fn seen_by(&self, node: &str) -> Self {
        let scope = Scope::of(&self.placement, node);
        let whole = Self { placement: Arc::default(), ..self.clone() };
        if scope.is_whole() {
            return whole;
        }
        let is_seen = |gateway: &ObjectName| !scope.hidden.contains(gateway);
        let binds: Vec<_> = self.ir.binds.iter().filter_map(|bind| seen_bind(bind, is_seen)).collect();
        let listeners = binds.iter().flat_map(|bind| &bind.listeners);
        let seen: HashSet<_> = listeners.flat_map(|one| one.routes.keys()).collect();
        let routes = self.ir.routes.iter().filter(|(id, _)| seen.contains(id));
        let routes: SharedMap<_, Arc<Route>> =
            routes.map(|(id, route)| (id.clone(), Arc::clone(route))).collect();
        let needed: HashSet<_> = routes.values().flat_map(|route| route.clusters()).collect();
        let clusters = self.endpoints.clusters.iter().filter(|(key, _)| needed.contains(key));
        let clusters = clusters.map(|(key, all)| (key.clone(), Arc::clone(all))).collect();
        let tls = self.endpoints.tls.iter().filter(|(key, _)| needed.contains(key));
        let tls = tls.map(|(key, settings)| (key.clone(), Arc::clone(settings))).collect();
        let gateways = self.gateways.iter().filter(|(name, _)| is_seen(name));
        let tickets = self.tickets.iter().filter(|(name, _)| is_seen(name));
        Self {
            gateways: Arc::new(gateways.map(|(name, mark)| (name.clone(), mark.clone())).collect()),
            tickets: Arc::new(tickets.map(|(name, secrets)| (name.clone(), secrets.clone())).collect()),
            endpoints: Arc::new(Endpoints { clusters, tls }),
            ir: Arc::new(Ir { binds, routes }),
            ..whole
        }
    }
}

/// The bind with the listeners that are seen; `None` if there are none.
fn seen_bind(bind: &Bind, is_seen: impl Fn(&ObjectName) -> bool) -> Option<Bind> {
    let listeners: Vec<_> = bind.listeners.iter().filter(|one| is_seen(&one.id.gateway)).cloned().collect();
    let Bind { address, port, .. } = *bind;
    (!listeners.is_empty()).then_some(Bind { address, port, listeners })
}
