//! Edits whose expressions are not built yet wait at the door.
//!
//! Building takes time, and whoever adds expressions is the one to wait for it. Until they are built, the
//! routes of that namespace stay what they were, and everything else goes through. Translation sees objects
//! that were all there at some time, so it has no state for what is under way.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api_types::{HttpRoute, ObjectKey, ResourceSet};
use gateway_regex::Library;

use super::walk::{self, Walk};
use crate::changes::{Edit, edits};
use crate::{TranslateOptions, view};

/// Decides which HTTPRoutes may be translated now.
#[derive(Debug)]
pub struct Admission {
    options: TranslateOptions,
    library: Arc<Library>,
    /// The routes as they were let in last.
    routes: BTreeMap<ObjectKey, Arc<HttpRoute>>,
    /// Those of ours with expressions among them.
    priced: BTreeSet<ObjectKey>,
    /// By namespace. They hold the expressions, so that none is built twice.
    walks: BTreeMap<String, Walk>,
}

/// The routes that may be translated, and those that wait.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// The resources, but for namespaces that wait: their HTTPRoutes are as they were.
    pub resources: Cow<'a, ResourceSet>,
    /// The expressions to build for each namespace that waits.
    pub waiting: BTreeMap<String, Walk>,
}

impl Admission {
    /// Nothing was let in yet.
    pub fn new(options: TranslateOptions, library: Arc<Library>) -> Self {
        let (routes, walks) = (BTreeMap::new(), BTreeMap::new());
        Self { options, library, routes, priced: BTreeSet::new(), walks }
    }

    /// Lets in what can be judged with the expressions that are built.
    pub fn admit<'a>(&mut self, resources: &'a ResourceSet) -> Admitted<'a> {
        let ours = our_gateways(resources, &self.options);
        let all = resources.http_routes.iter().filter(|(_, route)| names_any(route, &ours));
        let walks = walk::by_namespace(all, &self.library, &self.options.regex);
        let edits = edits(&mut self.routes, &resources.http_routes);
        // The old walks go last: until then they hold what the new ones ask for.
        let old = std::mem::replace(&mut self.walks, walks);
        let waits = |(namespace, walk): (&String, &mut Walk)| {
            walk.missing().map(|_| (namespace.clone(), walk.clone()))
        };
        let waiting: BTreeMap<String, Walk> = self.walks.iter_mut().filter_map(waits).collect();
        drop(old);
        let resources = match waiting.is_empty() {
            true => Cow::Borrowed(resources),
            false => Cow::Owned(self.without(resources, &waiting, edits)),
        };
        let waits = |key: &ObjectKey| waiting.contains_key(&key.namespace);
        let mut priced: BTreeSet<_> =
            self.walks.values().flat_map(Walk::routes).filter(|key| !waits(key)).cloned().collect();
        priced.extend(self.priced.iter().filter(|key| waits(key)).cloned());
        self.priced = priced;
        Admitted { resources, waiting }
    }

    /// The set with the routes of those namespaces as they were. A route that is ours only now was not served
    /// by us.
    fn without(
        &mut self,
        resources: &ResourceSet,
        waiting: &BTreeMap<String, Walk>,
        edits: Vec<Edit<HttpRoute>>,
    ) -> ResourceSet {
        for edit in edits.into_iter().filter(|edit| waiting.contains_key(&edit.key.namespace)) {
            match edit.old {
                Some(old) => self.routes.insert(edit.key, old),
                None => self.routes.remove(&edit.key),
            };
        }
        let mut set = resources.clone();
        set.http_routes.clone_from(&self.routes);
        let newly_ours = waiting.values().flat_map(Walk::routes).filter(|key| !self.priced.contains(key));
        for key in newly_ours {
            let is_as_before = self.routes.get(key).zip(resources.http_routes.get(key));
            if is_as_before.is_some_and(|(old, new)| Arc::ptr_eq(old, new)) {
                set.http_routes.remove(key);
            }
        }
        set
    }
}

/// Gateways of our classes.
fn our_gateways(resources: &ResourceSet, options: &TranslateOptions) -> BTreeSet<ObjectKey> {
    let classes = resources.gateway_classes.values();
    let ours = classes.filter(|class| class.spec.controller_name == options.controller_name);
    let ours: BTreeSet<_> = ours.filter_map(|class| class.metadata.name.as_deref()).collect();
    let gateways = resources.gateways.iter();
    let of_ours = gateways.filter(|(_, gateway)| ours.contains(gateway.spec.gateway_class_name.as_str()));
    of_ours.map(|(key, _)| key.clone()).collect()
}

/// True if the route has one of these Gateways for a parent.
pub(crate) fn names_any(route: &HttpRoute, gateways: &BTreeSet<ObjectKey>) -> bool {
    let own = view::name_of(&route.metadata).namespace;
    let mut parents = route.spec.parent_refs.iter().filter(|parent| parent.is_gateway());
    parents.any(|parent| {
        let namespace = parent.namespace.as_deref().unwrap_or(&own);
        gateways.contains(&ObjectKey::new(namespace, &*parent.name))
    })
}
