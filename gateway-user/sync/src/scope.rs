//! The part of what is to be served that one node is told: Gateways that are not served there are hidden, with all that
//! only they need.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use gateway_ir::{
    Action, Bind, ClusterKey, Endpoints, HttpRoute, Ir, ObjectName, Placement, SharedMap, WeightedTarget,
};

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
        let routes = self.ir.http_routes.iter().filter(|(id, _)| seen.contains(id));
        let http_routes: SharedMap<_, Arc<HttpRoute>> =
            routes.map(|(id, route)| (id.clone(), Arc::clone(route))).collect();
        let needed: HashSet<_> = http_routes.values().flat_map(|route| clusters_of(route)).collect();
        let clusters = self.endpoints.clusters.iter().filter(|(key, _)| needed.contains(key));
        let clusters = clusters.map(|(key, all)| (key.clone(), Arc::clone(all))).collect();
        let gateways = self.gateways.iter().filter(|(name, _)| is_seen(name));
        Self {
            gateways: Arc::new(gateways.map(|(name, mark)| (name.clone(), mark.clone())).collect()),
            endpoints: Arc::new(Endpoints { clusters }),
            ir: Arc::new(Ir { binds, http_routes }),
            ..whole
        }
    }
}

/// The bind with the listeners that are seen; `None` if there are none.
fn seen_bind(bind: &Bind, is_seen: impl Fn(&ObjectName) -> bool) -> Option<Bind> {
    let listeners: Vec<_> = bind.listeners.iter().filter(|one| is_seen(&one.id.gateway)).cloned().collect();
    let Bind { address, port, protocol, .. } = *bind;
    (!listeners.is_empty()).then_some(Bind { address, port, protocol, listeners })
}

/// The clusters that a route refers to.
pub(crate) fn clusters_of(route: &HttpRoute) -> impl Iterator<Item = &ClusterKey> {
    let backends = route.rules.iter().flat_map(|rule| match &rule.action {
        Action::Forward(backends) => &backends[..],
        Action::Redirect(_) | Action::Fail(_) => &[],
    });
    backends.filter_map(|backend| match &backend.target {
        WeightedTarget::Cluster(key) => Some(key),
        WeightedTarget::Fail(_) => None,
    })
}
