//! HTTPRoutes: rules and parents put together, and the status of each parent.

use gateway_api_types::{
    Condition, ConditionStatus, HttpRoute, HttpRouteRule, RouteParentStatus, RouteStatus,
};
use gateway_ir::{Hostname, HttpRoute as IrRoute, ObjectName, RouteId, RouteKind};

use crate::Severity;
use crate::attach::{self, Attachment, ParentState};
use crate::findings::{Fault, Findings, ObjectRef};
use crate::gateway::GatewayState;
use crate::grants::Referrer;
use crate::listener::ListenerState;
use crate::reason::{self, condition, kind};
use crate::rule::{self, RuleState};
use crate::view::{self, View};

/// A route, translated and judged at every parent of ours.
#[derive(Debug)]
pub(crate) struct RouteState<'a> {
    pub(crate) ir: IrRoute,
    object: &'a HttpRoute,
    rules: Vec<RuleState>,
    /// Hostnames that are none; the others are served.
    bad_hostnames: Vec<Fault>,
    parents: Vec<ParentState<'a>>,
}

/// Every HTTPRoute that has a parent of ours, by namespace and name.
pub(crate) fn evaluate<'a>(
    view: &View<'a>,
    gateways: &[GatewayState<'_>],
    findings: &mut Findings<'_>,
) -> Vec<RouteState<'a>> {
    view.http_routes().filter_map(|route| evaluate_one(view, gateways, route, findings)).collect()
}

/// `None` if no parent of it is ours: then nothing is said about its rules, which are another controller's to judge.
fn evaluate_one<'a>(
    view: &View<'a>,
    gateways: &[GatewayState<'_>],
    route: &'a HttpRoute,
    findings: &mut Findings<'_>,
) -> Option<RouteState<'a>> {
    let name = view::name_of(&route.metadata);
    let object = view::route_ref(&name);
    about_parents(route, &object, findings);
    let (hostnames, bad_hostnames) = hostnames(route);
    let mut parents = attach::parents(view, gateways, route, &hostnames, findings);
    if parents.is_empty() {
        return None;
    }
    for fault in &bad_hostnames {
        findings.fault(&object, fault);
    }
    // With no hostname left the route would serve every host, which is the opposite of what was written.
    if let Some(fault) = bad_hostnames.first().filter(|_| hostnames.is_empty()) {
        parents.iter_mut().for_each(|parent| parent.outcome = Err(fault.clone()));
    }
    let rules = rules(view, route, &name);
    for rule in &rules {
        rule.invalid.iter().chain(&rule.unresolved).for_each(|fault| findings.fault(&object, fault));
        for (field, message) in &rule.ignored {
            findings.push(Severity::Warning, &object, field, message);
        }
    }
    let ir = IrRoute {
        id: RouteId { kind: RouteKind::HTTPRoute, object: name },
        created: view::created(&route.metadata),
        rules: rules.iter().map(|state| state.rule.clone()).collect(),
    };
    let state = RouteState { ir, object: route, rules, bad_hostnames, parents };
    state.not_served(&object, gateways, findings);
    Some(state)
}

fn about_parents(route: &HttpRoute, object: &ObjectRef, findings: &mut Findings<'_>) {
    if route.spec.use_default_gateways.is_some_and(|scope| scope.as_str() != "None") {
        let message = "default Gateways are not supported; name the Gateway in parentRefs";
        findings.push(Severity::Warning, object, "useDefaultGateways", message);
    } else if route.spec.parent_refs.is_empty() {
        let message = "names no Gateway, so it serves nothing";
        findings.push(Severity::Note, object, "parentRefs", message);
    }
}

fn hostnames(route: &HttpRoute) -> (Vec<Hostname>, Vec<Fault>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (index, text) in route.spec.hostnames.iter().enumerate() {
        match Hostname::parse(text) {
            Ok(hostname) => good.push(hostname),
            Err(error) => bad.push(Fault::new(
                reason::UNSUPPORTED_VALUE,
                format!("hostnames[{index}]"),
                error.to_string(),
            )),
        }
    }
    (good, bad)
}

/// No rule at all is one that matches everything and has no backend (the CRD's default).
fn rules(view: &View<'_>, route: &HttpRoute, name: &ObjectName) -> Vec<RuleState> {
    let referrer = Referrer::http_route(&name.namespace);
    let default = [HttpRouteRule::default()];
    let rules = if route.spec.rules.is_empty() { default.as_slice() } else { &route.spec.rules };
    rules.iter().enumerate().map(|(index, spec)| rule::translate(view, referrer, index, spec)).collect()
}

