//! ReferenceGrants: what may be referred to across namespaces.

use std::collections::BTreeMap;

use gateway_api_types::{GATEWAY_GROUP, ReferenceGrant, ReferenceGrantSpec};

/// Every grant, by the namespace whose objects it opens.
pub(crate) struct Grants<'a> {
    by_namespace: BTreeMap<&'a str, Vec<&'a ReferenceGrantSpec>>,
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
        let mut by_namespace: BTreeMap<&str, Vec<&ReferenceGrantSpec>> = BTreeMap::new();
        for grant in grants {
            let namespace = grant.metadata.namespace.as_deref().unwrap_or_default();
            by_namespace.entry(namespace).or_default().push(&grant.spec);
        }
        Self { by_namespace }
    }

    /// Whether the reference is allowed: always within a namespace; across namespaces if one grant in the referent's
    /// namespace lists the referrer in `from` and the referent in `to`. Entries are alternatives; grants do not add up
    /// across objects.
    pub(crate) fn allow(&self, from: Referrer<'_>, to: Referent<'_>) -> bool {
        if from.namespace == to.namespace {
            return true;
        }
        self.by_namespace.get(to.namespace).into_iter().flatten().any(|grant| {
            grant.from.iter().any(|entry| {
                entry.group == from.group && entry.kind == from.kind && entry.namespace == from.namespace
            }) && grant.to.iter().any(|entry| {
                entry.group == to.group
                    && entry.kind == to.kind
                    && entry.name.as_deref().is_none_or(|name| name.is_empty() || name == to.name)
            })
        })
    }
}

impl<'a> Referrer<'a> {
    pub(crate) fn http_route(namespace: &'a str) -> Self {
        Self { group: GATEWAY_GROUP, kind: "HTTPRoute", namespace }
    }
}
