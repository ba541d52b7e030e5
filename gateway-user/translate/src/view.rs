//! The resources as translate asks for them, with the indices it needs.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use gateway_api_types::{Gateway, GatewayClass, Kind, ObjectKey, Objects, ResourceSet};
use gateway_ir::{ObjectName, RouteId, Transport};
use k8s_openapi::api::core::v1::{Secret, Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::backend_tls::targets::Targets;
use crate::diagnostics::ObjectRef;
use crate::endpoint_policy::{self, AddressRefusal, EndpointPolicy};
use crate::grants::{Grants, Referent, Referrer};
use crate::route;
use crate::slice::{self, is_of};
use crate::suggest::CANDIDATES_MAX;

/// The label by which an EndpointSlice names its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Lists by namespace and name.
type ByObject<'a, T> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<T>>>;

/// A read-only view of one [`ResourceSet`].
pub(crate) struct View<'a> {
    pub(crate) resources: &'a ResourceSet,
    pub(crate) grants: Grants<'a>,
    /// Slices by the Service they belong to, which is always of their own namespace. Made when first asked
    /// for, as are the namespaces: most edits ask for neither.
    slices: OnceCell<ByObject<'a, &'a EndpointSlice>>,
    /// Services that a BackendTLSPolicy targets.
    pub(crate) tls_targets: Targets<'a>,
    /// Namespaces by the names of the Services in them.
    services_by_name: OnceCell<BTreeMap<&'a str, Vec<&'a str>>>,
    /// Namespaces that any object is in or declares.
    namespaces: OnceCell<BTreeSet<&'a str>>,
    no_labels: BTreeMap<String, String>,
    /// Endpoint addresses that are used.
    pub(crate) endpoint_policy: &'a EndpointPolicy,
    /// Messages about refused endpoints, by Service: many routes may ask of one.
    refused_endpoints: RefCell<BTreeMap<(String, String), Option<String>>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(resources: &'a ResourceSet, endpoint_policy: &'a EndpointPolicy) -> Self {
        Self {
            resources,
            grants: Grants::new(resources.reference_grants.values().map(AsRef::as_ref)),
            slices: OnceCell::new(),
            tls_targets: Targets::new(&resources.backend_tls_policies),
            services_by_name: OnceCell::new(),
            namespaces: OnceCell::new(),
            no_labels: BTreeMap::new(),
            endpoint_policy,
            refused_endpoints: RefCell::default(),
        }
    }

    pub(crate) fn gateway_classes(&self) -> impl Iterator<Item = &'a GatewayClass> + use<'a> {
        self.resources.gateway_classes.values().map(AsRef::as_ref)
    }

    pub(crate) fn gateways(&self) -> impl Iterator<Item = &'a Gateway> + use<'a> {
        self.resources.gateways.values().map(AsRef::as_ref)
    }

    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&'a Service> {
        self.resources.services.get(&ObjectKey::new(namespace, name)).map(AsRef::as_ref)
    }

    pub(crate) fn secret(&self, namespace: &str, name: &str) -> Option<&'a Arc<Secret>> {
        self.resources.secrets.get(&ObjectKey::new(namespace, name))
    }

    /// Secrets of one namespace for suggestions, only such as `from` may refer to.
    pub(crate) fn secret_names(&self, namespace: &str, from: Referrer<'_>) -> impl Iterator<Item = &'a str> {
        let secrets = self.resources.secrets.range(ObjectKey::new(namespace, "")..);
        let here = secrets.take_while(move |(key, _)| key.namespace == namespace).take(CANDIDATES_MAX);
        here.map(|(key, _)| key.name.as_str()).filter(move |name| {
            self.grants.allow(from, Referent { group: "", kind: "Secret", namespace, name })
        })
    }

    /// Services of one namespace for suggestions, only as many as a suggestion looks at.
    pub(crate) fn service_names(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let here = self.resources.services.range(ObjectKey::new(namespace, "")..);
        let namespace = namespace.to_owned();
        let here = here.take_while(move |(key, _)| key.namespace == namespace).take(CANDIDATES_MAX);
        here.map(|(key, _)| (key.namespace.as_str(), key.name.as_str()))
    }

    /// The namespaces that have a Service of this name, in order.
    pub(crate) fn services_named(&self, name: &str) -> &[&'a str] {
        let by_name = self.services_by_name.get_or_init(|| {
            let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for key in self.resources.services.keys() {
                by_name.entry(&key.name).or_default().push(&key.namespace);
            }
            by_name
        });
        by_name.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn slices(&self, namespace: &str, service: &str) -> &[&'a EndpointSlice] {
        get(self.slices.get_or_init(|| slices_by_service(self.resources)), namespace, service)
    }

    /// The message about the endpoints of a Service whose addresses are refused; `None` if there are none.
    pub(crate) fn refused_endpoints(&self, namespace: &str, service: &str) -> Option<String> {
        if !self.endpoint_policy.is_active() {
            return None;
        }
        let key = (namespace.to_owned(), service.to_owned());
        if let Some(known) = self.refused_endpoints.borrow().get(&key) {
            return known.clone();
        }
        let slices = self.slices(namespace, service).iter();
        let refused: BTreeMap<IpAddr, AddressRefusal> =
            slices.flat_map(|slice| slice::refused(slice, self.endpoint_policy)).collect();
        let refused: Vec<_> = refused.into_iter().collect();
        let told = (!refused.is_empty()).then(|| endpoint_policy::describe(&refused));
        self.refused_endpoints.borrow_mut().insert(key, told.clone());
        told
    }

    /// True if a BackendTLSPolicy asks for TLS to this port of a Service.
    pub(crate) fn wants_tls(&self, namespace: &str, service: &str, port_name: Option<&str>) -> bool {
        self.tls_targets.winner(&ObjectKey::new(namespace, service), port_name).is_some()
    }

    /// The name of a Service's TCP port, if it has one.
    pub(crate) fn port_name(&self, service: &ObjectKey, port: u16) -> Option<&'a str> {
        let spec = self.resources.services.get(service)?.spec.as_ref()?;
        let mut ports = spec.ports.iter().flatten();
        let is_it = |one: &&ServicePort| {
            one.port == i32::from(port) && is_of(Transport::Tcp, one.protocol.as_deref())
        };
        ports.find(is_it)?.name.as_deref()
    }

    /// The labels of a Namespace object; `None` if there is no such object.
    pub(crate) fn namespace_labels(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        let object = self.resources.namespaces.get(&ObjectKey::new("", namespace))?;
        Some(object.metadata.labels.as_ref().unwrap_or(&self.no_labels))
    }

    /// Names of namespaces, declared or used, for suggestions.
    pub(crate) fn namespaces(&self) -> &BTreeSet<&'a str> {
        self.namespaces.get_or_init(|| {
            let resources = self.resources;
            let declared = resources.namespaces.keys().map(|key| key.name.as_str());
            let used = [
                namespaces_of(&resources.services),
                namespaces_of(&resources.gateways),
                namespaces_of(&resources.listener_sets),
                namespaces_of(&resources.http_routes),
                namespaces_of(&resources.grpc_routes),
                namespaces_of(&resources.tcp_routes),
                namespaces_of(&resources.tls_routes),
                namespaces_of(&resources.udp_routes),
            ];
            declared.chain(used.into_iter().flatten()).collect()
        })
    }
}

