//! Edits whose expressions are not built yet wait at the door.
//!
//! Building takes time, and whoever adds expressions is the one to wait for it. Until they are built, the
//! routes of that namespace stay what they were, and everything else goes through. Translation sees objects
//! that were all there at some time, so it has no state for what is under way.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api_types::{GrpcRoute, HttpRoute, Kind, ObjectKey, Objects, ResourceSet};
use gateway_ir::{RouteId, RouteKind};
use gateway_regex::Library;

use super::walk::{self, Walk};
use crate::TranslateOptions;
use crate::changes::{Edit, edits};
use crate::read::is_default;
use crate::route::{self, Route, RouteRef};

/// Decides which routes may be translated now.
#[derive(Debug)]
pub struct Admission {
    options: TranslateOptions,
    library: Arc<Library>,
    /// The routes as they were let in last.
    http_routes: Objects<HttpRoute>,
    grpc_routes: Objects<GrpcRoute>,
    /// Those of any controller with expressions among them.
    expressive: BTreeSet<RouteId>,
    /// Those of ours with expressions among them.
    priced: BTreeSet<RouteId>,
    /// By namespace. They hold the expressions, so that none is built twice.
    walks: BTreeMap<String, Walk>,
}

/// The routes that may be translated, and those that wait.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// The resources, but for namespaces that wait: their routes are as they were.
    pub resources: Cow<'a, ResourceSet>,
    /// The expressions to build for each namespace that waits.
    pub waiting: BTreeMap<String, Walk>,
}

impl Admission {
    /// Nothing was let in yet.
    pub fn new(options: TranslateOptions, library: Arc<Library>) -> Self {
        let (http_routes, grpc_routes) = (Objects::new(), Objects::new());
        let (expressive, priced, walks) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Self { options, library, http_routes, grpc_routes, expressive, priced, walks }
    }

    /// Lets in what can be judged with the expressions that are built.
    pub fn admit<'a>(&mut self, resources: &'a ResourceSet) -> Admitted<'a> {
        let http = edits(&mut self.http_routes, &resources.http_routes);
        let grpc = edits(&mut self.grpc_routes, &resources.grpc_routes);
        http.iter().for_each(|edit| edit.note_expressions(&mut self.expressive, edit.new.as_deref()));
        grpc.iter().for_each(|edit| edit.note_expressions(&mut self.expressive, edit.new.as_deref()));
        let ours = our_parents(resources, &self.options);
        let all = priced(resources, &ours, &self.expressive);
        let walks = walk::by_namespace(all, &self.library, &self.options.regex);
        // The old walks go last: until then they hold what the new ones ask for.
        let old = std::mem::replace(&mut self.walks, walks);
        let waits = |(namespace, walk): (&String, &mut Walk)| {
            walk.missing().map(|_| (namespace.clone(), walk.clone()))
        };
        let waiting: BTreeMap<String, Walk> = self.walks.iter_mut().filter_map(waits).collect();
        drop(old);
        let resources = match waiting.is_empty() {
            true => Cow::Borrowed(resources),
            false => Cow::Owned(self.without(resources, &waiting, http, grpc)),
        };
        let waits = |id: &RouteId| waiting.contains_key(&*id.object.namespace);
        let mut priced: BTreeSet<_> =
            self.walks.values().flat_map(Walk::routes).filter(|id| !waits(id)).cloned().collect();
        priced.extend(self.priced.iter().filter(|id| waits(id)).cloned());
        self.priced = priced;
        Admitted { resources, waiting }
    }

    /// The set with the routes of those namespaces as they were. A route that is ours only now was not served
    /// by us.
    fn without(
        &mut self,
        resources: &ResourceSet,
        waiting: &BTreeMap<String, Walk>,
        http: Vec<Edit<HttpRoute>>,
        grpc: Vec<Edit<GrpcRoute>>,
    ) -> ResourceSet {
        take_back(&mut self.http_routes, &mut self.expressive, http, waiting);
        take_back(&mut self.grpc_routes, &mut self.expressive, grpc, waiting);
        let mut set = resources.clone();
        set.http_routes.clone_from(&self.http_routes);
        set.grpc_routes.clone_from(&self.grpc_routes);
        for id in waiting.values().flat_map(Walk::routes).filter(|id| !self.priced.contains(id)) {
            match id.kind {
                RouteKind::HTTPRoute => remove_same(&mut set.http_routes, &resources.http_routes, id),
                RouteKind::GRPCRoute => remove_same(&mut set.grpc_routes, &resources.grpc_routes, id),
                // It has no expressions.
                RouteKind::TCPRoute | RouteKind::TLSRoute | RouteKind::UDPRoute => {}
            }
        }
        set
    }
}

