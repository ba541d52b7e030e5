//! Routes: rules and parents put together, and the status of each parent.

use std::fmt;
use std::sync::Arc;

use gateway_api_types::{Condition, ConditionStatus, RouteParentStatus, RouteStatus};
use gateway_ir::{Hostname, HttpRoute, L4Route, ObjectName, Route as IrRoute};

use super::{Route, Rules, failure, fate};
use crate::Severity;
use crate::age;
use crate::attach::{self, Attachment, ParentState, Parents};
use crate::diagnostics::{ConfigError, Diagnostics, ObjectRef};
use crate::host_load;
use crate::price::{Demand, RejectedParts};
use crate::read::{Parent, Reader};
use crate::reason::{self, condition, kind};
use crate::rule::{self, RuleReport, RuleState};
use crate::status::MissingGateway;
use crate::view;

/// The result for a route: everything that later steps and later translations need of it, nothing
/// borrowed.
#[derive(Debug)]
pub(crate) struct RouteState {
    /// The diagnostics, whether or not the route is ours.
    pub(crate) diagnostics: Diagnostics,
    /// A Gateway that it names and that does not exist, if one of ours was probably meant.
    pub(crate) missing: Option<Box<MissingGateway>>,
    /// `None` if no parent of it is ours.
    pub(crate) own: Option<OwnRoute>,
}

/// A route with a parent of ours.
#[derive(Debug)]
pub(crate) struct OwnRoute {
    pub(crate) ir: Arc<IrRoute>,
    /// Where it is attached. A route whose rules are all invalid is attached too: it responds 500, and its
    /// requests fall through to nobody else.
    pub(crate) attachments: Box<[Attachment]>,
    /// True if it counts as attached: at least one rule is served as written ("Accepted" in
    /// `RouteParentStatus`).
    pub(crate) is_valid: bool,
    pub(crate) status: Arc<RouteStatus>,
    /// Conditions of all its matches.
    pub(crate) conditions: usize,
    /// The expressions of its rules that can be built, whether or not requests may have them tried.
    pub(crate) demands: Box<[Demand]>,
}

/// A route, translated and judged at every parent of ours.
struct EvaluatedRoute<'r, 'v, 'a> {
    reader: &'r Reader<'v, 'a>,
    object: &'r dyn Route,
    ir: IrRoute,
    /// One for each rule.
    rules: Vec<RuleReport>,
    /// Hostnames that are none; the others are served.
    bad_hostnames: Vec<ConfigError>,
    parents: Vec<ParentState<'r>>,
}

/// Translates one route and judges it at every parent of ours.
pub(crate) fn evaluate(
    reader: &Reader<'_, '_>,
    controller: &str,
    route: &dyn Route,
    refusals: &RejectedParts,
) -> RouteState {
    let mut diagnostics = Diagnostics::default();
    let mut missing = None;
    let own = evaluate_own(reader, controller, route, refusals, &mut diagnostics, &mut missing);
    diagnostics.bound(&view::route_ref(&route.id()));
    let generation = route.metadata().generation;
    let missing = missing.map(|(wanted, message)| Box::new(MissingGateway { generation, wanted, message }));
    RouteState { diagnostics, missing, own }
}

/// `None` if no parent of it is ours: then nothing is said about its rules, which are another controller's to
/// judge.
fn evaluate_own(
    reader: &Reader<'_, '_>,
    controller: &str,
    route: &dyn Route,
    refusals: &RejectedParts,
    diagnostics: &mut Diagnostics,
    missing: &mut Option<(ObjectName, String)>,
) -> Option<OwnRoute> {
    let id = route.id();
    let object = view::route_ref(&id);
    about_parents(route, &object, diagnostics);
    let (hostnames, bad_hostnames) = hostnames(route);
    let Parents { ours: mut parents, missing: gateway } =
        attach::parents(reader, route, &hostnames, diagnostics);
    *missing = gateway;
    if parents.is_empty() {
        return None;
    }
    for error in &bad_hostnames {
        diagnostics.error(&object, error);
    }
    // With no hostname left the route would serve every host, which is the opposite of what was written.
    if let Some(error) = bad_hostnames.first().filter(|_| hostnames.is_empty()) {
        parents.iter_mut().for_each(|parent| parent.outcome = Err(error.clone()));
    }
    let specs = route.rules();
    let (ir, rules) = rules(reader, route, &specs, refusals);
    for rule in &rules {
        rule.invalid.iter().chain(&rule.unresolved).for_each(|error| diagnostics.error(&object, error));
        for (field, message) in &rule.ignored {
            diagnostics.push(Severity::Warning, &object, field, message);
        }
    }
    let evaluated = EvaluatedRoute { reader, object: route, ir, rules, bad_hostnames, parents };
    evaluated.not_served(&object, diagnostics);
    let demands = Demand::of(specs.http(), |text| refusals.texts.contains_key(text));
    Some(evaluated.finish(controller, demands))
}

