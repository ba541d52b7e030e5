//! Reasons for which a route that could have taken a request has not.

use std::net::SocketAddr;

use gateway_api_types::{Condition, ConditionStatus, Kind, ObjectKey, ParentReference, ResourceSet};
use gateway_ir::order::{Clause, Rank, deciding};
use gateway_ir::{Bind, Listener, MatchHostname, ObjectName, Route, RouteId, RouteKind};
use gateway_snapshot::{ExplainedHit, Explanation};
use gateway_translate::Translation;
use gateway_translate::condition_type::is_fault_if_true;

use super::candidates::Candidate;

/// Conditions of a parent that only repeat what its own field is told about.
const TOLD_BY_FIELD: [&str; 3] = ["Accepted", "ResolvedRefs", "Programmed"];

/// A request that was looked up.
pub(super) struct Lookup<'a> {
    pub(super) resources: &'a ResourceSet,
    pub(super) translation: &'a Translation,
    pub(super) explanation: &'a Explanation,
    /// The address that its connection came to.
    pub(super) local: SocketAddr,
    pub(super) host: &'a str,
}

impl Lookup<'_> {
    /// Every reason, in the order in which a route comes to serve: its parents, their listeners, the listener that took the
    /// request, its place among the rules there.
    pub(super) fn losses(&self, candidate: &Candidate) -> Vec<String> {
        let mut losses = self.of_parents(&candidate.route);
        losses.extend(self.of_gateways(&candidate.route));
        losses.extend(self.of_conditions(&candidate.route));
        let attached = self.attached(&candidate.route);
        if attached.is_empty() && losses.is_empty() {
            losses.extend(self.of_listeners(&candidate.route));
        }
        for (bind, listener, hosts) in attached {
            let loss = self.on(bind, listener, hosts, candidate);
            if !losses.contains(&loss) {
                losses.push(loss);
            }
        }
        if losses.is_empty() {
            losses.push("its Gateway does not serve it; see `sluice check`".to_owned());
        }
        losses
    }

    /// Findings about the fields that name its parents.
    fn of_parents(&self, route: &RouteId) -> Vec<String> {
        let is_meant = |kind: Kind, key: &ObjectKey| {
            kind.to_string() == route.kind.as_str()
                && (&*key.namespace, &*key.name) == (&*route.object.namespace, &*route.object.name)
        };
        let all = self.translation.diagnostics.iter();
        let about = all.filter(|one| is_meant(one.object.kind, &one.object.key));
        let parents = about.filter(|one| one.field.starts_with("parentRefs"));
        parents.map(|one| format!("{}: {}", one.field, one.message)).collect()
    }

    /// Parents that are another controller's Gateways, or no Gateways.
    fn of_gateways(&self, route: &RouteId) -> Vec<String> {
        let mut losses = Vec::new();
        let parents = parents(self.resources, route);
        if parents.is_empty() {
            losses.push("parentRefs: it names no Gateway".to_owned());
        }
        for (at, parent) in parents.iter().enumerate() {
            let key =
                ObjectKey::new(parent.namespace.as_deref().unwrap_or(&route.object.namespace), &*parent.name);
            let Some(gateway) = self.resources.gateways.get(&key).filter(|_| parent.kind == "Gateway") else {
                continue;
            };
            if !self.translation.status.gateways.contains_key(&ObjectName::new(&*key.namespace, &*key.name)) {
                let class = &gateway.spec.gateway_class_name;
                let of = self.resources.gateway_classes.get(&ObjectKey::new("", &**class));
                let controller = of.map_or_else(
                    || "which does not exist".to_owned(),
                    |class| format!("which is of {}", class.spec.controller_name),
                );
                losses.push(format!(
                    "parentRefs[{at}]: Gateway \"{key}\" has GatewayClass {class:?}, {controller}"
                ));
            }
        }
        losses
    }

    /// Conditions of its parents that say more than that it is not attached, such as the loss of a host to another namespace.
    fn of_conditions(&self, route: &RouteId) -> Vec<String> {
        let status = self.translation.status.routes.get(route);
        let conditions =
            status.into_iter().flat_map(|status| &status.parents).flat_map(|one| &one.conditions);
        let wrong = conditions.filter(|one| is_wrong(one) && !TOLD_BY_FIELD.contains(&&*one.type_));
        wrong.map(|one| format!("{}: {}", one.type_, one.message)).collect()
    }

    /// Listeners of its Gateways that are not served.
    fn of_listeners(&self, route: &RouteId) -> Vec<String> {
        let mut losses = Vec::new();
        for parent in parents(self.resources, route) {
            let namespace = parent.namespace.as_deref().unwrap_or(&route.object.namespace);
            let name = ObjectName::new(namespace, &*parent.name);
            let Some(status) = self.translation.status.gateways.get(&name) else { continue };
            for listener in &status.listeners {
                let wrong = listener.conditions.iter().filter(|one| is_wrong(one));
                let said = wrong.map(|one| {
                    format!(
                        "listener {name}/{} is not served: {}: {}",
                        listener.name, one.reason, one.message
                    )
                });
                losses.extend(said);
            }
        }
        losses.dedup();
        losses
    }

    /// Where it is attached.
    fn attached(&self, route: &RouteId) -> Vec<(&Bind, &Listener, &[MatchHostname])> {
        let listeners = self.translation.ir.binds.iter();
        let listeners = listeners.flat_map(|bind| bind.listeners.iter().map(move |one| (bind, one)));
        listeners
            .filter_map(|(bind, listener)| Some((bind, listener, &**listener.routes.get(route)?)))
            .collect()
    }

    /// The reason on a listener that it is attached to.
    fn on(&self, bind: &Bind, listener: &Listener, hosts: &[MatchHostname], candidate: &Candidate) -> String {
        let id = &listener.id;
        if bind.port != self.local.port() {
            return format!(
                "it is attached to listener {id} on port {}; this request came to {}",
                bind.port, self.local
            );
        }
        let taker = match &self.explanation.listener {
            Some(taker) if taker.id == *id => taker,
            Some(taker) => {
                return format!(
                    "it is attached to listener {id} for {}; listener {} takes the host",
                    hostname(listener),
                    taker.text
                );
            }
            None => return format!("it is attached to listener {id} for {}", hostname(listener)),
        };
        let (Some(winner), Some(own)) = (&self.explanation.hit, covering(hosts, self.host)) else {
            return format!("it is attached to listener {id}, but not for this host");
        };
        let winners = self.hosts_of(listener, &winner.rule.route.id);
        let Some(theirs) = winners.and_then(|hosts| covering(hosts, self.host)) else {
            return format!("{} takes the request on listener {}", winner.place(), taker.text);
        };
        self.precedence((winner, theirs), (&candidate.hit, own))
    }

    fn hosts_of<'l>(&self, listener: &'l Listener, route: &RouteId) -> Option<&'l [MatchHostname]> {
        listener.routes.get(route).map(|hosts| &**hosts)
    }

    /// The step of the order by which the winner goes first.
    fn precedence(
        &self,
        (winner, theirs): (&ExplainedHit, &MatchHostname),
        (loser, own): (&ExplainedHit, &MatchHostname),
    ) -> String {
        let first = format!("{} goes first", winner.place());
        let (Some(a), Some(b)) = (self.rank(winner, theirs), self.rank(loser, own)) else { return first };
        match deciding(&a, &b) {
            Some(clause) => format!("{first}: {}", clause_text(clause)),
            None => first,
        }
    }

    fn rank<'a>(&'a self, hit: &'a ExplainedHit, host: &MatchHostname) -> Option<Rank<'a>> {
        let Route::Http(route) = &**self.translation.ir.routes.get(&hit.rule.route.id)? else { return None };
        let position = (hit.rule.index as usize, hit.match_index as usize);
        let matching = route.rules.get(position.0)?.matches.get(position.1)?;
        let of = (&route.id, route.created);
        Some(Rank::new(host.effective.as_ref(), host.original.as_ref(), of, position, matching))
    }
}

