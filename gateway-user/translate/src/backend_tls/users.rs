//! Users of policies: the routes that refer to Services which a policy targets, and so the Gateways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api_types::ObjectKey;
use gateway_ir::{ClusterKey, DiffItem, ObjectName, Route, RouteId, SharedMap};

/// Served routes with their references to targeted Services. An edit of a route looks at that route alone.
#[derive(Debug, Default)]
pub(super) struct Users {
    routes: SharedMap<RouteId, Arc<Route>>,
    targeted: BTreeSet<ObjectKey>,
    references: BTreeMap<RouteId, Box<[ClusterKey]>>,
}

impl Users {
    /// Follows the routes that are served, and the Services that are targeted.
    pub(super) fn follow(&mut self, routes: &SharedMap<RouteId, Arc<Route>>, targeted: BTreeSet<ObjectKey>) {
        let before = std::mem::replace(&mut self.routes, routes.clone());
        if targeted != self.targeted {
            self.targeted = targeted;
            self.references.clear();
            if !self.targeted.is_empty() {
                routes.iter().for_each(|(id, route)| self.note(id, route));
            }
            return;
        }
        if self.targeted.is_empty() {
            return;
        }
        for difference in before.diff(routes) {
            match difference {
                DiffItem::Add(id, route) | DiffItem::Update { new: (id, route), .. } => self.note(id, route),
                DiffItem::Remove(id, _) => drop(self.references.remove(id)),
            }
        }
    }

    fn note(&mut self, id: &RouteId, route: &Route) {
        let is_targeted = |service: &ObjectName| {
            self.targeted.contains(&ObjectKey::new(&*service.namespace, &*service.name))
        };
        let keys: BTreeSet<_> = route.clusters().filter(|key| is_targeted(&key.service)).collect();
        match keys.is_empty() {
            true => drop(self.references.remove(id)),
            false => drop(self.references.insert(id.clone(), keys.into_iter().cloned().collect())),
        }
    }

    /// Every such route, with the clusters that it refers to of those Services.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&RouteId, &[ClusterKey])> {
        self.references.iter().map(|(id, keys)| (id, &**keys))
    }
}