fn about_parents(route: &dyn Route, object: &ObjectRef, diagnostics: &mut Diagnostics) {
    if route.parent_refs().is_empty() && !route.wants_default_gateways() {
        let message = "names no Gateway, so it serves nothing";
        diagnostics.push(Severity::Note, object, "parentRefs", message);
    }
}

fn hostnames(route: &dyn Route) -> (Vec<Hostname>, Vec<ConfigError>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (index, text) in route.hostnames().iter().enumerate() {
        match Hostname::parse(text) {
            Ok(hostname) => good.push(hostname),
            Err(error) => bad.push(ConfigError::new(
                reason::UNSUPPORTED_VALUE,
                format!("hostnames[{index}]"),
                error.to_string(),
            )),
        }
    }
    (good, bad)
}

/// The route with its rules, and a report on each of them.
fn rules(
    reader: &Reader<'_, '_>,
    route: &dyn Route,
    specs: &Rules<'_>,
    refusals: &RejectedParts,
) -> (IrRoute, Vec<RuleReport>) {
    let (id, created) = (route.id(), age::created(route.metadata()));
    match specs {
        Rules::Http(specs) => {
            let rules = specs.iter().enumerate().map(|(index, spec)| {
                let RuleState { rule, report } = rule::translate(reader, &id, index, spec, refusals);
                (rule, report)
            });
            let (rules, reports) = rules.unzip();
            (HttpRoute { id, created, rules }.into(), reports)
        }
        Rules::L4(spec) => {
            let RuleState { rule, report } = rule::translate_l4(reader, &id, *spec);
            (L4Route { id, created, rule }.into(), vec![report])
        }
    }
}

/// A part of the message of `Accepted`. There may be thousands for each of 32 parents, so only what is shown
/// is written.
enum AcceptedNote<'a> {
    Attached(&'a str),
    Note(&'a str, &'a str),
    BadHostname(&'a ConfigError),
}

impl fmt::Display for AcceptedNote<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attached(text) => f.write_str(text),
            Self::Note(field, why) => write!(f, "{field}: {why}"),
            Self::BadHostname(error) => write!(f, "ignored: {error}"),
        }
    }
}

