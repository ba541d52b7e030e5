//! Changes between one set of resources and the next, as the reads whose result may differ now.

mod sets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api_types::{
    BackendTlsPolicy, Gateway, GrpcRoute, HttpRoute, ObjectKey, Objects, ReferenceGrant, ResourceSet,
    TcpRoute, TlsRoute, UdpRoute,
};
use gateway_ir::{DiffItem, RouteId, RouteKind};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::age;
use crate::gateway::GatewayState;
use crate::parent::ParentKey;
use crate::read::{Read, find_parent, is_default};
use crate::route::{self, Route};
use crate::slice;
use crate::view::{self, View};
use sets::SetSummary;

/// The objects of the last translation, as far as routes and clusters are made of them.
#[derive(Debug, Default)]
pub(crate) struct PreviousObjects {
    namespaces: Objects<Namespace>,
    services: Objects<Service>,
    slices: Objects<EndpointSlice>,
    grants: Objects<ReferenceGrant>,
    tls_policies: Objects<BackendTlsPolicy>,
    http_routes: Objects<HttpRoute>,
    grpc_routes: Objects<GrpcRoute>,
    tcp_routes: Objects<TcpRoute>,
    tls_routes: Objects<TlsRoute>,
    udp_routes: Objects<UdpRoute>,
    /// Routes of any controller that have expressions.
    expressive: BTreeSet<RouteId>,
    gateways: BTreeMap<ObjectKey, GatewaySummary>,
    listener_sets: BTreeMap<ObjectKey, SetSummary>,
    namespace_names: BTreeSet<String>,
}

/// A Gateway as routes see it.
#[derive(Debug)]
struct GatewaySummary {
    object: Arc<Gateway>,
    /// For each listener whether it is served; `None` if the Gateway is not ours.
    serves: Option<Vec<bool>>,
}

/// The routes and reads to look at again.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Routes that were added, removed or edited.
    pub(crate) routes: Vec<RouteId>,
    /// Reads whose result may differ now.
    pub(crate) reads: BTreeSet<Read>,
}

/// An object that was added, removed or replaced.
pub(crate) struct Edit<T> {
    pub(crate) key: ObjectKey,
    pub(crate) old: Option<Arc<T>>,
    pub(crate) new: Option<Arc<T>>,
}

impl Changes {
    /// True if any of these reads may have another result.
    pub(crate) fn concern(&self, reads: &[Read]) -> bool {
        !self.reads.is_empty() && reads.iter().any(|read| self.reads.contains(read))
    }
}

