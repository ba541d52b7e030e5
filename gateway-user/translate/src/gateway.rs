//! Gateways of our classes: their addresses, their listeners, and whether they can be served at all.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use gateway_api_types::{Gateway, ListenerSet};
use gateway_ir::{BindAddress, Certificate, ListenerSettings, NodeSelector, ObjectName, Serve};

use crate::Severity;
use crate::addresses::AddressRules;
use crate::age;
use crate::certificate::{CertificateWithNotes, Certificates};
use crate::diagnostics::{ConfigError, Diagnostics, ObjectRef};
use crate::frontend::FrontendState;
use crate::gatewayclass::{ClassState, Classes};
use crate::listener::ListenerState;
use crate::parameters::{self, Parameters};
use crate::parent::ParentKey;
use crate::reason;
use crate::settings::GatewaySettingsState;
use crate::suggest::{self, SearchBudget};
use crate::tls_objects::TlsObjects;
use crate::view::{self, View};

/// The field of the certificate for backends.
const CLIENT_CERTIFICATE: &str = "tls.backend.clientCertificateRef";

/// A Gateway of one of our classes, or a ListenerSet that names one: then it has the Gateway's addresses, nodes, settings and
/// certificate for backends, and listeners of its own.
#[derive(Debug)]
pub(crate) struct GatewayState<'a> {
    /// The object that the listeners are written in.
    pub(crate) key: ParentKey,
    /// The Gateway.
    pub(crate) name: ObjectName,
    pub(crate) object: &'a Gateway,
    /// The ListenerSet, if it is one.
    pub(crate) set: Option<&'a ListenerSet>,
    /// `metadata.creationTimestamp` in seconds since 1970.
    pub(crate) created: Option<i64>,
    /// The time since which it can have had anything: a set has nothing before its Gateway.
    pub(crate) since: Option<i64>,
    /// Where it is to be served; empty if no address is usable.
    pub(crate) addresses: Vec<BindAddress>,
    /// Why none of it can be served, if so: the `Accepted` condition.
    pub(crate) refused: Option<ConfigError>,
    /// Addresses it asked for and does not get: the `Programmed` condition.
    pub(crate) unassigned: Vec<ConfigError>,
    pub(crate) listeners: Vec<ListenerState<'a>>,
    /// The nodes that it is served on, by its own parameters and its class's.
    pub(crate) nodes: NodeSelector,
    /// The settings of its listeners, by the same.
    pub(crate) settings: GatewaySettingsState,
    /// The certificate that backends are shown which ask for one.
    pub(crate) backend_certificate: Option<Arc<Certificate>>,
    /// The reason that it has none though it names one.
    pub(crate) unresolved: Option<ConfigError>,
    /// The obstacles to BackendTLSPolicies that it is to use.
    pub(crate) refused_policies: Vec<String>,
}

/// Every Gateway that is ours, by namespace and name. Of others nothing is said, but for a class that nobody
/// has.
pub(crate) fn evaluate<'a>(
    view: &View<'a>,
    classes: &Classes,
    tls: &mut TlsObjects,
    addresses: AddressRules<'_>,
    process: &ListenerSettings,
    diagnostics: &mut Diagnostics,
) -> Vec<GatewayState<'a>> {
    let mut gateways = Vec::new();
    for gateway in view.gateways() {
        let name = view::name_of(&gateway.metadata);
        let class = &gateway.spec.gateway_class_name;
        match classes.states.get(class) {
            Some(ClassState::Foreign) => {}
            Some(ClassState::Accepted(class)) => {
                let parameters = parameters::of_both(view.resources, gateway, class, process);
                gateways.push(state(view, tls, name, gateway, parameters, addresses, diagnostics))
            }
            Some(ClassState::Refused(error)) => {
                let error = ConfigError::new(
                    error.reason,
                    "gatewayClassName",
                    format!("GatewayClass {class:?} is not accepted: {error}"),
                );
                gateways.push(state(view, tls, name, gateway, Err(error), addresses, diagnostics));
            }
            None => {
                let hint = suggest::did_you_mean(
                    class,
                    classes.states.keys().map(String::as_str),
                    &SearchBudget::default(),
                );
                let message = format!("no GatewayClass {class:?}{hint}");
                diagnostics.push(Severity::Error, &view::gateway_ref(&name), "gatewayClassName", &message);
            }
        }
    }
    gateways
}

impl GatewayState<'_> {
    /// The order in which listeners take what is free: the older first, of one age a Gateway before sets, then by namespace and
    /// name. Without a timestamp (files) it counts as the youngest. So a Gateway comes before its own sets, whatever their ages
    /// (`ListenerSetSpec.listeners`), and a set takes nothing from another Gateway that was there before the set.
    pub(crate) fn precedence(&self, other: &Self) -> Ordering {
        let age =
            |one: &Self| (one.since.unwrap_or(i64::MAX), one.set.is_some(), one.created.unwrap_or(i64::MAX));
        age(self).cmp(&age(other)).then_with(|| self.key.name().alphabetical(other.key.name()))
    }

    /// `metadata.generation` of the object that the listeners are written in.
    pub(crate) fn generation(&self) -> Option<i64> {
        self.set.map_or(self.object.metadata.generation, |set| set.metadata.generation)
    }

    /// True if requests to this listener can be served: it reaches the tables, and has a certificate if it
    /// needs one.
    pub(crate) fn programs(&self, listener: &ListenerState<'_>) -> bool {
        self.serves(listener) && listener.unsecured().is_none()
    }

    /// True if this listener of it reaches the tables.
    pub(crate) fn serves(&self, listener: &ListenerState<'_>) -> bool {
        self.refused.is_none() && !self.addresses.is_empty() && listener.is_served()
    }
}

