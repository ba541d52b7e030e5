//! The verdict on a route's hosts: its status, its diagnostics, and the hosts that it does not get.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api_types::{Condition, ConditionStatus, RouteParentStatus, RouteStatus};
use gateway_ir::{Hostname, RouteId};

use super::Hosts;
use super::examine::Note;
use super::listeners::Place;
use super::message::MessageWriter;
use crate::Severity;
use crate::attach::Attachment;
use crate::diagnostics::{Diagnostics, ObjectRef};
use crate::gateway::GatewayState;
use crate::reason::{self, condition, kind};
use crate::route::OwnRoute;

/// Most things of one sort that are told of a route, and most hosts that are named in one.
pub(super) const MESSAGES_MAX: usize = 4;

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
        let name = own.ir.id();
        let (mut lost, mut notes) = (BTreeMap::new(), Notes::new());
        for attachment in &own.attachments {
            let Some(place) = hosts.listeners.find(gateways, attachment) else { continue };
            for hostname in attachment.hostnames.iter().map(|one| &one.effective) {
                let Some(verdict) = hosts.by_name.get(hostname).and_then(|host| host.verdict.as_ref()) else {
                    continue;
                };
                let owner = verdict.owner.as_ref().filter(|owner| !owner.has(&name.object.namespace));
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
        parent.conditions.extend(conflict(own.ir.id(), here, generation));
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
    route: &RouteId,
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

fn diagnostics<'a>(route: &'a RouteId, notes: &'a Notes<'_>) -> impl Iterator<Item = Message> {
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
