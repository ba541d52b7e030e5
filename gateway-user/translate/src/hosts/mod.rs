//! Hosts: every host that served routes are on, its owner, and the conflicts of its routes.
//!
//! Routes of several namespaces may share a host. One may take requests from another, or never see any,
//! without a mistake in either; and with [`HostOwnership::OldestNamespace`] a host belongs to one namespace.
//! Both depend on routes that know nothing of each other, so they are judged here, host by host. An edit has
//! the hosts looked at again that its route was or is on, and no others (decision 186).

mod contest;
mod examine;
mod listeners;
mod message;
mod ownership;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_ir::order::by_age;
use gateway_ir::{Hostname, Route as IrRoute, RouteId, RouteKind};
use serde::Serialize;

use crate::HostOwnership;
use crate::diagnostics::Diagnostics;
use crate::gateway::GatewayState;
use crate::memo::{Edited, Routes};
use crate::route::OwnRoute;
use crate::view;
use contest::Contests;
use examine::HostVerdict;
use listeners::{Listeners, Place};
use ownership::Owner;
pub(crate) use ownership::{Claims, label};
pub(crate) use verdict::RouteVerdict;

/// Numbers of hosts and rules that are in each other's way, over all listeners. A rule counts on each of its
/// hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostTotals {
    /// Hosts, by name, on which a listener serves routes of several namespaces.
    pub shared: usize,
    /// Rules with a match that no request reaches.
    pub unreachable_rules: usize,
    /// Rules with a match that takes requests from an older route of another namespace.
    pub taking_rules: usize,
    /// Routes that a host is refused to because it is another namespace's.
    pub refused_routes: usize,
}

/// The hosts and routes that an update had to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Examined {
    pub(crate) hosts: usize,
    pub(crate) routes: usize,
}

/// The routes about whose hosts another verdict may have been reached.
#[derive(Debug)]
pub(crate) enum Affected {
    /// All of them.
    All,
    /// These.
    Some(BTreeSet<RouteId>),
}

/// Every host, and what is known of routes that are not alone on theirs. `None` is every host that nobody
/// names.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    ownership: HostOwnership,
    listeners: Listeners,
    claims: Claims,
    by_name: BTreeMap<Option<Hostname>, Host>,
    verdicts: BTreeMap<RouteId, RouteVerdict>,
    totals: HostTotals,
}

#[derive(Debug, Default)]
struct Host {
    /// Ordered by route, then by place; no pair twice.
    routes: Vec<Placed>,
    /// `None` where there is nothing to tell, which is nearly everywhere.
    verdict: Option<Box<HostVerdict>>,
}

/// A route on a host of a listener.
#[derive(Clone, Debug)]
struct Placed {
    route: Arc<IrRoute>,
    place: Place,
    original: Original,
}

/// The hostname that the route wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Original {
    /// The host itself.
    Same,
    /// None at all.
    Unnamed,
    /// A pattern that covers it.
    Wider(Box<Hostname>),
}

impl Hosts {
    pub(crate) fn new(ownership: HostOwnership) -> Self {
        Self { ownership, ..Self::default() }
    }

    /// The places of a route.
    pub(crate) fn verdict(&self, route: &RouteId) -> Option<&RouteVerdict> {
        self.verdicts.get(route)
    }

    /// Counts over all hosts.
    pub(crate) fn totals(&self) -> HostTotals {
        self.totals
    }