/// Undoes the edits in namespaces that wait.
fn take_back<T: Route>(
    routes: &mut Objects<T>,
    expressive: &mut BTreeSet<RouteId>,
    edits: Vec<Edit<T>>,
    waiting: &BTreeMap<String, Walk>,
) {
    for edit in edits.into_iter().filter(|edit| waiting.contains_key(&edit.key.namespace)) {
        edit.note_expressions(expressive, edit.old.as_deref());
        match edit.old {
            Some(old) => routes.insert(edit.key, old),
            None => routes.remove(&edit.key),
        };
    }
}

/// Removes a route that is the same object in both.
fn remove_same<T>(routes: &mut Objects<T>, others: &Objects<T>, id: &RouteId) {
    let key = ObjectKey::new(&*id.object.namespace, &*id.object.name);
    if routes.get(&key).zip(others.get(&key)).is_some_and(|(one, other)| Arc::ptr_eq(one, other)) {
        routes.remove(&key);
    }
}

/// Gateways and ListenerSets by kind, namespace and name.
pub(crate) type ParentNames<'a> = BTreeSet<(Kind, &'a str, &'a str)>;

/// Gateways of our classes, and the ListenerSets that name one.
fn our_parents<'a>(resources: &'a ResourceSet, options: &TranslateOptions) -> ParentNames<'a> {
    let classes = resources.gateway_classes.values();
    let ours = classes.filter(|class| class.spec.controller_name == options.controller_name);
    let ours: BTreeSet<_> = ours.filter_map(|class| class.metadata.name.as_deref()).collect();
    let gateways = resources.gateways.iter();
    let of_ours = gateways.filter(|(_, gateway)| ours.contains(gateway.spec.gateway_class_name.as_str()));
    let mut ours: ParentNames<'_> =
        of_ours.map(|(key, _)| (Kind::Gateway, &*key.namespace, &*key.name)).collect();
    let sets = resources.listener_sets.iter().filter(|(key, set)| {
        let parent = &set.spec.parent_ref;
        let namespace = parent.namespace.as_deref().unwrap_or(&key.namespace);
        parent.is_gateway() && ours.contains(&(Kind::Gateway, namespace, &*parent.name))
    });
    let sets: Vec<_> = sets.map(|(key, _)| (Kind::ListenerSet, &*key.namespace, &*key.name)).collect();
    ours.extend(sets);
    ours
}

/// Routes with one of these for a parent, of those that have expressions.
pub(crate) fn priced<'a>(
    resources: &'a ResourceSet,
    parents: &ParentNames<'_>,
    expressive: &BTreeSet<RouteId>,
) -> impl Iterator<Item = (&'a ObjectKey, RouteRef<'a>)> {
    let routes = expressive.iter().filter_map(|id| route::entry(resources, id));
    let mut ours = resources
        .gateways
        .iter()
        .filter(|(key, _)| parents.contains(&(Kind::Gateway, &*key.namespace, &*key.name)));
    let has_default = ours.any(|(_, gateway)| is_default(gateway));
    routes.filter(move |(_, route)| {
        names_any(route.get(), parents) || has_default && route.get().wants_default_gateways()
    })
}

/// True if the route names one of these for a parent.
fn names_any(route: &dyn Route, ours: &ParentNames<'_>) -> bool {
    let own = route.metadata().namespace.as_deref().unwrap_or_default();
    route.parent_refs().iter().any(|parent| {
        let kind = match (parent.is_gateway(), parent.is_listener_set()) {
            (true, _) => Kind::Gateway,
            (_, true) => Kind::ListenerSet,
            _ => return false,
        };
        ours.contains(&(kind, parent.namespace.as_deref().unwrap_or(own), &*parent.name))
    })
}
