//! The listeners that a route attaches to: parentRef by parentRef, narrowed in the specification's order.

use std::borrow::Cow;
use std::sync::Arc;

use gateway_api_types::{GATEWAY_GROUP, ParentReference};
use gateway_ir::{Hostname, MatchHostname, ObjectName, RouteId};

use crate::Severity;
use crate::diagnostics::{ConfigError, Diagnostics};
use crate::gateway::GatewayState;
use crate::listener::ListenerState;
use crate::parent::ParentKey;
use crate::read::{Parent, Reader};
use crate::reason;
use crate::route::Route;
use crate::suggest::{self, SearchBudget};
use crate::view;

/// Most parents that a route's status tells of (CRD, `maxItems` of `status.parents`), whoever writes of them.
const PARENTS_MAX: usize = 32;

/// The result for one parentRef to a Gateway of ours, or to a ListenerSet that names one.
#[derive(Debug)]
pub(crate) struct ParentState<'a> {
    pub(crate) reference: Cow<'a, ParentReference>,
    /// Where it attached, or why nowhere.
    pub(crate) outcome: Result<Vec<Attachment>, ConfigError>,
}

/// The results for all parentRefs of a route.
#[derive(Debug)]
pub(crate) struct Parents<'a> {
    /// Those that are ours.
    pub(crate) ours: Vec<ParentState<'a>>,
    /// The first that names no Gateway, but nearly one of ours: whose, and what to tell the route's owner.
    pub(crate) missing: Option<(ObjectName, String)>,
}

/// A route on one listener.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// Index of the parentRef among those that are ours, as in the route's status.
    pub(crate) parent: u32,
    /// The object with the listener.
    pub(crate) at: ParentKey,
    /// Index of the listener in it.
    pub(crate) listener: usize,
    /// The hosts it is served on there; never empty.
    pub(crate) hostnames: Arc<[MatchHostname]>,
}

/// Judges every parentRef that is ours. Of parents that are another controller's, or do not exist, no status
/// may be written; for the latter there is a finding.
pub(crate) fn parents<'a>(
    reader: &Reader<'_, '_>,
    route: &'a dyn Route,
    hostnames: &[Hostname],
    diagnostics: &mut Diagnostics,
) -> Parents<'a> {
    let id = route.id();
    let object = view::route_ref(&id);
    let (mut parents, mut missing) = (Vec::new(), None);
    for (index, reference) in route.parent_refs().iter().enumerate() {
        let field = format!("parentRefs[{index}]");
        if reference.is_service() {
            // A mesh's business.
            continue;
        }
        if !reference.is_gateway() && !reference.is_listener_set() {
            let message = format!(
                "parents of kind {} are not served here; supported: Gateway, ListenerSet",
                reference.kind
            );
            diagnostics.push(Severity::Warning, &object, &format!("{field}.kind"), &message);
            continue;
        }
        let namespace = reference.namespace.as_deref().unwrap_or(&id.object.namespace);
        let parent = ObjectName::new(namespace, &*reference.name);
        let key = match reference.is_listener_set() {
            true => ParentKey::ListenerSet(parent),
            false => ParentKey::Gateway(parent),
        };
        match reader.parent(&key) {
            Parent::Ours(gateway) => {
                let outcome = attach(reader, gateway, reference, &id, hostnames, &field);
                if let Err(error) = &outcome {
                    diagnostics.error(&object, error);
                }
                push(&mut parents, Cow::Borrowed(reference), outcome);
            }
            Parent::Foreign => {}
            Parent::Missing => {
                let message = no_parent(reader, &key);
                diagnostics.push(Severity::Error, &object, &field, &message);
                if let ParentKey::Gateway(parent) = key {
                    missing = missing.or_else(|| near_one_of_ours(reader, parent, &field));
                }
            }
        }
    }
    if route.wants_default_gateways() {
        defaults(reader, route, hostnames, &mut parents, diagnostics);
    }
    Parents { ours: parents, missing }
}

fn push<'a>(
    parents: &mut Vec<ParentState<'a>>,
    reference: Cow<'a, ParentReference>,
    mut outcome: Result<Vec<Attachment>, ConfigError>,
) {
    // A route names 32 parents at most.
    let number = u32::try_from(parents.len()).unwrap_or(u32::MAX);
    outcome.iter_mut().flatten().for_each(|attachment| attachment.parent = number);
    parents.push(ParentState { reference, outcome });
}

