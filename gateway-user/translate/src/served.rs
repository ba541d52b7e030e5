//! Everything that is served, kept from one update to the next: an edit changes what its route is on, and nothing else is
//! gone through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api_types::RouteStatus;
use gateway_ir::order::by_age;
use gateway_ir::{AttachedRoutes, Ir, ListenerId, MatchHostname, Route, RouteId, SharedMap, shared_map};

use crate::assemble::{self, Place};
use crate::attach::Attachment;
use crate::contested::HostIndex;
use crate::gateway::GatewayState;
use crate::host_load::{CONDITIONS_MAX, OverBudget};
use crate::hosts::{Affected, Hosts, RouteVerdict};
use crate::memo::{Edited, Routes};
use crate::parent::ParentKey;
use crate::read::find_parent;
use crate::route::OwnRoute;
use crate::shadowed::Shadowed;

/// Routes where they are served, and their statuses.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// The Gateways and their sets, and for each listener whether it is served: what places mean.
    shape: Vec<(ParentKey, Vec<bool>)>,
    routes: SharedMap<RouteId, Arc<Route>>,
    listeners: BTreeMap<Place, OnListener>,
    statuses: SharedMap<RouteId, Arc<RouteStatus>>,
}

/// The routes of one listener, served or not.
#[derive(Debug, Default)]
struct OnListener {
    attached: AttachedRoutes,
    /// Those for connections, by host.
    hosts: HostIndex,
    /// Those among them that do not count as attached.
    uncounted: BTreeSet<RouteId>,
    /// At least the conditions of their matches, each for every host.
    conditions: usize,
}

