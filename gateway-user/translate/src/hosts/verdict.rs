//! The verdict on a route's hosts: its status, its diagnostics, and the hosts that it does not get.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api_types::{Condition, ConditionStatus, RouteParentStatus, RouteStatus};
use gateway_ir::{Hostname, ObjectName};

use super::Hosts;
use super::examine::{Note, RuleName};
use super::listeners::Place;
use crate::Severity;
use crate::attach::Attachment;
use crate::diagnostics::{Diagnostics, ObjectRef};
use crate::gateway::GatewayState;
use crate::httproute::OwnRoute;
use crate::reason::{self, condition, kind};

/// How many things of one sort are told of a route at most, and how many hosts are named in one.
const MESSAGES_MAX: usize = 4;

/// A route that is not alone on its hosts.
#[derive(Debug)]
pub(crate) struct RouteVerdict {
    /// Hosts that are another namespace's, and whose.
    lost: BTreeMap<Hostname, String>,
    /// Its whole status.
    pub(crate) status: Arc<RouteStatus>,
    told: Vec<Message>,
}

/// A finding: severity, field and message.
type Message = (Severity, String, String);

/// Each thing there is to tell, with the hosts and the listeners that it holds for.
type Notes<'a> = BTreeMap<&'a Note, (BTreeSet<Option<Hostname>>, BTreeSet<Place>)>;