/// Attaches a route to the default Gateways that let it in (GEP-3793). One that does not has claimed nothing, so that the route's
/// status says nothing of it; its owner asked for no particular one. They are as many as the status has room for beside the parents
/// that the route names, whoever's those are: the oldest, so that nobody's new Gateway takes one away.
fn defaults(
    reader: &Reader<'_, '_>,
    route: &dyn Route,
    hostnames: &[Hostname],
    parents: &mut Vec<ParentState<'_>>,
    diagnostics: &mut Diagnostics,
) {
    const FIELD: &str = "useDefaultGateways";
    let id = route.id();
    let object = view::route_ref(&id);
    let (before, names) = (parents.len(), reader.default_gateways());
    let most = before + PARENTS_MAX.saturating_sub(route.parent_refs().len());
    for name in &names {
        let reference = ParentReference {
            group: GATEWAY_GROUP.to_owned(),
            kind: "Gateway".to_owned(),
            namespace: Some(name.namespace.to_string()),
            name: name.name.to_string(),
            section_name: None,
            port: None,
        };
        if parents.iter().any(|parent| is_whole(&parent.reference, name, &id)) {
            continue;
        }
        if parents.len() >= most {
            let message = format!(
                "a route has {PARENTS_MAX} parents at most, so that Gateway \"{name}\" and younger ones are not the route's; name \
                 those in parentRefs that are wanted"
            );
            diagnostics.push(Severity::Note, &object, FIELD, &message);
            break;
        }
        let Parent::Ours(gateway) = reader.parent(&ParentKey::Gateway((*name).clone())) else { continue };
        match attach(reader, gateway, &reference, &id, hostnames, FIELD) {
            Ok(attachments) => push(parents, Cow::Owned(reference), Ok(attachments)),
            Err(error) => {
                let message = format!("Gateway \"{name}\" is not the route's: {}", error.message);
                diagnostics.push(Severity::Note, &object, FIELD, &message);
            }
        }
    }
    if parents.is_empty() && before == 0 {
        let message = match names.is_empty() {
            true => "no Gateway has defaultScope All; name one in parentRefs",
            false => "no default Gateway lets the route in; name one in parentRefs",
        };
        diagnostics.push(Severity::Warning, &object, FIELD, message);
    }
}

/// True if a parentRef names all of a Gateway.
fn is_whole(reference: &ParentReference, gateway: &ObjectName, route: &RouteId) -> bool {
    let namespace = reference.namespace.as_deref().unwrap_or(&route.object.namespace);
    let is_part = reference.section_name.is_some() || reference.port.is_some();
    reference.is_gateway() && !is_part && namespace == &*gateway.namespace && reference.name == *gateway.name
}

fn attach(
    reader: &Reader<'_, '_>,
    gateway: &GatewayState<'_>,
    reference: &ParentReference,
    route: &RouteId,
    hostnames: &[Hostname],
    field: &str,
) -> Result<Vec<Attachment>, ConfigError> {
    if let (Some(error), true) = (&gateway.refused, gateway.set.is_some()) {
        let message = format!("{} is not accepted: {error}", gateway.key);
        return Err(ConfigError::new(reason::NO_MATCHING_PARENT, field, message));
    }
    let listeners = gateway.listeners.as_slice();
    let selected: Vec<_> =
        listeners.iter().enumerate().filter(|(_, listener)| selects(reference, listener)).collect();
    if selected.is_empty() {
        return Err(no_listener(reference, gateway, field, &reader.budget));
    }
    let (mut allowed, mut refusals) = (Vec::new(), Vec::new());
    for (index, listener) in selected {
        match listener.allows(reader, route.kind.as_str(), &route.object.namespace) {
            Ok(()) => allowed.push((index, listener)),
            Err(why) => refusals.push(why),
        }
    }
    if allowed.is_empty() {
        let message = reason::join(refusals.iter().map(String::as_str));
        return Err(ConfigError::new(reason::NOT_ALLOWED_BY_LISTENERS, field, message));
    }
    let attachments: Vec<_> = allowed
        .iter()
        .filter_map(|(index, listener)| {
            let hostnames = effective(listener.hostname.as_ref(), hostnames).into();
            let at = gateway.key.clone();
            let attachment = Attachment { parent: 0, at, listener: *index, hostnames };
            (!attachment.hostnames.is_empty()).then_some(attachment)
        })
        .collect();
    if attachments.is_empty() {
        return Err(no_hostname(&allowed, hostnames, field));
    }
    Ok(attachments)
}

/// `sectionName` and `port`, where given, must both fit (`ParentReference`).
fn selects(reference: &ParentReference, listener: &ListenerState<'_>) -> bool {
    let section = reference.section_name.as_deref().filter(|name| !name.is_empty());
    section.is_none_or(|name| name == listener.spec.name)
        && reference.port.is_none_or(|port| port == listener.spec.port)
}