impl Served {
    /// Follows a translation's routes; `edited` are those that are others than at the last call, `affected` those about whose
    /// hosts another verdict may have been reached.
    pub(crate) fn follow(
        &mut self,
        gateways: &[GatewayState<'_>],
        routes: &Routes,
        hosts: &Hosts,
        edited: &[Edited],
        affected: &Affected,
    ) {
        let shape = gateways.iter().map(|one| {
            (one.key.clone(), one.listeners.iter().map(|listener| one.serves(listener)).collect())
        });
        let shape: Vec<_> = shape.collect();
        let affected = match affected {
            Affected::Some(affected) if shape == self.shape => affected,
            _ => {
                *self = Self::anew(shape, gateways, routes, hosts, self);
                return;
            }
        };
        // A route may have been edited twice, and was here as it was before the first time.
        let mut before = BTreeMap::new();
        for edit in edited {
            before.entry(&edit.id).or_insert(edit.before.as_ref());
        }
        for (id, before) in &before {
            self.replace(id, *before, routes.find(id), gateways, hosts);
        }
        for id in affected.iter().filter(|id| !before.contains_key(id)) {
            let same = routes.find(id);
            self.replace(id, same, same, gateways, hosts);
        }
    }

    /// Everything put where it belongs; maps that come to what they were in `before` are shared with it.
    fn anew(
        shape: Vec<(ParentKey, Vec<bool>)>,
        gateways: &[GatewayState<'_>],
        routes: &Routes,
        hosts: &Hosts,
        before: &Self,
    ) -> Self {
        let (mut served, mut statuses) = (Vec::new(), Vec::new());
        let mut listeners: BTreeMap<Place, (Vec<_>, OnListener)> = BTreeMap::new();
        for own in routes.own() {
            let (id, verdict) = (own.ir.id(), hosts.verdict(own.ir.id()));
            let (here, is_served) = places(own, verdict, gateways);
            for (place, conditions) in loads(gateways, own) {
                listeners.entry(place).or_default().1.conditions += conditions;
            }
            for (place, hostnames) in here {
                let (attached, one) = listeners.entry(place).or_default();
                one.hosts.add(id, &hostnames);
                attached.push((id.clone(), hostnames));
                if !own.is_valid {
                    one.uncounted.insert(id.clone());
                }
            }
            if is_served {
                served.push((id.clone(), Arc::clone(&own.ir)));
            }
            let status = verdict.map_or(&own.status, |verdict| &verdict.status);
            statuses.push((id.clone(), Arc::clone(status)));
        }
        let listeners = listeners.into_iter().map(|(place, (attached, one))| {
            let known = before.listeners.get(&place).map(|one| &one.attached);
            (place, OnListener { attached: shared_map(known, attached), ..one })
        });
        Self {
            shape,
            listeners: listeners.collect(),
            routes: shared_map(Some(&before.routes), served),
            statuses: shared_map(Some(&before.statuses), statuses),
        }
    }

    /// The configuration that is served: accepted Gateways, their listeners without conflicts, and the routes on those.
    pub(crate) fn ir(&self, gateways: &[GatewayState<'_>]) -> Ir {
        let attached = |place: Place| self.listeners.get(&place).map(|one| one.attached.clone());
        Ir {
            binds: assemble::binds(gateways, |place| attached(place).unwrap_or_default()),
            routes: self.routes.clone(),
        }
    }

    /// Listeners whose routes may have more conditions than a request may meet.
    pub(crate) fn heavy<'g>(&self, gateways: &'g [GatewayState<'_>]) -> BTreeSet<&'g ListenerId> {
        let heavy = self.listeners.iter().filter(|(_, one)| one.conditions > CONDITIONS_MAX);
        heavy
            .filter_map(|((gateway, listener), _)| {
                Some(&gateways.get(*gateway)?.listeners.get(*listener)?.id)
            })
            .collect()
    }

    /// The routes for connections that get none of a listener, or none of a host of it.
    pub(crate) fn shadowed(&self, gateways: &[GatewayState<'_>]) -> Shadowed {
        let mut shadowed = Shadowed::default();
        for (place, one) in &self.listeners {
            let Some(listener) = gateways.get(place.0).and_then(|gateway| gateway.listeners.get(place.1))
            else {
                continue;
            };
            for (host, routes) in one.hosts.contested() {
                let served = routes.iter().filter_map(|(id, rank)| Some((rank, self.routes.get(id)?)));
                let mut served: Vec<_> = served.collect();
                served.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| by_age(one, other)));
                let Some(((_, first), others)) = served.split_first() else { continue };
                for (_, other) in others {
                    shadowed.add(other.id(), &listener.id, host, first.id());
                }
            }
        }
        shadowed
    }

    /// Counts routes on listeners. The number does not depend on whether the listener is served
    /// (`ListenerStatus.attachedRoutes`), only on whether the route is accepted.
    pub(crate) fn count_attached(
        &self,
        gateways: &mut [GatewayState<'_>],
        routes: &Routes,
        refused: &OverBudget,
    ) {
        let mut refused_on: BTreeMap<Place, usize> = BTreeMap::new();
        for own in refused.routes().filter_map(|id| routes.find(id)) {
            if own.is_valid && refused.is_whole(own.ir.id(), own.ir.http_rules().len()) {
                for place in
                    own.attachments.iter().filter_map(|one| place(gateways, one)).collect::<BTreeSet<_>>()
                {
                    let is_here =
                        self.listeners.get(&place).is_some_and(|one| one.attached.contains_key(own.ir.id()));
                    *refused_on.entry(place).or_default() += usize::from(is_here);
                }
            }
        }
        for (place, one) in &self.listeners {
            let refused = refused_on.get(place).copied().unwrap_or(0);
            let count = one.attached.len().saturating_sub(one.uncounted.len() + refused);
            let listener = gateways.get_mut(place.0).and_then(|gateway| gateway.listeners.get_mut(place.1));
            if let Some(listener) = listener {
                listener.attached_routes = i32::try_from(count).unwrap_or(i32::MAX);
            }
        }
    }

    /// The status of every route with a parent of ours.
    pub(crate) fn statuses(
        &self,
        routes: &Routes,
        refused: &OverBudget,
        shadowed: &Shadowed,
    ) -> SharedMap<RouteId, Arc<RouteStatus>> {
        let mut statuses = self.statuses.clone();
        for own in refused.routes().filter_map(|id| routes.find(id)) {
            if let Some(status) = statuses.get_mut(own.ir.id()) {
                *status = refused.tell(own.ir.id(), own.ir.http_rules().len(), status);
            }
        }
        for id in shadowed.routes() {
            if let Some(status) = statuses.get_mut(id) {
                *status = shadowed.put_into(id, status);
            }
        }
        statuses
    }

    /// Puts a route where it belongs that was there as `before`.
    fn replace(
        &mut self,
        id: &RouteId,
        before: Option<&OwnRoute>,
        now: Option<&OwnRoute>,
        gateways: &[GatewayState<'_>],
        hosts: &Hosts,
    ) {
        let verdict = hosts.verdict(id);
        let (here, is_served) = now.map(|own| places(own, verdict, gateways)).unwrap_or_default();
        for (place, conditions) in before.into_iter().flat_map(|own| loads(gateways, own)) {
            let Some(listener) = self.listeners.get_mut(&place) else { continue };
            listener.conditions = listener.conditions.saturating_sub(conditions);
            if !here.contains_key(&place) {
                listener.take_off(id);
            }
        }
        for (place, conditions) in now.into_iter().flat_map(|own| loads(gateways, own)) {
            self.listeners.entry(place).or_default().conditions += conditions;
        }
        for (place, hostnames) in here {
            self.listeners.entry(place).or_default().put(id, hostnames, now.is_some_and(|own| own.is_valid));
        }
        let route = now.filter(|_| is_served).map(|own| &own.ir);
        put(&mut self.routes, id, route);
        let status = now.map(|own| verdict.map_or(&own.status, |verdict| &verdict.status));
        put(&mut self.statuses, id, status);
    }
}

impl OnListener {
    fn take_off(&mut self, id: &RouteId) {
        if let Some(hostnames) = self.attached.remove(id) {
            self.hosts.remove(id, &hostnames);
        }
        self.uncounted.remove(id);
    }

    fn put(&mut self, id: &RouteId, hostnames: Arc<[MatchHostname]>, counts: bool) {
        if self.attached.get(id) != Some(&hostnames) {
            if let Some(before) = self.attached.get(id) {
                self.hosts.remove(id, before);
            }
            self.hosts.add(id, &hostnames);
            self.attached.insert(id.clone(), hostnames);
        }
        if counts {
            self.uncounted.remove(id);
        } else if !self.uncounted.contains(id) {
            self.uncounted.insert(id.clone());
        }
    }
}

/// The listeners that a route is on, each with its hosts there, and whether any of them is served.
fn places(
    own: &OwnRoute,
    verdict: Option<&RouteVerdict>,
    gateways: &[GatewayState<'_>],
) -> (BTreeMap<Place, Arc<[MatchHostname]>>, bool) {
    let (mut here, mut is_served) = (BTreeMap::<Place, Arc<[MatchHostname]>>::new(), false);
    for attachment in &own.attachments {
        let (hostnames, place) = (kept(attachment, verdict), place(gateways, attachment));
        let Some(place) = place.filter(|_| !hostnames.is_empty()) else { continue };
        is_served |= assemble::is_served(gateways, place);
        // Two parentRefs may name one listener; the route is on it once.
        match here.get_mut(&place) {
            Some(known) => {
                let new = hostnames.iter().filter(|name| !known.contains(name));
                *known = known.iter().chain(new).cloned().collect();
            }
            None => drop(here.insert(place, hostnames)),
        }
    }
    (here, is_served)
}

/// Brings one entry to `value`. A map in which it is that already is not touched, so that it stays shared.
fn put<T>(map: &mut SharedMap<RouteId, Arc<T>>, id: &RouteId, value: Option<&Arc<T>>) {
    match (map.get(id), value) {
        (Some(known), Some(value)) if Arc::ptr_eq(known, value) => {}
        (_, Some(value)) => drop(map.insert(id.clone(), Arc::clone(value))),
        (Some(_), None) => drop(map.remove(id)),
        (None, None) => {}
    }
}

/// The conditions of a route on each of its listeners, for every host.
fn loads<'r>(
    gateways: &'r [GatewayState<'_>],
    own: &'r OwnRoute,
) -> impl Iterator<Item = (Place, usize)> + use<'r> {
    let load = |one: &Attachment| Some((place(gateways, one)?, own.conditions * one.hostnames.len()));
    own.attachments.iter().filter_map(load)
}

/// The hosts of an attachment that are the route's to serve.
fn kept(attachment: &Attachment, verdict: Option<&RouteVerdict>) -> Arc<[MatchHostname]> {
    let keeps = |name: &&MatchHostname| verdict.is_none_or(|one| one.keeps(name.effective.as_ref()));
    match attachment.hostnames.iter().all(|name| keeps(&name)) {
        true => Arc::clone(&attachment.hostnames),
        false => attachment.hostnames.iter().filter(keeps).cloned().collect(),
    }
}

fn place(gateways: &[GatewayState<'_>], attachment: &Attachment) -> Option<Place> {
    find_parent(gateways, &attachment.at).map(|(gateway, _)| (gateway, attachment.listener))
}