fn state<'a>(
    view: &View<'_>,
    tls: &mut TlsObjects,
    name: ObjectName,
    gateway: &'a Gateway,
    parameters: Result<Parameters, ConfigError>,
    rules: AddressRules<'_>,
    diagnostics: &mut Diagnostics,
) -> GatewayState<'a> {
    let (addresses, errors) = rules.of(&name, &gateway.spec.addresses);
    let (unsupported, unassigned): (Vec<_>, Vec<_>) =
        errors.into_iter().partition(|error| error.reason == reason::UNSUPPORTED_ADDRESS);
    let (Parameters { nodes, settings }, fault) =
        parameters.map_or_else(|fault| (Parameters::default(), Some(fault)), |both| (both, None));
    let refused = fault.or_else(|| unsupported.into_iter().next());
    let TlsObjects { certificates, authorities } = tls;
    certificates.start_gateway();
    let key = ParentKey::Gateway(name.clone());
    let mut listeners: Vec<_> = gateway
        .spec
        .listeners
        .iter()
        .enumerate()
        .map(|(index, spec)| ListenerState::new(view, certificates, (&name, &key), index, spec))
        .collect();
    for listener in &mut listeners {
        if listener.serve.is_some_and(Serve::terminates_tls) {
            let (namespace, port) = (&name.namespace, listener.spec.port);
            listener.check_clients(FrontendState::of_port(view, authorities, gateway, namespace, port));
        }
    }
    let shown = backend_certificate(view, certificates, &key, gateway);
    let (shown, unresolved) = match shown {
        Some(Ok((certificate, notes))) => (Some((certificate, notes)), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let object = view::gateway_ref(&name);
    let mut found = Diagnostics::default();
    let own = refused.iter().chain(&unassigned).chain(&unresolved);
    tell_errors(&object, own, &listeners, &mut found);
    for fault in &settings.faults {
        found.push(Severity::Error, &object, "infrastructure.parametersRef", &fault.message);
    }
    for (field, message) in listeners.iter().flat_map(|listener| &listener.notes) {
        found.push(Severity::Warning, &object, field, message);
    }
    for note in shown.iter().flat_map(|(_, notes)| notes) {
        found.push(Severity::Warning, &object, CLIENT_CERTIFICATE, note);
    }
    // Another address of it is served all the same.
    if let Some(problem) = rules.assignments.and_then(|all| all.problems.get(&name))
        && unassigned.is_empty()
    {
        found.push(Severity::Warning, &object, "addresses", problem);
    }
    found.bound(&object);
    diagnostics.repeat(&found);
    let created = age::created(&gateway.metadata);
    GatewayState {
        key,
        name,
        object: gateway,
        set: None,
        created,
        since: created,
        addresses,
        refused,
        unassigned,
        listeners,
        nodes,
        settings,
        backend_certificate: shown.map(|(certificate, _)| certificate),
        unresolved,
        refused_policies: Vec::new(),
    }
}

/// Tells the errors of a Gateway or set and of its listeners. Those share the authorities for their clients, whose errors are told once.
pub(crate) fn tell_errors<'e>(
    object: &ObjectRef,
    own: impl Iterator<Item = &'e ConfigError>,
    listeners: &'e [ListenerState<'_>],
    found: &mut Diagnostics,
) {
    let theirs = listeners.iter().flat_map(|listener| listener.refused.iter().chain(&listener.unresolved));
    let mut told = BTreeSet::new();
    for error in own.chain(theirs).filter(|error| told.insert((&*error.field, &*error.message))) {
        found.error(object, error);
    }
}

/// The certificate for backends, if the Gateway names one (`GatewayBackendTLS.clientCertificateRef`).
fn backend_certificate(
    view: &View<'_>,
    certificates: &mut Certificates,
    key: &ParentKey,
    gateway: &Gateway,
) -> Option<Result<CertificateWithNotes, ConfigError>> {
    let reference = gateway.spec.tls.as_ref()?.backend.as_ref()?.client_certificate_ref.as_ref()?;
    let resolved = certificates.resolve(view, key.referrer(), reference, CLIENT_CERTIFICATE);
    Some(resolved.map_err(|error| match error.reason {
        reason::INVALID_CERTIFICATE_REF => {
            ConfigError { reason: reason::INVALID_CLIENT_CERTIFICATE_REF, ..error }
        }
        _ => error,
    }))
}