impl RouteState<'_> {
    /// Where it is attached. A route whose rules are all invalid is attached too: it answers 500, and its requests
    /// fall through to nobody else.
    pub(crate) fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.parents.iter().flat_map(|parent| parent.outcome.iter().flatten())
    }

    /// Whether it counts as attached: at least one rule is served as written ("Accepted" in `RouteParentStatus`).
    pub(crate) fn is_valid(&self) -> bool {
        self.rules.iter().any(|rule| rule.invalid.is_empty())
    }

    pub(crate) fn status(&self, controller: &str, gateways: &[GatewayState<'_>]) -> RouteStatus {
        let parents = self.parents.iter().map(|parent| RouteParentStatus {
            parent_ref: parent.reference.clone(),
            controller_name: controller.to_owned(),
            conditions: self.conditions(parent, gateways),
        });
        RouteStatus { parents: parents.collect() }
    }

    fn conditions(&self, parent: &ParentState<'_>, gateways: &[GatewayState<'_>]) -> Vec<Condition> {
        let mut conditions = vec![self.accepted(parent, gateways), self.resolved_refs()];
        if parent.outcome.is_ok() {
            conditions.extend(self.partially_invalid());
        }
        conditions
    }

    fn accepted(&self, parent: &ParentState<'_>, gateways: &[GatewayState<'_>]) -> Condition {
        let refused = |reason: &str, message: String| {
            condition(kind::ACCEPTED, ConditionStatus::False, reason, message, self.generation())
        };
        let attachments = match &parent.outcome {
            Ok(attachments) => attachments,
            Err(fault) => return refused(fault.reason, fault.to_string()),
        };
        let invalid = || self.rules.iter().flat_map(|rule| &rule.invalid);
        if let Some(first) = invalid().next().filter(|_| !self.is_valid()) {
            let message = format!("{}; requests are answered with 500", reason::join_faults(invalid()));
            return refused(first.reason, message);
        }
        let listeners: Vec<_> = attachments.iter().filter_map(|one| listener_name(one, gateways)).collect();
        let noun = if listeners.len() == 1 { "listener" } else { "listeners" };
        let mut message = format!("attached to {noun} {}", listeners.join(", "));
        let ignored = self.rules.iter().flat_map(|rule| &rule.ignored);
        for (field, why) in ignored {
            message += &format!("; {field}: {why}");
        }
        for fault in &self.bad_hostnames {
            message += &format!("; ignored: {fault}");
        }
        condition(kind::ACCEPTED, ConditionStatus::True, reason::ACCEPTED, message, self.generation())
    }

    fn resolved_refs(&self) -> Condition {
        let faults: Vec<_> = self.rules.iter().flat_map(|rule| &rule.unresolved).collect();
        let (status, reason, message) = match faults.first() {
            None => (ConditionStatus::True, reason::RESOLVED_REFS, "every backendRef was found".to_owned()),
            Some(first) => {
                (ConditionStatus::False, first.reason, reason::join_faults(faults.iter().copied()))
            }
        };
        condition(kind::RESOLVED_REFS, status, reason, message, self.generation())
    }

    /// Present only if some rules are valid and some are not; the message must begin with "Dropped Rule".
    fn partially_invalid(&self) -> Option<Condition> {
        let invalid = || self.rules.iter().flat_map(|rule| &rule.invalid);
        let first = invalid().next().filter(|_| self.is_valid())?;
        let message = match self.rules.iter().filter(|rule| !rule.invalid.is_empty()).count() {
            1 => "Dropped Rule (answered with 500 where it matches)",
            _ => "Dropped Rules (answered with 500 where they match)",
        };
        let message = format!("{message}: {}", reason::join_faults(invalid()));
        Some(condition(
            kind::PARTIALLY_INVALID,
            ConditionStatus::True,
            first.reason,
            message,
            self.generation(),
        ))
    }

    /// A route may be attached to listeners that are not served, which is the Gateway's owner's to mend.
    fn not_served(&self, object: &ObjectRef, gateways: &[GatewayState<'_>], findings: &mut Findings<'_>) {
        let mut listeners = self.attachments().filter_map(|one| find_listener(one, gateways)).peekable();
        if listeners.peek().is_some() && !listeners.any(|(gateway, listener)| gateway.serves(listener)) {
            let message = "attached to no listener that is served; see the status of its Gateways";
            findings.push(Severity::Warning, object, "parentRefs", message);
        }
    }

    fn generation(&self) -> Option<i64> {
        self.object.metadata.generation
    }
}

fn find_listener<'g, 'a>(
    attachment: &Attachment,
    gateways: &'g [GatewayState<'a>],
) -> Option<(&'g GatewayState<'a>, &'g ListenerState<'a>)> {
    let gateway = gateways.get(attachment.gateway)?;
    Some((gateway, gateway.listeners.get(attachment.listener)?))
}

fn listener_name(attachment: &Attachment, gateways: &[GatewayState<'_>]) -> Option<String> {
    let (gateway, listener) = find_listener(attachment, gateways)?;
    let suffix = if gateway.serves(listener) { "" } else { " (not served)" };
    Some(format!("{:?}{suffix}", listener.spec.name))
}
