//! ListenerSets that name a Gateway of ours (GEP-1713): each is judged as a Gateway with listeners of its own, and the addresses,
//! nodes and settings of the one that it names (decision 337).
//!
//! Of a set that its Gateway does not let in nothing is looked at: a namespace that is not allowed learns nothing about the
//! Secrets that it names, and costs nothing but a condition.

pub(crate) mod room;
pub(crate) mod status;

use std::cell::OnceCell;
use std::cmp::max;

use gateway_api_types::{FromNamespaces, ListenerSet, ObjectKey};
use gateway_ir::{ObjectName, Serve};

use crate::Severity;
use crate::age;
use crate::diagnostics::{ConfigError, Diagnostics};
use crate::frontend::FrontendState;
use crate::gateway::{GatewayState, tell_errors};
use crate::listener::ListenerState;
use crate::parent::ParentKey;
use crate::reason;
use crate::selector::Selector;
use crate::settings::GatewaySettingsState;
use crate::suggest::{self, CANDIDATES_MAX, SearchBudget};
use crate::tls_objects::TlsObjects;
use crate::view::{self, View};

/// Adds the sets of the Gateways, which are by name, behind these, by name as well. Of sets of other Gateways nothing is said,
/// but for one that nobody has.
pub(crate) fn join<'a>(
    view: &View<'a>,
    tls: &mut TlsObjects,
    gateways: &mut Vec<GatewayState<'a>>,
    diagnostics: &mut Diagnostics,
) {
    let mut sets: Vec<GatewayState<'a>> = Vec::new();
    let meant = Meant::default();
    for set in view.resources.listener_sets.values().map(AsRef::as_ref) {
        let key = ParentKey::ListenerSet(view::name_of(&set.metadata));
        let parent = &set.spec.parent_ref;
        if !parent.is_gateway() {
            let message = format!("parents of kind {} are not served here; supported: Gateway", parent.kind);
            diagnostics.push(Severity::Warning, &key.object(), "parentRef.kind", &message);
            continue;
        }
        let name =
            ObjectName::new(parent.namespace.as_deref().unwrap_or(&key.name().namespace), &*parent.name);
        match gateways.binary_search_by(|gateway| gateway.name.cmp(&name)).map(|at| gateways.get(at)) {
            Ok(Some(gateway)) => {
                // Each namespace has a budget for suggestions, and not each of its sets.
                if sets.last().is_none_or(|last| last.key.name().namespace != key.name().namespace) {
                    tls.certificates.start_gateway();
                }
                sets.push(state(view, tls, gateway, set, key));
            }
            _ => no_gateway(view, &meant, &key, &name, diagnostics),
        }
    }
    gateways.append(&mut sets);
}

/// Gateways that sets without one may have meant. All sets of an update share one budget: whoever may create sets may create
/// thousands that name nothing.
#[derive(Default)]
struct Meant<'v> {
    /// Made for the first set that needs them.
    known: OnceCell<Vec<(&'v str, &'v str)>>,
    budget: SearchBudget,
}

impl<'v> Meant<'v> {
    /// `; did you mean "x"?` for a message's end, or nothing.
    fn hint(&self, view: &View<'v>, name: &ObjectName) -> String {
        if self.budget.is_spent() {
            return String::new();
        }
        let keys = || view.resources.gateways.keys().take(CANDIDATES_MAX);
        let known = self.known.get_or_init(|| keys().map(|one| (&*one.namespace, &*one.name)).collect());
        suggest::did_you_mean_object((&name.namespace, &name.name), known, true, &self.budget)
    }
}

/// Tells of a set that no Gateway of ours has. A Gateway that exists and is not ours is another controller's to speak of.
fn no_gateway<'v>(
    view: &View<'v>,
    meant: &Meant<'v>,
    key: &ParentKey,
    name: &ObjectName,
    diagnostics: &mut Diagnostics,
) {
    if view.resources.gateways.contains_key(&ObjectKey::new(&*name.namespace, &*name.name)) {
        return;
    }
    let message = format!("no Gateway \"{name}\"{}", meant.hint(view, name));
    diagnostics.push(Severity::Error, &key.object(), "parentRef", &message);
}