impl PreviousObjects {
    /// Takes note of a new set, and says what is new in it. `gateways` are those of ours in it.
    pub(crate) fn update(&mut self, view: &View<'_>, gateways: &[GatewayState<'_>]) -> Changes {
        let mut changes = Changes::default();
        let resources = view.resources;
        let listed = [
            self.namespaces(resources, &mut changes),
            self.services(resources, &mut changes),
            self.routes(resources, &mut changes),
            self.gateways(resources, gateways, &mut changes),
            self.listener_sets(resources, gateways, &mut changes),
        ];
        if listed.contains(&true) && !view.namespaces().iter().copied().eq(&self.namespace_names) {
            self.namespace_names = view.namespaces().iter().map(|name| (*name).to_owned()).collect();
            changes.reads.insert(Read::NamespaceNames);
        }
        self.endpoints(view, &mut changes);
        self.grants(resources, &mut changes);
        self.tls_policies(resources, &mut changes);
        changes
    }

    /// Routes of any controller that have expressions, by kind and name.
    pub(crate) fn expressive(&self) -> &BTreeSet<RouteId> {
        &self.expressive
    }

    /// True if a name came or went; so do the other methods say.
    fn namespaces(&mut self, resources: &ResourceSet, changes: &mut Changes) -> bool {
        let edits = edits(&mut self.namespaces, &resources.namespaces);
        let changed = edits.iter().filter(|edit| edit.changed(|one| &one.metadata.labels));
        changes.reads.extend(changed.map(|edit| Read::Namespace(edit.key.name.clone())));
        edits.iter().any(Edit::is_listing)
    }

    fn services(&mut self, resources: &ResourceSet, changes: &mut Changes) -> bool {
        let edits = edits(&mut self.services, &resources.services);
        let changed = edits.iter().filter(|edit| edit.changed(|one| &one.spec));
        changes.reads.extend(changed.map(|edit| Read::Service(edit.key.clone())));
        let listing = edits.iter().any(Edit::is_listing);
        for key in edits.iter().filter(|edit| edit.is_listing()).map(|edit| &edit.key) {
            changes.reads.insert(Read::ServiceNames(key.namespace.clone()));
            changes.reads.insert(Read::ServiceNamed(key.name.clone()));
        }
        listing
    }

    fn routes(&mut self, resources: &ResourceSet, changes: &mut Changes) -> bool {
        let http = edits(&mut self.http_routes, &resources.http_routes);
        let grpc = edits(&mut self.grpc_routes, &resources.grpc_routes);
        let tcp = edits(&mut self.tcp_routes, &resources.tcp_routes);
        let tls = edits(&mut self.tls_routes, &resources.tls_routes);
        let udp = edits(&mut self.udp_routes, &resources.udp_routes);
        let listing = http.iter().any(Edit::is_listing)
            || grpc.iter().any(Edit::is_listing)
            || tcp.iter().any(Edit::is_listing)
            || tls.iter().any(Edit::is_listing)
            || udp.iter().any(Edit::is_listing);
        http.iter().for_each(|edit| edit.note_expressions(&mut self.expressive, edit.new.as_deref()));
        grpc.iter().for_each(|edit| edit.note_expressions(&mut self.expressive, edit.new.as_deref()));
        let http = http.iter().filter(|edit| edit.changed(|one| (&one.spec, said_of(&one.metadata))));
        let grpc = grpc.iter().filter(|edit| edit.changed(|one| (&one.spec, said_of(&one.metadata))));
        let tcp = tcp.iter().filter(|edit| edit.changed(|one| (&one.spec, said_of(&one.metadata))));
        let tls = tls.iter().filter(|edit| edit.changed(|one| (&one.spec, said_of(&one.metadata))));
        let udp = udp.iter().filter(|edit| edit.changed(|one| (&one.spec, said_of(&one.metadata))));
        changes.routes.extend(http.map(|edit| route::id(RouteKind::HTTPRoute, &edit.key)));
        changes.routes.extend(grpc.map(|edit| route::id(RouteKind::GRPCRoute, &edit.key)));
        changes.routes.extend(tcp.map(|edit| route::id(RouteKind::TCPRoute, &edit.key)));
        changes.routes.extend(tls.map(|edit| route::id(RouteKind::TLSRoute, &edit.key)));
        changes.routes.extend(udp.map(|edit| route::id(RouteKind::UDPRoute, &edit.key)));
        listing
    }

    /// Gateways are few, and whether a listener is served depends on the others, so their faces are made
    /// anew.
    fn gateways(
        &mut self,
        resources: &ResourceSet,
        gateways: &[GatewayState<'_>],
        changes: &mut Changes,
    ) -> bool {
        let summary = |object: &Arc<Gateway>| {
            let ours = find_parent(gateways, &ParentKey::Gateway(view::name_of(&object.metadata)));
            let serves = |(_, gateway): (usize, &GatewayState<'_>)| {
                gateway.listeners.iter().map(|listener| gateway.serves(listener)).collect()
            };
            GatewaySummary { object: Arc::clone(object), serves: ours.map(serves) }
        };
        let new: BTreeMap<_, _> =
            resources.gateways.iter().map(|(key, object)| (key.clone(), summary(object))).collect();
        let old = std::mem::replace(&mut self.gateways, new);
        let new = &self.gateways;
        let gone = old.keys().filter(|key| !new.contains_key(*key));
        let changed =
            new.iter().filter(|(key, summary)| old.get(*key).is_none_or(|old| !old.is_like(summary)));
        let touched = gone.clone().chain(changed.map(|(key, _)| key));
        changes.reads.extend(touched.cloned().map(Read::Gateway));
        let listing = gone.count() > 0 || old.len() != new.len();
        let names = |summaries: &BTreeMap<ObjectKey, GatewaySummary>| {
            let ours = summaries.iter().filter(|(_, summary)| summary.serves.is_some());
            ours.map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let defaults = |summaries: &BTreeMap<ObjectKey, GatewaySummary>| {
            let of = |(key, one): (&ObjectKey, &GatewaySummary)| {
                let is_one = one.serves.is_some() && is_default(&one.object);
                is_one.then(|| (key.clone(), age::created(&one.object.metadata)))
            };
            summaries.iter().filter_map(of).collect::<Vec<_>>()
        };
        let others_are_default = defaults(&old) != defaults(new);
        changes.reads.extend(others_are_default.then_some(Read::DefaultGateways));
        let renamed = listing || names(&old) != names(new);
        changes.reads.extend(renamed.then_some(Read::GatewayNames));
        listing
    }

    fn endpoints(&mut self, view: &View<'_>, changes: &mut Changes) {
        let policy = view.endpoint_policy;
        // With the Service that is spoken of, if any is.
        let refused = |slice: &EndpointSlice| -> Option<(Option<String>, Vec<_>)> {
            let refused: Vec<_> = slice::refused(slice, policy).collect();
            (!refused.is_empty()).then(|| (view::service_of(slice).map(str::to_owned), refused))
        };
        for edit in edits(&mut self.slices, &view.resources.endpoint_slices) {
            if policy.is_active()
                && edit.old.as_deref().and_then(refused) != edit.new.as_deref().and_then(refused)
            {
                let services = edit.sides().filter_map(view::service_of);
                let keys = services.map(|service| ObjectKey::new(&*edit.key.namespace, service));
                changes.reads.extend(keys.map(Read::RefusedEndpoints));
            }
            if edit.changed(|one| (view::service_of(one), &one.address_type, &one.ports, &one.endpoints)) {
                let services = edit.sides().filter_map(view::service_of);
                let keys = services.map(|service| ObjectKey::new(&*edit.key.namespace, service));
                changes.reads.extend(keys.map(Read::Slices));
            }
        }
    }

    fn grants(&mut self, resources: &ResourceSet, changes: &mut Changes) {
        for edit in edits(&mut self.grants, &resources.reference_grants) {
            if edit.changed(|one| &one.spec) {
                changes.reads.insert(Read::Grants(edit.key.namespace.clone()));
            }
        }
    }

    fn tls_policies(&mut self, resources: &ResourceSet, changes: &mut Changes) {
        for edit in edits(&mut self.tls_policies, &resources.backend_tls_policies) {
            if edit.changed(|one| &one.spec) {
                let targets = edit.sides().flat_map(|policy| &policy.spec.target_refs);
                let keys = targets.map(|target| ObjectKey::new(&*edit.key.namespace, &*target.name));
                changes.reads.extend(keys.map(Read::Service));
            }
        }
    }
}

impl GatewaySummary {
    fn is_like(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.object, &other.object) || self.object.spec == other.object.spec;
        same && self.serves == other.serves
    }
}

