//! Reads: the parts of other objects that the translation of a route or cluster depends on, recorded as they
//! are read.
//!
//! A [`Reader`] is all that such a translation is given, so nothing can be read in passing. It notes
//! questions, not objects: a Service that was missing is as much a reason to look again as one that was
//! there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{Gateway, GatewayDefaultScope, Kind, ObjectKey};
use gateway_ir::ObjectName;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::RequestPolicy;
use crate::diagnostics::ObjectRef;
use crate::endpoint_policy::EndpointPolicy;
use crate::gateway::GatewayState;
use crate::grants::{Referent, Referrer};
use crate::parent::ParentKey;
use crate::suggest::{CANDIDATES_MAX, SearchBudget, nearest};
use crate::view::View;

/// A question about objects other than the one being translated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Read {
    /// A Gateway: whether it is there and ours, its spec, and which of its listeners are served.
    Gateway(ObjectKey),
    /// The names of all Gateways, and which of them are ours.
    GatewayNames,
    /// The names of our Gateways that routes get without naming them, and their ages.
    DefaultGateways,
    /// A ListenerSet: whether it is there and its Gateway ours, its spec, and which of its listeners are served.
    ListenerSet(ObjectKey),
    /// The names of all ListenerSets.
    ListenerSetNames,
    /// The labels of a Namespace.
    Namespace(String),
    /// The names of all namespaces, declared or used.
    NamespaceNames,
    /// The references that the ReferenceGrants of a namespace allow.
    Grants(String),
    /// A Service, and whether it wants TLS.
    Service(ObjectKey),
    /// The names of the Services of a namespace.
    ServiceNames(String),
    /// The namespaces that have a Service of this name.
    ServiceNamed(String),
    /// The EndpointSlices of a Service.
    Slices(ObjectKey),
    /// The addresses of a Service's endpoints that are refused.
    RefusedEndpoints(ObjectKey),
}

/// Reads other objects, and records the reads.
pub(crate) struct Reader<'v, 'a> {
    view: &'v View<'a>,
    gateways: &'v [GatewayState<'a>],
    /// The same for the translator's whole life, so nothing that has to be noted.
    requests: RequestPolicy,
    reads: RefCell<BTreeSet<Read>>,
    /// The budget for suggestions.
    pub(crate) budget: SearchBudget,
}

/// The Gateway or ListenerSet of a name.
pub(crate) enum Parent<'v, 'a> {
    Ours(&'v GatewayState<'a>),
    /// Another controller's, or of a class that does not exist.
    Foreign,
    Missing,
}