/// True if a condition tells of a fault. One that is unknown waits for nodes, which have no part in what is only read.
fn is_wrong(condition: &Condition) -> bool {
    match condition.status {
        ConditionStatus::True => is_fault_if_true(&condition.type_),
        ConditionStatus::False => !is_fault_if_true(&condition.type_),
        ConditionStatus::Unknown => false,
    }
}

/// The parents that a route names.
fn parents<'a>(resources: &'a ResourceSet, route: &RouteId) -> &'a [ParentReference] {
    let key = ObjectKey::new(&*route.object.namespace, &*route.object.name);
    let http = || resources.http_routes.get(&key).map(|route| route.spec.parent_refs.as_slice());
    let grpc = || resources.grpc_routes.get(&key).map(|route| route.spec.parent_refs.as_slice());
    match route.kind {
        RouteKind::HTTPRoute => http(),
        RouteKind::GRPCRoute => grpc(),
        _ => None,
    }
    .unwrap_or_default()
}

/// Of the hosts on which a route is served the one by which it takes a request: the most specific.
fn covering<'a>(hosts: &'a [MatchHostname], host: &str) -> Option<&'a MatchHostname> {
    let covers = |one: &&MatchHostname| one.effective.as_ref().is_none_or(|name| name.matches(host));
    hosts.iter().filter(covers).min_by_key(|one| gateway_ir::order::HostRank::of(one.effective.as_ref()))
}

fn hostname(listener: &Listener) -> String {
    listener.hostname.as_ref().map_or_else(|| "every host".to_owned(), |host| format!("host {host}"))
}

fn clause_text(clause: Clause) -> &'static str {
    match clause {
        Clause::Host => "its host is more specific",
        Clause::WrittenHost => "the hostname that it writes is more specific",
        Clause::Path => {
            "its path is more specific (Exact, then RegularExpression, then PathPrefix; the longer first)"
        }
        Clause::Method => "it asks for a method",
        Clause::GrpcMethod => "its gRPC method is longer",
        Clause::Headers => "it has more header conditions",
        Clause::Query => "it has more query parameter conditions",
        Clause::Age => "its route is older",
        Clause::Name => "all else is equal, and its route comes first by namespace and name",
        Clause::Position => "it is an earlier rule or match of the same route",
    }
}