impl<T> Edit<T> {
    /// The old and the new object.
    fn sides(&self) -> impl Iterator<Item = &T> {
        self.old.iter().chain(&self.new).map(AsRef::as_ref)
    }

    /// True if a name came or went.
    fn is_listing(&self) -> bool {
        self.old.is_some() != self.new.is_some()
    }

    /// True if the part that translation reads is another one.
    fn changed<'e, P: PartialEq>(&'e self, part: impl Fn(&'e T) -> P) -> bool {
        self.old.as_deref().map(&part) != self.new.as_deref().map(&part)
    }
}

impl<T: Route> Edit<T> {
    /// Takes note of whether a route has expressions, as it is in `object`.
    pub(crate) fn note_expressions(&self, expressive: &mut BTreeSet<RouteId>, object: Option<&T>) {
        let sides = self.new.as_deref().or(self.old.as_deref());
        let Some(kind) = sides.map(Route::kind) else { return };
        let id = route::id(kind, &self.key);
        match object.is_some_and(Route::has_expressions) {
            true => drop(expressive.insert(id)),
            false => drop(expressive.remove(&id)),
        }
    }
}

/// The metadata that is said in status and IR.
fn said_of(metadata: &ObjectMeta) -> (Option<i64>, Option<i64>) {
    (metadata.generation, age::created(metadata))
}

/// Brings `old` to what `new` is and gives the objects that differ.
pub(crate) fn edits<T: PartialEq>(old: &mut Objects<T>, new: &Objects<T>) -> Vec<Edit<T>> {
    let edit = |difference| {
        let (key, old, new): (&ObjectKey, Option<&Arc<T>>, Option<&Arc<T>>) = match difference {
            DiffItem::Add(key, new) => (key, None, Some(new)),
            DiffItem::Update { old: (_, old), new: (key, new) } => (key, Some(old), Some(new)),
            DiffItem::Remove(key, old) => (key, Some(old), None),
        };
        Edit { key: key.clone(), old: old.map(Arc::clone), new: new.map(Arc::clone) }
    };
    let edits = old.diff(new).map(edit).collect();
    old.clone_from(new);
    edits
}
