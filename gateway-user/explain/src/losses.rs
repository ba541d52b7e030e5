//! Reasons for which a route that could have taken a request has not.

use gateway_api_types::{Condition, ConditionStatus, GATEWAY_GROUP, ObjectKey, ParentReference};
use gateway_ir::order::{Clause, HostRank, Rank, deciding};
use gateway_ir::{Bind, Listener, MatchHostname, ObjectName, Route, RouteId, RouteKind};
use gateway_snapshot::ExplainedHit;
use gateway_translate::condition_type::is_fault_if_true;

use crate::Lookup;
use crate::candidates::Candidate;
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

    /// The parents that it names, where they are none of ours or do not let it in.
    fn of_parents(&self, route: &RouteId) -> Vec<Loss> {
        let parents = self.parents(route);
        if parents.is_empty() {
            if self.translation.status.routes.get(route).is_some_and(|status| !status.parents.is_empty()) {
                // A default Gateway has taken it.
                return Vec::new();
            }
            let loss = Loss::new(
                LossReason::NoParent,
                "parentRefs: it names no Gateway, and no default Gateway lets it in",
            );
            return vec![loss.with(remedies::another_parent(self, route, None))];
        }
        let of = |(at, parent): (usize, &ParentReference)| self.of_parent(route, at, parent);
        parents.iter().enumerate().filter_map(of).collect()
    }

    fn of_parent(&self, route: &RouteId, at: usize, parent: &ParentReference) -> Option<Loss> {
        let field = format!("parentRefs[{at}]");
        if (&*parent.group, &*parent.kind) != (GATEWAY_GROUP, "Gateway") {
            let message = format!("{field}: a {} lets nothing in here, only a Gateway does", parent.kind);
            let loss = Loss::new(LossReason::ParentKind, message);
            return Some(loss.with(remedies::another_parent(self, route, Some(at))));
        }
        let name = gateway_of(route, parent);
        let key = ObjectKey::new(&*name.namespace, &*name.name);
        let Some(gateway) = self.resources.gateways.get(&key) else {
            let loss = Loss::new(LossReason::ParentMissing, self.missing(route, &field, &name));
            return Some(loss.with(remedies::another_parent(self, route, Some(at))));
        };
        if !self.translation.status.gateways.contains_key(&name) {
            let class = &gateway.spec.gateway_class_name;
            let of = self.resources.gateway_classes.get(&ObjectKey::new("", &**class));
            let controller = of.map_or_else(
                || "which does not exist".to_owned(),
                |class| format!("which is of {}", class.spec.controller_name),
            );
            let message = format!("{field}: Gateway \"{name}\" has GatewayClass {class:?}, {controller}");
            let loss = Loss::new(LossReason::ParentForeign, message);
            return Some(loss.with(remedies::another_parent(self, route, Some(at))));
        }
        let status = self.translation.status.routes.get(route)?;
        let own = status.parents.iter().find(|one| one.parent_ref == *parent)?;
        let refused = own
            .conditions
            .iter()
            .find(|one| one.type_ == "Accepted" && one.status == ConditionStatus::False)?;
        let (reason, remedy) = match &*refused.reason {
            "NoMatchingParent" => {
                (LossReason::NoMatchingParent, remedies::another_parent(self, route, Some(at)))
            }
            "NotAllowedByListeners" => {
                (LossReason::NotAllowed, remedies::leave(self, route, gateway, parent))
            }
            "NoMatchingListenerHostname" => {
                (LossReason::NoMatchingHostname, remedies::another_parent(self, route, Some(at)))
            }
            _ => (LossReason::NotAccepted, None),
        };
        Some(Loss::new(reason, &*refused.message).with(remedy))
    }

    /// The finding about a Gateway that is not there: it names the one that was meant.
    fn missing(&self, route: &RouteId, field: &str, name: &ObjectName) -> String {
        let is_meant = |one: &&gateway_translate::Diagnostic| {
            one.field == field
                && one.object.kind.to_string() == route.kind.as_str()
                && (&*one.object.key.namespace, &*one.object.key.name)
                    == (&*route.object.namespace, &*route.object.name)
        };
        let finding = self.translation.diagnostics.iter().find(is_meant);
        finding.map_or_else(
            || format!("{field}: no Gateway \"{name}\""),
            |one| format!("{field}: {}", one.message),
        )
    }

    /// Conditions of its parents that say more than that it is not attached, such as the loss of a host to another namespace.
    fn of_conditions(&self, route: &RouteId) -> Vec<Loss> {
        let status = self.translation.status.routes.get(route);
        let conditions =
            status.into_iter().flat_map(|status| &status.parents).flat_map(|one| &one.conditions);
        let wrong = conditions.filter(|one| is_wrong(one) && !TOLD_OTHERWISE.contains(&&*one.type_));
        wrong.map(|one| Loss::new(LossReason::Condition, format!("{}: {}", one.type_, one.message))).collect()
    }

    /// Listeners of its Gateways that are not served.
    fn of_listeners(&self, route: &RouteId) -> Vec<Loss> {
        let mut losses: Vec<Loss> = Vec::new();
        for parent in self.parents(route) {
            let name = gateway_of(route, parent);
            let Some(status) = self.translation.status.gateways.get(&name) else { continue };
            for listener in &status.listeners {
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

/// The Gateway that a parent names.
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
