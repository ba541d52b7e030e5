//! Routes that get no connections. Nothing tells the connections of a TCP listener apart, and those for one host of a TLS
//! listener neither, so of several routes the one with the most specific hostname has them all, the oldest of those
//! (`AllowedRoutes`, matching precedence; GEP-2643 to GEP-2645). The others are accepted all the same, and count as attached.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use gateway_api_types::{ConditionStatus, RouteStatus};
use gateway_ir::{Hostname, ListenerId, ObjectName, RouteId, Transport};

use crate::Severity;
use crate::diagnostics::Diagnostics;
use crate::parent::ParentKey;
use crate::reason::{self, condition, kind};
use crate::view;

/// Most hosts of a listener that are told of for one route, which may have a thousand there.
const HOSTS_MAX: usize = 16;

/// Such routes, each with the listeners, or hosts of listeners, whose connections another one has.
#[derive(Debug, Default)]
pub(crate) struct Shadowed(BTreeMap<RouteId, Vec<Shadow>>);

#[derive(Debug)]
struct Shadow {
    listener: ListenerId,
    host: Option<Hostname>,
    by: RouteId,
}

impl Shadowed {
    /// Notes that another route has the connections for a host of a listener, and not `route`.
    pub(crate) fn add(
        &mut self,
        route: &RouteId,
        listener: &ListenerId,
        host: Option<&Hostname>,
        by: &RouteId,
    ) {
        let shadows = self.0.entry(route.clone()).or_default();
        let told = shadows.iter().rev().take_while(|shadow| shadow.listener == *listener).count();
        if told < HOSTS_MAX {
            shadows.push(Shadow { listener: listener.clone(), host: host.cloned(), by: by.clone() });
        }
    }

    /// Says so to their owners.
    pub(crate) fn tell(&self, diagnostics: &mut Diagnostics) {
        for (route, shadows) in &self.0 {
            for shadow in shadows {
                let (field, fix) = match shadow.host {
                    Some(_) => {
                        ("hostnames", "use another hostname, or attach one of them to another listener")
                    }
                    None => ("parentRefs", "attach one of them to another listener"),
                };
                let message = format!("{shadow}; {fix}");
                diagnostics.push(Severity::Warning, &view::route_ref(route), field, &message);
            }
        }
    }

    /// The routes.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &RouteId> {
        self.0.keys()
    }

    /// The status of such a route, with a condition of our own on each parent that it gets nothing of.
    pub(crate) fn put_into(&self, route: &RouteId, status: &Arc<RouteStatus>) -> Arc<RouteStatus> {
        let Some(shadows) = self.0.get(route) else { return Arc::clone(status) };
        let mut status = RouteStatus::clone(status);
        for parent in &mut status.parents {
            let reference = &parent.parent_ref;
            let namespace = reference.namespace.as_deref().unwrap_or(&route.object.namespace);
            let name = ObjectName::new(namespace, &*reference.name);
            let parent_key = match reference.is_listener_set() {
                true => ParentKey::ListenerSet(name),
                false => ParentKey::Gateway(name),
            };
            let here = shadows.iter().filter(|shadow| ParentKey::of(&shadow.listener) == parent_key);
            let message = reason::list(here);
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

impl fmt::Display for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listener, host, by } = self;
        match host {
            Some(host) => {
                write!(
                    f,
                    "all connections for host \"{host}\" of listener {:?} go to {by}",
                    listener.listener
                )?;
                f.write_str(", which is older or has a more specific hostname")
            }
            None => {
                let what = match by.kind.transport() {
                    Transport::Tcp => "connections",
                    Transport::Udp => "datagrams",
                };
                write!(f, "all {what} of listener {:?} go to the older {by}", listener.listener)
            }
        }
    }
}