impl EvaluatedRoute<'_, '_, '_> {
    fn finish(self, controller: &str, demands: Box<[Demand]>) -> OwnRoute {
        let status = Arc::new(self.status(controller));
        let is_valid = self.is_valid();
        let ir = self.ir;
        let attachments = self.parents.into_iter().filter_map(|parent| parent.outcome.ok()).flatten();
        let conditions = ir.http_rules().iter().map(host_load::conditions).sum();
        let attachments = attachments.collect();
        OwnRoute { ir: Arc::new(ir), attachments, is_valid, status, conditions, demands }
    }

    fn failure(&self) -> &'static str {
        failure(self.object.kind())
    }

    fn is_valid(&self) -> bool {
        self.rules.iter().any(|rule| rule.invalid.is_empty())
    }

    fn status(&self, controller: &str) -> RouteStatus {
        let parents = self.parents.iter().map(|parent| RouteParentStatus {
            parent_ref: parent.reference.clone().into_owned(),
            controller_name: controller.to_owned(),
            conditions: self.conditions(parent),
        });
        RouteStatus { parents: parents.collect() }
    }

    fn conditions(&self, parent: &ParentState<'_>) -> Vec<Condition> {
        let mut conditions = vec![self.accepted(parent), self.resolved_refs()];
        if parent.outcome.is_ok() {
            conditions.extend(self.partially_invalid());
        }
        conditions
    }

    fn accepted(&self, parent: &ParentState<'_>) -> Condition {
        let refused = |reason: &str, message: String| {
            condition(kind::ACCEPTED, ConditionStatus::False, reason, message, self.generation())
        };
        let attachments = match &parent.outcome {
            Ok(attachments) => attachments,
            Err(error) => return refused(error.reason, error.to_string()),
        };
        let invalid = || self.rules.iter().flat_map(|rule| &rule.invalid);
        if let Some(first) = invalid().next().filter(|_| !self.is_valid()) {
            let message = format!("{}; {}", reason::join_errors(invalid()), fate(self.object.kind()));
            return refused(first.reason, message);
        }
        let listeners: Vec<_> = attachments.iter().filter_map(|one| self.listener_name(one)).collect();
        let noun = if listeners.len() == 1 { "listener" } else { "listeners" };
        let attached = format!("attached to {noun} {}", listeners.join(", "));
        let ignored = self.rules.iter().flat_map(|rule| &rule.ignored);
        let ignored = ignored.map(|(field, why)| AcceptedNote::Note(field, why));
        let bad = self.bad_hostnames.iter().map(AcceptedNote::BadHostname);
        let message = reason::list([AcceptedNote::Attached(&attached)].into_iter().chain(ignored).chain(bad));
        condition(kind::ACCEPTED, ConditionStatus::True, reason::ACCEPTED, message, self.generation())
    }

    fn resolved_refs(&self) -> Condition {
        let errors: Vec<_> = self.rules.iter().flat_map(|rule| &rule.unresolved).collect();
        let (status, reason, message) = match errors.first() {
            None => (ConditionStatus::True, reason::RESOLVED_REFS, "every backendRef was found".to_owned()),
            Some(first) => {
                (ConditionStatus::False, first.reason, reason::join_errors(errors.iter().copied()))
            }
        };
        let doubted = self.rules.iter().flat_map(|rule| &rule.doubted);
        let message = doubted.fold(message, |all, (field, why)| format!("{all}; {field}: {why}"));
        condition(kind::RESOLVED_REFS, status, reason, message, self.generation())
    }

    /// Present only if some rules are valid and some are not; the message must begin with "Dropped Rule".
    fn partially_invalid(&self) -> Option<Condition> {
        let invalid = || self.rules.iter().flat_map(|rule| &rule.invalid);
        let first = invalid().next().filter(|_| self.is_valid())?;
        let message = match self.rules.iter().filter(|rule| !rule.invalid.is_empty()).count() {
            1 => format!("Dropped Rule (answered with {} where it matches)", self.failure()),
            _ => format!("Dropped Rules (answered with {} where they match)", self.failure()),
        };
        let message = format!("{message}: {}", reason::join_errors(invalid()));
        Some(condition(
            kind::PARTIALLY_INVALID,
            ConditionStatus::True,
            first.reason,
            message,
            self.generation(),
        ))
    }

    /// A route may be attached to listeners that are not served, which is the Gateway's owner's to mend.
    fn not_served(&self, object: &ObjectRef, diagnostics: &mut Diagnostics) {
        let attachments = self.parents.iter().flat_map(|parent| parent.outcome.iter().flatten());
        let mut served =
            attachments.filter_map(|one| self.find_listener(one)).map(|(_, served)| served).peekable();
        if served.peek().is_some() && !served.any(|served| served) {
            let message = "attached to no listener that is served; see the status of its parents";
            diagnostics.push(Severity::Warning, object, "parentRefs", message);
        }
    }

    fn generation(&self) -> Option<i64> {
        self.object.metadata().generation
    }

    /// The listener's name, and whether it is served.
    fn find_listener(&self, attachment: &Attachment) -> Option<(&str, bool)> {
        let Parent::Ours(gateway) = self.reader.parent(&attachment.at) else { return None };
        let listener = gateway.listeners.get(attachment.listener)?;
        Some((&listener.spec.name, gateway.serves(listener)))
    }

    fn listener_name(&self, attachment: &Attachment) -> Option<String> {
        let (name, served) = self.find_listener(attachment)?;
        let suffix = if served { "" } else { " (not served)" };
        Some(format!("{name:?}{suffix}"))
    }
}
