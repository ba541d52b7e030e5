//! Reasons for which a route that could have taken a request has not.

mod parents;

use gateway_api_types::{Condition, ConditionStatus, Kind, ObjectKey, ParentReference};
use gateway_ir::order::{Clause, HostRank, Rank, deciding};
use gateway_ir::{Bind, Listener, MatchHostname, ObjectName, Route, RouteId, RouteKind};
use gateway_snapshot::ExplainedHit;
use gateway_translate::condition_type::is_fault_if_true;

use crate::Lookup;
use crate::candidates::Candidate;
use crate::holder;
use crate::loss::{Loss, LossReason};
use crate::remedies;

/// Conditions of a parent that are told by its own field, or are about backends and nodes.
const TOLD_OTHERWISE: [&str; 3] = ["Accepted", "ResolvedRefs", "Programmed"];

impl Lookup<'_> {
    /// Every reason, in the order in which a route comes to serve: its parents, their listeners, the listener that took the
    /// request, its place among the rules there.
    pub(crate) fn losses(&self, candidate: &Candidate) -> Vec<Loss> {
        let route = &candidate.route;
        let mut losses = self.of_parents(route);
        losses.extend(self.of_conditions(route));
        let attached = self.attached(route);
        if attached.is_empty() && losses.is_empty() {
            losses.extend(self.of_listeners(route));
        }
        for (bind, listener, hosts) in attached {
            let loss = self.on(bind, listener, hosts, candidate);
            if !losses.contains(&loss) {
                losses.push(loss);
            }
        }
        losses
    }

    /// Conditions of its parents that say more than that it is not attached, such as the loss of a host to another namespace.
    fn of_conditions(&self, route: &RouteId) -> Vec<Loss> {
        let status = self.translation.status.routes.get(route);
        let conditions =
            status.into_iter().flat_map(|status| &status.parents).flat_map(|one| &one.conditions);
        let wrong = conditions.filter(|one| is_wrong(one) && !TOLD_OTHERWISE.contains(&&*one.type_));
        wrong.map(|one| Loss::new(LossReason::Condition, format!("{}: {}", one.type_, one.message))).collect()
    }

    /// Listeners of its parents that are not served.
    fn of_listeners(&self, route: &RouteId) -> Vec<Loss> {
        let mut losses: Vec<Loss> = Vec::new();
        for parent in self.parents(route) {
            let name = gateway_of(route, parent);
            let kind = if parent.is_listener_set() { Kind::ListenerSet } else { Kind::Gateway };
            for listener in holder::statuses(&self.translation.status, kind, &name) {
                for one in listener.conditions.iter().filter(|one| is_wrong(one)) {
                    let message = format!(
                        "listener {name}/{} is not served: {}: {}",
                        listener.name, one.reason, one.message
                    );
                    let loss = Loss::new(LossReason::ListenerNotServed, message);
                    if !losses.contains(&loss) {
                        losses.push(loss);
                    }
                }
            }
        }
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
    fn on(&self, bind: &Bind, listener: &Listener, hosts: &[MatchHostname], candidate: &Candidate) -> Loss {
        let (id, route) = (&listener.id, &candidate.route);
        if bind.port != self.local.port() {
            let message = format!(
                "it is attached to listener {id} on port {}; this request came to {}",
                bind.port, self.local
            );
            let loss = Loss::new(LossReason::OtherPort, message);
            return loss.with(remedies::another_parent(self, route, None));
        }
        let taker = match &self.explanation.listener {
            Some(taker) if taker.id == *id => taker,
            taker => {
                let mut message = format!("it is attached to listener {id} for {}", hostname(listener));
                if let Some(taker) = taker {
                    message.push_str(&format!("; listener {} takes the host", taker.text));
                }
                let loss = Loss::new(LossReason::OtherListener, message);
                return loss.with(remedies::another_parent(self, route, None));
            }
        };
        let other_host = || {
            let message = format!("it is attached to listener {id}, but not for this host");
            Loss::new(LossReason::OtherHost, message)
        };
        let Some(own) = covering(hosts, self.host()) else { return other_host() };
        let Some(winner) = &self.explanation.hit else { return other_host() };
        let first = format!("{} goes first on listener {}", winner.place(), taker.text);
        let theirs = listener.routes.get(&winner.rule.route.id);
        let theirs = theirs.and_then(|hosts| covering(hosts, self.host()));
        let clause = theirs.and_then(|theirs| self.deciding((winner, theirs), (&candidate.hit, own)));
        let why = clause.map(|clause| format!(": {}", clause_text(clause))).unwrap_or_default();
        Loss::new(LossReason::GoesFirst(clause), first + &why)
    }

    /// The step of the order by which the winner goes first.
    fn deciding(
        &self,
        (winner, theirs): (&ExplainedHit, &MatchHostname),
        (loser, own): (&ExplainedHit, &MatchHostname),
    ) -> Option<Clause> {
        deciding(&self.rank(winner, theirs)?, &self.rank(loser, own)?)
    }

    fn rank<'a>(&'a self, hit: &'a ExplainedHit, host: &MatchHostname) -> Option<Rank<'a>> {
        let Route::Http(route) = &**self.translation.ir.routes.get(&hit.rule.route.id)? else { return None };
        let position = (hit.rule.index as usize, hit.match_index as usize);
        let matching = route.rules.get(position.0)?.matches.get(position.1)?;
        let of = (&route.id, route.created);
        Some(Rank::new(host.effective.as_ref(), host.original.as_ref(), of, position, matching))
    }

    /// The parents that a route names.
    pub(crate) fn parents(&self, route: &RouteId) -> &[ParentReference] {
        let key = ObjectKey::new(&*route.object.namespace, &*route.object.name);
        let resources = self.resources;
        match route.kind {
            RouteKind::HTTPRoute => {
                resources.http_routes.get(&key).map(|one| one.spec.parent_refs.as_slice())
            }
            RouteKind::GRPCRoute => {
                resources.grpc_routes.get(&key).map(|one| one.spec.parent_refs.as_slice())
            }
            _ => None,
        }
        .unwrap_or_default()
    }
}

/// The name that a parent has.
fn gateway_of(route: &RouteId, parent: &ParentReference) -> ObjectName {
    ObjectName::new(parent.namespace.as_deref().unwrap_or(&route.object.namespace), &*parent.name)
}

/// True if a condition tells of a fault. One that is unknown waits for nodes, which have no part in what is only read.
fn is_wrong(condition: &Condition) -> bool {
    match condition.status {
        ConditionStatus::True => is_fault_if_true(&condition.type_),
        ConditionStatus::False => !is_fault_if_true(&condition.type_),
        ConditionStatus::Unknown => false,
    }
}

/// Of the hosts on which a route is served the one by which it takes a request: the most specific.
fn covering<'a>(hosts: &'a [MatchHostname], host: &str) -> Option<&'a MatchHostname> {
    let covers = |one: &&MatchHostname| one.effective.as_ref().is_none_or(|name| name.matches(host));
    hosts.iter().filter(covers).min_by_key(|one| HostRank::of(one.effective.as_ref()))
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