/// The hosts of a route on a listener: the route's own, narrowed by the listener's; those that do not meet
/// are ignored. Of several originals with one intersection the most specific is kept, since it decides
/// precedence.
pub(crate) fn effective(listener: Option<&Hostname>, route: &[Hostname]) -> Vec<MatchHostname> {
    if route.is_empty() {
        return vec![MatchHostname { effective: listener.cloned(), original: None }];
    }
    let mut hostnames: Vec<MatchHostname> = Vec::new();
    for original in route {
        let effective = match listener {
            Some(listener) => match original.intersect(listener) {
                Some(effective) => effective.clone(),
                None => continue,
            },
            None => original.clone(),
        };
        match hostnames.iter_mut().find(|other| other.effective.as_ref() == Some(&effective)) {
            Some(other) if other.original.as_ref().is_some_and(|seen| is_narrower(original, seen)) => {
                other.original = Some(original.clone());
            }
            Some(_) => {}
            None => {
                hostnames.push(MatchHostname { effective: Some(effective), original: Some(original.clone()) })
            }
        }
    }
    hostnames
}

/// True if `a` is the more specific of two patterns that cover one host: exact before wildcard, then the
/// longer.
fn is_narrower(a: &Hostname, b: &Hostname) -> bool {
    let rank = |name: &Hostname| (matches!(name, Hostname::Exact(_)), name.to_string().len());
    rank(a) > rank(b)
}

fn no_parent(reader: &Reader<'_, '_>, wanted: &ParentKey) -> String {
    let known = match wanted {
        ParentKey::Gateway(_) => reader.gateway_names(),
        ParentKey::ListenerSet(_) => reader.listener_set_names(),
    };
    let name = wanted.name();
    let hint = suggest::did_you_mean_object((&name.namespace, &name.name), &known, true, &reader.budget);
    format!("no {wanted}{hint}")
}

/// The Gateway that is missing, and what to tell of it if one of ours was probably meant.
fn near_one_of_ours(
    reader: &Reader<'_, '_>,
    wanted: ObjectName,
    field: &str,
) -> Option<(ObjectName, String)> {
    let ours = reader.own_gateway_names();
    let hint = suggest::did_you_mean_object((&wanted.namespace, &wanted.name), &ours, true, &reader.budget);
    (!hint.is_empty()).then(|| {
        let message = format!("{field}: no Gateway \"{wanted}\"{hint}");
        (wanted, message)
    })
}

fn no_listener(
    reference: &ParentReference,
    gateway: &GatewayState<'_>,
    field: &str,
    budget: &SearchBudget,
) -> ConfigError {
    let (listeners, kind) = (gateway.listeners.as_slice(), gateway.key.kind());
    let names = || listeners.iter().map(|listener| listener.spec.name.as_str());
    let section = reference.section_name.as_deref().filter(|name| !name.is_empty());
    let (field, message) = match (section, reference.port) {
        (Some(section), port) => match listeners.iter().find(|listener| listener.spec.name == section) {
            Some(listener) => (
                format!("{field}.port"),
                format!(
                    "listener {section:?} is on port {}, not {}",
                    listener.spec.port,
                    port.unwrap_or_default()
                ),
            ),
            None => (
                format!("{field}.sectionName"),
                format!(
                    "the {kind} has no listener {section:?}{}",
                    suggest::did_you_mean(section, names(), budget)
                ),
            ),
        },
        (None, port) => {
            let mut ports: Vec<_> = listeners.iter().map(|listener| listener.spec.port).collect();
            ports.sort_unstable();
            ports.dedup();
            let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
            let message = format!(
                "the {kind} has no listener on port {}; it has {}",
                port.unwrap_or_default(),
                ports.join(", ")
            );
            (format!("{field}.port"), message)
        }
    };
    ConfigError::new(reason::NO_MATCHING_PARENT, field, message)
}

fn no_hostname(allowed: &[(usize, &ListenerState<'_>)], hostnames: &[Hostname], field: &str) -> ConfigError {
    let listeners: Vec<_> = allowed
        .iter()
        .filter_map(|(_, listener)| {
            let hostname = listener.hostname.as_ref()?;
            Some(format!("listener {:?} serves {hostname}", listener.spec.name))
        })
        .collect();
    let wanted: Vec<_> = hostnames.iter().map(ToString::to_string).collect();
    let message = format!("no hostname of the route ({}) fits: {}", wanted.join(", "), listeners.join(", "));
    ConfigError::new(reason::NO_MATCHING_LISTENER_HOSTNAME, field, message)
}

#[cfg(test)]
mod tests;