impl<'v, 'a> Reader<'v, 'a> {
    /// `gateways` are those of ours with their sets, by key.
    pub(crate) fn new(view: &'v View<'a>, gateways: &'v [GatewayState<'a>], requests: RequestPolicy) -> Self {
        Self { view, gateways, requests, reads: RefCell::default(), budget: SearchBudget::default() }
    }

    /// Policies that are applied to requests before they are matched.
    pub(crate) fn requests(&self) -> RequestPolicy {
        self.requests
    }

    /// Every question that was asked.
    pub(crate) fn into_reads(self) -> Box<[Read]> {
        self.reads.into_inner().into_iter().collect()
    }

    fn note(&self, read: Read) {
        self.reads.borrow_mut().insert(read);
    }

    pub(crate) fn parent(&self, key: &ParentKey) -> Parent<'v, 'a> {
        let ObjectRef { kind, key: object } = key.object();
        let is_set = kind == Kind::ListenerSet;
        self.note(if is_set { Read::ListenerSet(object.clone()) } else { Read::Gateway(object.clone()) });
        let resources = self.view.resources;
        match find_parent(self.gateways, key) {
            Some((_, gateway)) => Parent::Ours(gateway),
            None if resources.gateways.contains_key(&object) && !is_set => Parent::Foreign,
            None if resources.listener_sets.contains_key(&object) && is_set => Parent::Foreign,
            None => Parent::Missing,
        }
    }

    /// ListenerSets for suggestions, only as many as a suggestion looks at.
    pub(crate) fn listener_set_names(&self) -> Vec<(&'a str, &'a str)> {
        if self.budget.is_spent() {
            return Vec::new();
        }
        self.note(Read::ListenerSetNames);
        let keys = self.view.resources.listener_sets.keys().take(CANDIDATES_MAX);
        keys.map(|key| (key.namespace.as_str(), key.name.as_str())).collect()
    }

    /// Gateways for suggestions, only as many as a suggestion looks at.
    pub(crate) fn gateway_names(&self) -> Vec<(&'a str, &'a str)> {
        if self.budget.is_spent() {
            return Vec::new();
        }
        self.note(Read::GatewayNames);
        let keys = self.view.resources.gateways.keys().take(CANDIDATES_MAX);
        keys.map(|key| (key.namespace.as_str(), key.name.as_str())).collect()
    }

    /// Gateways of ours for suggestions, only as many as a suggestion looks at.
    pub(crate) fn own_gateway_names(&self) -> Vec<(&'v str, &'v str)> {
        self.note(Read::GatewayNames);
        let gateways = self.gateways.iter().take_while(|one| one.set.is_none()).take(CANDIDATES_MAX);
        gateways.map(|gateway| (&*gateway.name.namespace, &*gateway.name.name)).collect()
    }

    /// Our Gateways that routes get without naming them, the oldest first, of one age by namespace and name (GEP-3793).
    pub(crate) fn default_gateways(&self) -> Vec<&'v ObjectName> {
        self.note(Read::DefaultGateways);
        let own = self.gateways.iter().take_while(|one| one.set.is_none());
        let mut defaults: Vec<_> = own.filter(|gateway| is_default(gateway.object)).collect();
        defaults.sort_by(|a, b| a.precedence(b));
        defaults.into_iter().map(|gateway| &gateway.name).collect()
    }

    /// The labels of a Namespace object; `None` if there is no such object.
    pub(crate) fn namespace_labels(&self, namespace: &str) -> Option<&'v BTreeMap<String, String>> {
        self.note(Read::Namespace(namespace.to_owned()));
        self.view.namespace_labels(namespace)
    }

    /// Names of namespaces, declared or used, for suggestions.
    pub(crate) fn namespace_names(&self) -> &'v BTreeSet<&'a str> {
        self.note(Read::NamespaceNames);
        self.view.namespaces()
    }

    /// True if a reference is allowed; within a namespace it always is.
    pub(crate) fn allows(&self, from: Referrer<'_>, to: Referent<'_>) -> bool {
        if from.namespace != to.namespace {
            self.note(Read::Grants(to.namespace.to_owned()));
        }
        self.view.grants.allow(from, to)
    }

    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&'a Service> {
        self.note(Read::Service(ObjectKey::new(namespace, name)));
        self.view.service(namespace, name)
    }

    /// The Service that may have been meant by one that is not there: the one of that name in another
    /// namespace, else the nearest name in the namespace asked for; only such as `from` may refer to. Names
    /// of other namespaces are not compared: every Service that anybody adds would be a reason to judge this
    /// object again.
    pub(crate) fn near_service(
        &self,
        from: Referrer<'_>,
        wanted: Referent<'_>,
    ) -> Option<(&'a str, &'a str)> {
        if self.budget.is_spent() {
            return None;
        }
        let allowed = |namespace, name| self.allows(from, Referent { namespace, name, ..wanted });
        self.note(Read::ServiceNamed(wanted.name.to_owned()));
        let elsewhere = self.view.services_named(wanted.name).iter().copied();
        let elsewhere = elsewhere.take(CANDIDATES_MAX).find(|namespace| allowed(namespace, wanted.name));
        if let Some(namespace) = elsewhere {
            let (key, _) =
                self.view.resources.services.get_key_value(&ObjectKey::new(namespace, wanted.name))?;
            return Some((key.namespace.as_str(), key.name.as_str()));
        }
        self.note(Read::ServiceNames(wanted.namespace.to_owned()));
        let here =
            self.view.service_names(wanted.namespace).filter(|(namespace, name)| allowed(namespace, name));
        let near = nearest(wanted.name, here.map(|(_, name)| name), &self.budget)?;
        let (key, _) = self.view.resources.services.get_key_value(&ObjectKey::new(wanted.namespace, near))?;
        Some((key.namespace.as_str(), key.name.as_str()))
    }

    /// True if a BackendTLSPolicy asks for TLS to this port of a Service.
    pub(crate) fn wants_tls(&self, namespace: &str, service: &str, port_name: Option<&str>) -> bool {
        self.note(Read::Service(ObjectKey::new(namespace, service)));
        self.view.wants_tls(namespace, service, port_name)
    }

    /// The message about the Service's endpoints whose addresses are refused. Another question than which
    /// endpoints there are: its result changes all the time.
    pub(crate) fn refused_endpoints(&self, namespace: &str, service: &str) -> Option<String> {
        if self.view.endpoint_policy.is_active() {
            self.note(Read::RefusedEndpoints(ObjectKey::new(namespace, service)));
        }
        self.view.refused_endpoints(namespace, service)
    }

    /// Endpoint addresses that are used.
    pub(crate) fn endpoint_policy(&self) -> &'v EndpointPolicy {
        self.view.endpoint_policy
    }

    pub(crate) fn slices(&self, namespace: &str, service: &str) -> &'v [&'a EndpointSlice] {
        self.note(Read::Slices(ObjectKey::new(namespace, service)));
        self.view.slices(namespace, service)
    }
}

/// True for a Gateway that routes get which ask for any (GEP-3793).
pub(crate) fn is_default(gateway: &Gateway) -> bool {
    gateway.spec.default_scope == Some(GatewayDefaultScope::All)
}

/// The Gateway or set of that name and its index; `gateways` are ordered by key.
pub(crate) fn find_parent<'v, 'a>(
    gateways: &'v [GatewayState<'a>],
    key: &ParentKey,
) -> Option<(usize, &'v GatewayState<'a>)> {
    let index = gateways.binary_search_by(|gateway| gateway.key.cmp(key)).ok()?;
    Some((index, gateways.get(index)?))
}