fn slices_by_service(resources: &ResourceSet) -> ByObject<'_, &EndpointSlice> {
    let mut slices = ByObject::new();
    for (key, slice) in &resources.endpoint_slices {
        if let Some(service) = service_of(slice) {
            entry(&mut slices, &key.namespace, service).push(slice.as_ref());
        }
    }
    slices
}

/// The name of the Service that a slice belongs to (label `kubernetes.io/service-name`).
pub fn service_of(slice: &EndpointSlice) -> Option<&str> {
    slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL).map(String::as_str)
}

fn entry<'m, 'a, T>(map: &'m mut ByObject<'a, T>, namespace: &'a str, name: &'a str) -> &'m mut Vec<T> {
    map.entry(namespace).or_default().entry(name).or_default()
}

fn get<'m, T>(map: &'m ByObject<'_, T>, namespace: &str, name: &str) -> &'m [T] {
    map.get(namespace).and_then(|names| names.get(name)).map(Vec::as_slice).unwrap_or_default()
}

fn namespaces_of<T>(objects: &Objects<T>) -> Vec<&str> {
    let mut names: Vec<_> = objects.keys().map(|key| key.namespace.as_str()).collect();
    names.dedup();
    names
}

/// The name of a namespaced object.
pub(crate) fn name_of(metadata: &ObjectMeta) -> ObjectName {
    ObjectName::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

pub(crate) fn class_ref(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::GatewayClass, key: ObjectKey::new("", name) }
}

pub(crate) fn gateway_ref(name: &ObjectName) -> ObjectRef {
    ObjectRef { kind: Kind::Gateway, key: ObjectKey::new(&*name.namespace, &*name.name) }
}

pub(crate) fn route_ref(id: &RouteId) -> ObjectRef {
    let key = ObjectKey::new(&*id.object.namespace, &*id.object.name);
    ObjectRef { kind: route::object_kind(id.kind), key }
}

/// Names of objects of one namespace, for suggestions.
pub(crate) fn names_in<'a, T>(objects: &'a Objects<T>, namespace: &str) -> impl Iterator<Item = &'a str> {
    let objects = objects.range(ObjectKey::new(namespace, "")..);
    let here = objects.take_while(move |(key, _)| key.namespace == namespace).take(CANDIDATES_MAX);
    here.map(|(key, _)| key.name.as_str())
}