    /// Follows a translation's routes; `edited` are those that are others than at the last call.
    pub(crate) fn follow(
        &mut self,
        gateways: &[GatewayState<'_>],
        claims: Claims,
        routes: &Routes,
        edited: &[Edited],
        diagnostics: &mut Diagnostics,
    ) -> (Examined, Affected) {
        let mut touched = BTreeSet::new();
        let mut affected = BTreeSet::new();
        let listeners = Listeners::of(gateways);
        let is_same = listeners == self.listeners;
        if is_same {
            for edit in edited {
                edit.before.iter().for_each(|own| self.remove(own, gateways, &mut touched));
                routes.find(&edit.id).into_iter().for_each(|own| self.add(own, gateways, &mut touched));
                affected.insert(edit.id.clone());
            }
        } else {
            // Which listener a host's requests reach may have changed for any of them.
            *self = Self { listeners, claims: std::mem::take(&mut self.claims), ..Self::new(self.ownership) };
            routes.own().for_each(|own| self.add(own, gateways, &mut touched));
        }
        touched.extend(claims.differing(&self.claims).map(Some));
        self.claims = claims;
        let examined = self.examine(&touched, &mut affected);
        for id in &affected {
            let own = routes.find(id);
            let before = self.verdicts.remove(id);
            let verdict = own.and_then(|own| RouteVerdict::of(self, own, gateways, before.as_ref()));
            if let Some(verdict) = verdict {
                self.verdicts.insert(id.clone(), verdict);
            }
        }
        for (id, verdict) in &self.verdicts {
            verdict.tell(&view::route_ref(id), diagnostics);
        }
        (examined, if is_same { Affected::Some(affected) } else { Affected::All })
    }

    /// Judges hosts anew, and adds the routes about which something else is to be said than before.
    fn examine(
        &mut self,
        touched: &BTreeSet<Option<Hostname>>,
        affected: &mut BTreeSet<RouteId>,
    ) -> Examined {
        let mut examined = Examined::default();
        let mut contests = Contests::default();
        for name in touched {
            let Some(host) = self.by_name.get_mut(name) else { continue };
            host.routes.shrink_to_fit();
            examined.hosts += 1;
            examined.routes += host.routes.len();
            let owner = match (self.ownership, name) {
                (HostOwnership::OldestNamespace, Some(_)) => {
                    Owner::of(&host.routes, self.claims.owners(name))
                }
                _ => None,
            };
            let new = HostVerdict::of(name.as_ref(), &host.routes, &self.listeners, owner, &mut contests);
            let old = std::mem::replace(&mut host.verdict, new.map(Box::new));
            let new = host.verdict.as_deref();
            self.totals.replace(old.as_deref(), new);
            // Most are told the same on many hosts and listeners.
            for route in old.as_deref().into_iter().chain(new).flat_map(HostVerdict::routes) {
                if !affected.contains(route) {
                    affected.insert(route.clone());
                }
            }
            if old.as_ref().and_then(|one| one.owner.as_ref()) != new.and_then(|one| one.owner.as_ref()) {
                affected.extend(host.routes.iter().map(|placed| placed.route.id().clone()));
            }
            if host.routes.is_empty() {
                self.by_name.remove(name);
            }
        }
        examined
    }

    fn add(
        &mut self,
        own: &OwnRoute,
        gateways: &[GatewayState<'_>],
        touched: &mut BTreeSet<Option<Hostname>>,
    ) {
        // They have no hosts to share.
        if matches!(own.ir.id().kind, RouteKind::TCPRoute | RouteKind::UDPRoute) {
            return;
        }
        for attachment in &own.attachments {
            let Some(place) = self.listeners.find(gateways, attachment) else { continue };
            for hostname in attachment.hostnames.iter() {
                let original = match &hostname.original {
                    None => Original::Unnamed,
                    original if *original == hostname.effective => Original::Same,
                    Some(other) => Original::Wider(Box::new(other.clone())),
                };
                touched.insert(hostname.effective.clone());
                let host = self.by_name.entry(hostname.effective.clone()).or_default();
                let key = (own.ir.id(), place);
                if let Err(at) = host.routes.binary_search_by(|placed| placed.key().cmp(&key)) {
                    host.routes.insert(at, Placed { route: Arc::clone(&own.ir), place, original });
                }
            }
        }
    }

    fn remove(
        &mut self,
        own: &OwnRoute,
        gateways: &[GatewayState<'_>],
        touched: &mut BTreeSet<Option<Hostname>>,
    ) {
        for attachment in &own.attachments {
            if self.listeners.find(gateways, attachment).is_none() {
                continue;
            }
            for hostname in attachment.hostnames.iter() {
                let Some(host) = self.by_name.get_mut(&hostname.effective) else { continue };
                let from = host.routes.partition_point(|placed| placed.route.id() < own.ir.id());
                let to = host.routes.partition_point(|placed| placed.route.id() <= own.ir.id());
                host.routes.drain(from..to);
                touched.insert(hostname.effective.clone());
            }
        }
    }
}

impl Placed {
    fn key(&self) -> (&RouteId, Place) {
        (self.route.id(), self.place)
    }

    fn namespace(&self) -> &str {
        &self.route.id().object.namespace
    }

    /// Oldest first: without a time it is youngest (decision 081).
    fn is_older(&self, other: &Self) -> bool {
        by_age(&self.route, &other.route).is_lt()
    }
}

impl HostTotals {
    /// Takes off what one host had, and adds what it has.
    fn replace(&mut self, old: Option<&HostVerdict>, new: Option<&HostVerdict>) {
        let each = |totals: HostTotals| {
            [totals.shared, totals.unreachable_rules, totals.taking_rules, totals.refused_routes]
        };
        let of = |one: Option<&HostVerdict>| each(one.map(|one| one.totals).unwrap_or_default());
        let (mut all, old, new) = (each(*self), of(old), of(new));
        for ((total, old), new) in all.iter_mut().zip(old).zip(new) {
            *total = total.saturating_sub(old) + new;
        }
        let [shared, unreachable_rules, taking_rules, refused_routes] = all;
        *self = Self { shared, unreachable_rules, taking_rules, refused_routes };
    }
}
