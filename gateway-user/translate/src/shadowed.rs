//! Routes that get no connections: nothing tells the connections of a TCP listener apart, so of several routes on it the oldest
//! has them all (`AllowedRoutes`, matching precedence; GEP-2644). The others are accepted all the same, and count as attached.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api_types::{ConditionStatus, RouteStatus};
use gateway_ir::{ListenerId, ObjectName, RouteId};

use crate::Severity;
use crate::diagnostics::Diagnostics;
use crate::reason::{self, condition, kind};
use crate::view;

/// Younger routes, each with the listeners on which it is one and the route that has their connections.
#[derive(Debug, Default)]
pub(crate) struct Shadowed(BTreeMap<RouteId, Vec<(ListenerId, RouteId)>>);

impl Shadowed {
    /// Notes that `oldest` has the connections of a listener, and not `route`.
    pub(crate) fn add(&mut self, route: &RouteId, listener: &ListenerId, oldest: &RouteId) {
        self.0.entry(route.clone()).or_default().push((listener.clone(), oldest.clone()));
    }

    /// Says so to the owners of the younger ones.
    pub(crate) fn tell(&self, diagnostics: &mut Diagnostics) {
        for (route, listeners) in &self.0 {
            for (listener, oldest) in listeners {
                let message = format!("{}; attach one of them to another listener", line(listener, oldest));
                diagnostics.push(Severity::Warning, &view::route_ref(route), "parentRefs", &message);
            }
        }
    }

    /// The routes.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &RouteId> {
        self.0.keys()
    }

    /// The status of such a route, with a condition of our own on each parent that it gets nothing of.
    pub(crate) fn put_into(&self, route: &RouteId, status: &Arc<RouteStatus>) -> Arc<RouteStatus> {
        let Some(listeners) = self.0.get(route) else { return Arc::clone(status) };
        let mut status = RouteStatus::clone(status);
        for parent in &mut status.parents {
            let reference = &parent.parent_ref;
            let namespace = reference.namespace.as_deref().unwrap_or(&route.object.namespace);
            let gateway = ObjectName::new(namespace, &*reference.name);
            let here = listeners.iter().filter(|(listener, _)| listener.gateway == gateway);
            let message = reason::list(here.map(|(listener, oldest)| line(listener, oldest)));
            let generation = parent.conditions.first().and_then(|one| one.observed_generation);
            if !message.is_empty() {
                parent.conditions.push(condition(
                    kind::SHADOWED,
                    ConditionStatus::True,
                    reason::OLDER_ROUTE,
                    message,
                    generation,
                ));
            }
        }
        Arc::new(status)
    }
}

fn line(listener: &ListenerId, oldest: &RouteId) -> String {
    format!("all connections of listener {:?} go to the older {oldest}", listener.listener)
}
