//! ReferenceGrants: what may be referred to across namespaces.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use gateway_api_types::{GATEWAY_GROUP, ReferenceGrant, ReferenceGrantSpec};
use gateway_ir::{RouteId, RouteKind, Transport};

/// Every grant, by the namespace whose objects it opens.
pub(crate) struct Grants<'a> {
    by_namespace: BTreeMap<&'a str, Opened<'a>>,
}

/// The grants of one namespace. A tenant with 10,000 of them must not make every reference into the namespace
/// cost as much, so they are found by what they say; that index is made when the first one asks.
#[derive(Default)]
struct Opened<'a> {
    specs: Vec<&'a ReferenceGrantSpec>,
    index: OnceCell<Index<'a>>,
}

#[derive(Default)]
struct Index<'a> {
    /// Grants by group, kind and namespace of the referrer.
    from: HashMap<(&'a str, &'a str, &'a str), Listed>,
    /// Grants by group and kind of the referent, with its name if they give one.
    to: HashMap<(&'a str, &'a str, Option<&'a str>), Listed>,
    /// True if any grant is in both lists, by their numbers.
    answers: RefCell<HashMap<(usize, usize), bool>>,
}

/// The grants that have an entry, and the entry's number.
#[derive(Default)]
struct Listed {
    number: usize,
    grants: BTreeSet<usize>,
}

/// An object that refers to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referrer<'a> {
    /// API group; `""` is the core group.
    pub(crate) group: &'a str,
    /// The kind.
    pub(crate) kind: &'a str,
    /// Its namespace.
    pub(crate) namespace: &'a str,
}

/// An object that is referred to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referent<'a> {
    /// API group; `""` is the core group.
    pub(crate) group: &'a str,
    /// The kind.
    pub(crate) kind: &'a str,
    /// Its namespace.
    pub(crate) namespace: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
}

impl<'a> Grants<'a> {
    pub(crate) fn new(grants: impl Iterator<Item = &'a ReferenceGrant>) -> Self {
        let mut by_namespace: BTreeMap<&str, Opened<'_>> = BTreeMap::new();
        for grant in grants {
            let namespace = grant.metadata.namespace.as_deref().unwrap_or_default();
            by_namespace.entry(namespace).or_default().specs.push(&grant.spec);
        }
        Self { by_namespace }
    }

    /// True if the reference is allowed: always within a namespace; across namespaces if one grant in the
    /// referent's namespace lists the referrer in `from` and the referent in `to`. Entries are alternatives;
    /// grants do not add up across objects.
    pub(crate) fn allow(&self, from: Referrer<'_>, to: Referent<'_>) -> bool {
        from.namespace == to.namespace
            || self.by_namespace.get(to.namespace).is_some_and(|opened| opened.index().allow(from, to))
    }
}

impl<'a> Opened<'a> {
    fn index(&self) -> &Index<'a> {
        self.index.get_or_init(|| {
            let mut index = Index::default();
            for (grant, spec) in self.specs.iter().enumerate() {
                for entry in &spec.from {
                    let key = (entry.group.as_str(), entry.kind.as_str(), entry.namespace.as_str());
                    list(&mut index.from, key, grant);
                }
                for entry in &spec.to {
                    let name = entry.name.as_deref().filter(|name| !name.is_empty());
                    list(&mut index.to, (&entry.group, &entry.kind, name), grant);
                }
            }
            index
        })
    }
}

fn list<K: Eq + Hash>(lists: &mut HashMap<K, Listed>, key: K, grant: usize) {
    let number = lists.len();
    lists.entry(key).or_insert_with(|| Listed { number, ..Listed::default() }).grants.insert(grant);
}

impl Index<'_> {
    fn allow(&self, from: Referrer<'_>, to: Referent<'_>) -> bool {
        let Some(from) = self.from.get(&(from.group, from.kind, from.namespace)) else { return false };
        [None, Some(to.name)].into_iter().any(|name| {
            let to = self.to.get(&(to.group, to.kind, name));
            to.is_some_and(|to| self.meet(from, to))
        })
    }

    /// Each pair of lists is compared once.
    fn meet(&self, from: &Listed, to: &Listed) -> bool {
        let mut answers = self.answers.borrow_mut();
        *answers.entry((from.number, to.number)).or_insert_with(|| !from.grants.is_disjoint(&to.grants))
    }
}

impl<'a> Referrer<'a> {
    pub(crate) fn route(id: &'a RouteId) -> Self {
        Self { group: GATEWAY_GROUP, kind: id.kind.as_str(), namespace: &id.object.namespace }
    }

    /// True if it is a route for whole connections or flows.
    pub(crate) fn is_for_connections(self) -> bool {
        let kinds = RouteKind::ALL.into_iter().filter(|kind| kind.is_for_connections());
        self.group == GATEWAY_GROUP && kinds.map(RouteKind::as_str).any(|kind| kind == self.kind)
    }

    /// The transport that it needs of a backend's port.
    pub(crate) fn transport(self) -> Transport {
        let kind = RouteKind::ALL.into_iter().find(|kind| kind.as_str() == self.kind);
        kind.filter(|_| self.group == GATEWAY_GROUP).map_or_else(Transport::default, RouteKind::transport)
    }
}