impl RouteVerdict {
    /// `None` if the route's own status says everything. `before` is what it came to the last time.
    pub(super) fn of(
        hosts: &Hosts,
        own: &OwnRoute,
        gateways: &[GatewayState<'_>],
        before: Option<&Self>,
    ) -> Option<Self> {
        let name = &own.ir.id.object;
        let (mut lost, mut notes) = (BTreeMap::new(), Notes::new());
        for attachment in &own.attachments {
            let Some(place) = hosts.listeners.find(gateways, attachment) else { continue };
            for hostname in attachment.hostnames.iter().map(|one| &one.effective) {
                let Some(verdict) = hosts.by_name.get(hostname).and_then(|host| host.verdict.as_ref()) else {
                    continue;
                };
                let owner = verdict.owner.as_ref().filter(|owner| !owner.has(&name.namespace));
                if let (Some(hostname), Some(owner)) = (hostname, owner) {
                    lost.insert(hostname.clone(), owner.text());
                }
                for note in verdict.notes_of(name, place) {
                    let (hosts, places) = notes.entry(note).or_default();
                    hosts.insert(hostname.clone());
                    places.insert(place);
                }
            }
        }
        if lost.is_empty() && notes.is_empty() {
            return None;
        }
        let place = |one: &Attachment| hosts.listeners.find(gateways, one);
        let status = status(own, &lost, &notes, &place);
        let status = match before.filter(|before| *before.status == status) {
            Some(same) => Arc::clone(&same.status),
            None => Arc::new(status),
        };
        let told = refusals(&lost).chain(diagnostics(name, &notes)).collect();
        Some(Self { lost, status, told })
    }

    /// True if the route is served on a host.
    pub(crate) fn keeps(&self, host: Option<&Hostname>) -> bool {
        host.is_none_or(|host| !self.lost.contains_key(host))
    }

    pub(super) fn tell(&self, object: &ObjectRef, diagnostics: &mut Diagnostics) {
        for (severity, field, message) in &self.told {
            diagnostics.push(*severity, object, field, message);
        }
    }
}

fn status(
    own: &OwnRoute,
    lost: &BTreeMap<Hostname, String>,
    notes: &Notes<'_>,
    place: &dyn Fn(&Attachment) -> Option<Place>,
) -> RouteStatus {
    let mut status = RouteStatus::clone(&own.status);
    for (number, parent) in (0u32..).zip(&mut status.parents) {
        let attachments: Vec<_> = own.attachments.iter().filter(|one| one.parent == number).collect();
        if attachments.is_empty() {
            continue;
        }
        refuse(parent, &attachments, lost);
        let places: BTreeSet<_> = attachments.iter().filter_map(|one| place(one)).collect();
        let here = notes.iter().filter(|(_, (_, at))| !at.is_disjoint(&places));
        let generation = parent.conditions.first().and_then(|one| one.observed_generation);
        let here = here.map(|(note, (hosts, _))| (*note, hosts));
        parent.conditions.extend(conflict(&own.ir.id.object, here, generation));
    }
    status
}

/// Takes hosts that are others' out of what a parent accepts. Of a route that keeps some, the others are
/// served, as are the valid rules of a route with an invalid one.
fn refuse(parent: &mut RouteParentStatus, attachments: &[&Attachment], lost: &BTreeMap<Hostname, String>) {
    let names = attachments.iter().flat_map(|one| one.hostnames.iter());
    let (gone, kept): (Vec<_>, Vec<_>) =
        names.partition(|name| name.effective.as_ref().is_some_and(|name| lost.contains_key(name)));
    if gone.is_empty() {
        return;
    }
    let gone: BTreeSet<_> = gone.iter().filter_map(|name| name.effective.as_ref()).collect();
    let mut why: Vec<_> =
        gone.iter().take(MESSAGES_MAX).filter_map(|host| Some(belongs(host, lost.get(*host)?))).collect();
    why.extend((gone.len() > MESSAGES_MAX).then(|| "and others".to_owned()));
    let why = why.join("; ");
    let is_accepted =
        |one: &&mut Condition| one.type_ == kind::ACCEPTED && one.status == ConditionStatus::True;
    let Some(accepted) = parent.conditions.iter_mut().find(is_accepted) else { return };
    if kept.is_empty() {
        accepted.status = ConditionStatus::False;
        accepted.reason = reason::HOST_OWNED_BY_OTHER_NAMESPACE.to_owned();
        accepted.message = why;
        parent.conditions.retain(|one| one.type_ != kind::PARTIALLY_INVALID);
        return;
    }
    accepted.message += &format!("; not served: {why}");
    let generation = accepted.observed_generation;
    match parent.conditions.iter_mut().find(|one| one.type_ == kind::PARTIALLY_INVALID) {
        Some(partially) => partially.message += &format!("; {why}"),
        None => parent.conditions.push(condition(
            kind::PARTIALLY_INVALID,
            ConditionStatus::True,
            reason::HOST_OWNED_BY_OTHER_NAMESPACE,
            // The message must begin so.
            format!("Dropped Rules on some hosts: {why}"),
            generation,
        )),
    }
}

fn belongs(host: &Hostname, owner: &str) -> String {
    format!("host \"{host}\" belongs to {owner}")
}

fn refusals(lost: &BTreeMap<Hostname, String>) -> impl Iterator<Item = Message> {
    let fix = "use another host, or have a cluster admin label the Namespace";
    let told = lost.iter().take(MESSAGES_MAX);
    told.map(move |(host, owner)| {
        let message = format!("{}; {fix} with {}", belongs(host, owner), super::label(host));
        (Severity::Error, "hostnames".to_owned(), message)
    })
}

/// The condition of our own that says how a route gets on with others on its hosts.
fn conflict<'a>(
    route: &ObjectName,
    notes: impl Iterator<Item = (&'a Note, &'a BTreeSet<Option<Hostname>>)> + Clone,
    generation: Option<i64>,
) -> Option<Condition> {
    let of = |wanted: bool| notes.clone().filter(move |(note, _)| note.is_conflict() == wanted);
    let conflicts = of(true).next().is_some();
    let writer = MessageWriter { route, with_place: true };
    let told = of(conflicts).filter_map(|(note, hosts)| Some((note.reason()?, writer.say(note, hosts))));
    let told: Vec<_> = told.collect();
    // The gravest first, which is the order of notes.
    let (reason, _) = told.first()?;
    let mut messages: Vec<_> = told.iter().take(MESSAGES_MAX).map(|(_, message)| message.as_str()).collect();
    messages.extend((told.len() > MESSAGES_MAX).then_some("and others"));
    let status = if conflicts { ConditionStatus::True } else { ConditionStatus::False };
    Some(condition(kind::HOST_CONFLICT, status, reason, reason::join(messages), generation))
}

fn diagnostics<'a>(route: &'a ObjectName, notes: &'a Notes<'_>) -> impl Iterator<Item = Message> {
    let writer = MessageWriter { route, with_place: false };
    let conflicts = notes.keys().any(|note| note.is_conflict());
    let told = notes.iter().filter(move |(note, _)| note.is_conflict() || !conflicts || note.is_ownership());
    let told = told.filter_map(move |(note, (hosts, _))| {
        let (severity, field, fix) = note.diagnostic()?;
        let fix = if fix.is_empty() { String::new() } else { format!("; {fix}") };
        Some((severity, field, format!("{}{fix}", writer.say(note, hosts))))
    });
    told.take(MESSAGES_MAX)
}

impl Note {
    /// True if requests go elsewhere than one of the routes means.
    fn is_conflict(&self) -> bool {
        match self {
            Self::OtherListener(_) | Self::Unreachable { .. } | Self::Takes { .. } | Self::Loses { .. } => {
                true
            }
            Self::Shares(_) | Self::SharedBy(_) | Self::LastOfOwner(_) => false,
        }
    }