fn state<'a>(
    view: &View<'_>,
    tls: &mut TlsObjects,
    gateway: &GatewayState<'a>,
    set: &'a ListenerSet,
    key: ParentKey,
) -> GatewayState<'a> {
    let refused = refused(view, gateway, &key.name().namespace);
    let TlsObjects { certificates, authorities } = tls;
    let specs = set.spec.listeners.iter().enumerate().filter(|_| refused.is_none());
    let owner = (&gateway.name, &key);
    let mut listeners: Vec<_> =
        specs.map(|(at, spec)| ListenerState::new(view, certificates, owner, at, spec)).collect();
    for listener in &mut listeners {
        if listener.serve.is_some_and(Serve::terminates_tls) {
            let (namespace, port) = (&gateway.name.namespace, listener.spec.port);
            listener.check_clients(FrontendState::of_port(
                view,
                authorities,
                gateway.object,
                namespace,
                port,
            ));
        }
    }
    let created = age::created(&set.metadata);
    GatewayState {
        key,
        name: gateway.name.clone(),
        object: gateway.object,
        set: Some(set),
        created,
        since: created.zip(gateway.created).map(|(own, theirs)| max(own, theirs)),
        addresses: gateway.addresses.clone(),
        refused,
        unassigned: gateway.unassigned.clone(),
        listeners,
        nodes: gateway.nodes.clone(),
        settings: GatewaySettingsState { values: gateway.settings.values, ..GatewaySettingsState::default() },
        backend_certificate: gateway.backend_certificate.clone(),
        unresolved: None,
        refused_policies: Vec::new(),
    }
}

/// Says why a Gateway does not take a set of this namespace, if so.
fn refused(view: &View<'_>, gateway: &GatewayState<'_>, namespace: &str) -> Option<ConfigError> {
    let not_allowed = |why: String| Some(ConfigError::new(reason::NOT_ALLOWED, "parentRef", why));
    let name = &gateway.name;
    let field = "spec.allowedListeners.namespaces";
    let allowed = gateway.object.spec.allowed_listeners.as_ref().map(|allowed| &allowed.namespaces);
    match allowed.map(|allowed| (allowed.from, &allowed.selector)) {
        Some((FromNamespaces::All, _)) => {}
        Some((FromNamespaces::Same, _)) if *namespace == *name.namespace => {}
        Some((FromNamespaces::Same, _)) => {
            return not_allowed(format!(
                "Gateway \"{name}\" allows ListenerSets of its own namespace only, not of {namespace:?}; have its owner \
                 set {field}"
            ));
        }
        Some((FromNamespaces::Selector, selector)) => {
            let why = keeps_out(view, selector.as_ref(), namespace);
            if let Some(why) = why {
                return not_allowed(format!(
                    "Gateway \"{name}\" allows ListenerSets by the labels of their namespaces: {why}"
                ));
            }
        }
        Some((FromNamespaces::None, _)) | None => {
            return not_allowed(format!(
                "Gateway \"{name}\" allows no ListenerSets; have its owner set {field}"
            ));
        }
    }
    let error = gateway.refused.as_ref()?;
    let message = format!("Gateway \"{name}\" is not accepted: {error}");
    Some(ConfigError::new(reason::PARENT_NOT_ACCEPTED, "parentRef", message))
}

/// Says why a namespace is not among those that a selector selects, if so.
fn keeps_out(
    view: &View<'_>,
    selector: Option<&gateway_api_types::LabelSelector>,
    namespace: &str,
) -> Option<String> {
    let Some(selector) = selector else { return Some("from: Selector has no selector".to_owned()) };
    let selector = match Selector::new(selector) {
        Ok(selector) => selector,
        Err((place, why)) => return Some(format!("selector.{place}: {why}")),
    };
    let none = Default::default();
    let labels = view.namespace_labels(namespace);
    let unmet: Vec<_> = selector.unmet(namespace, labels.unwrap_or(&none)).collect();
    match (unmet.is_empty(), labels) {
        (true, _) => None,
        (false, Some(_)) => Some(format!("of {namespace:?} {}", unmet.join(", "))),
        (false, None) => Some(format!("there is no Namespace object {namespace:?} to carry {selector}")),
    }
}

/// Tells the sets' own errors and their listeners', once it is known for which there is room. Conflicts are told where all listeners are
/// compared.
pub(crate) fn tell_all(gateways: &[GatewayState<'_>], diagnostics: &mut Diagnostics) {
    gateways.iter().filter(|one| one.set.is_some()).for_each(|set| tell(set, diagnostics));
}

fn tell(set: &GatewayState<'_>, diagnostics: &mut Diagnostics) {
    let object = set.key.object();
    let mut found = Diagnostics::default();
    tell_errors(&object, set.refused.iter(), &set.listeners, &mut found);
    for (field, message) in set.listeners.iter().flat_map(|listener| &listener.notes) {
        found.push(Severity::Warning, &object, field, message);
    }
    found.bound(&object);
    diagnostics.repeat(&found);
}