    fn is_ownership(&self) -> bool {
        matches!(self, Self::LastOfOwner(_))
    }

    /// The reason of the condition that it makes, if it makes one.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::OtherListener(_) | Self::Unreachable { .. } => Some(reason::RULE_NEVER_REACHED),
            Self::Takes { .. } => Some(reason::TAKES_REQUESTS),
            Self::Loses { .. } => Some(reason::LOSES_REQUESTS),
            Self::Shares(_) | Self::SharedBy(_) => Some(reason::SHARED),
            Self::LastOfOwner(_) => None,
        }
    }

    /// Severity, field and fix of its finding, if it makes one: of two routes in each other's way the younger
    /// has it.
    fn diagnostic(&self) -> Option<(Severity, String, String)> {
        let warning = |field: String, fix: String| Some((Severity::Warning, field, fix));
        match self {
            Self::OtherListener(_) => warning(
                "hostnames".to_owned(),
                "attach the route to that listener, or change one of the hostnames".to_owned(),
            ),
            Self::Unreachable { rule, position, .. } => {
                let field = match position {
                    Some(position) => format!("rules[{rule}].matches[{position}]"),
                    None => format!("rules[{rule}]"),
                };
                warning(field, "change one of the two, or take this one away".to_owned())
            }
            Self::Takes { rule, .. } => warning(
                format!("rules[{rule}]"),
                "use another host or path; --host-ownership=oldest-namespace refuses it".to_owned(),
            ),
            Self::LastOfOwner(heir) => warning(
                "hostnames".to_owned(),
                format!(
                    "without it the host is namespace {:?}'s, unless a label of the Namespace keeps it",
                    heir.namespace
                ),
            ),
            Self::Shares(_) => Some((Severity::Note, "hostnames".to_owned(), String::new())),
            Self::Loses { .. } | Self::SharedBy(_) => None,
        }
    }
}

/// The route that the sentences are about.
#[derive(Clone, Copy)]
struct MessageWriter<'a> {
    route: &'a ObjectName,
    /// True if the rule is said with its place: a condition has none.
    with_place: bool,
}

impl MessageWriter<'_> {
    /// One thing in a sentence.
    fn say(self, note: &Note, hosts: &BTreeSet<Option<Hostname>>) -> String {
        let on = named(hosts);
        match note {
            Note::OtherListener(listener) => format!(
                "no request for {on} reaches this route, because listener {:?} of Gateway \"{}\" has a more specific \
                 hostname",
                listener.listener, listener.gateway
            ),
            Note::Unreachable { rule, position, by } => {
                let position = position.map(|position| format!(".matches[{position}]")).unwrap_or_default();
                let it = if self.with_place { format!("rules[{rule}]{position}") } else { "it".to_owned() };
                format!("no request for {on} reaches {it}: {} takes the same ones first", self.other(by))
            }
            Note::Takes { rule, path, from } => format!(
                "{} takes requests for {on} from {}, which is older and of another namespace",
                self.own(*rule, path),
                self.other(from)
            ),
            Note::Loses { rule, path, to } => format!(
                "{}, which is younger and of another namespace, takes requests for {on} from {}",
                self.other(to),
                self.own(*rule, path)
            ),
            Note::Shares(route) | Note::SharedBy(route) => {
                format!("{on} is served by HTTPRoute {route} of another namespace too")
            }
            Note::LastOfOwner(heir) => format!(
                "this is the only route of its namespace on {on}, which HTTPRoute {heir} of another namespace wants too"
            ),
        }
    }

    fn own(self, rule: usize, path: &str) -> String {
        if self.with_place { format!("rules[{rule}] ({path})") } else { path.to_owned() }
    }

    fn other(self, name: &RuleName) -> String {
        let route =
            if name.route == *self.route { String::new() } else { format!("HTTPRoute {} ", name.route) };
        format!("{route}rules[{}] ({})", name.rule, name.path)
    }
}

/// `host "a.example.com"`, `hosts "a", "b" and others`.
fn named(hosts: &BTreeSet<Option<Hostname>>) -> String {
    let names: Vec<_> = hosts.iter().flatten().take(MESSAGES_MAX).map(|host| format!("\"{host}\"")).collect();
    match (hosts.contains(&None), names.as_slice()) {
        (true, _) | (_, []) => "any host".to_owned(),
        (false, [only]) => format!("host {only}"),
        (false, several) => {
            let more = if hosts.len() > MESSAGES_MAX { " and others" } else { "" };
            format!("hosts {}{more}", several.join(", "))
        }
    }
}
