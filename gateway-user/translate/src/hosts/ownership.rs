//! Ownership of hosts.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{Kind, ObjectKey};
use gateway_ir::{Hostname, RouteId};

use super::{Original, Placed};
use crate::diagnostics::{Diagnostics, ObjectRef};
use crate::view::View;
use crate::{HostOwnership, Severity};

/// The label of a Namespace that lists hosts of its own, `_` between them. A label's value has neither commas
/// nor `*`, and 63 characters at most.
const LIST_LABEL: &str = "sluice.dev/hosts";
/// A label of a Namespace for one host, `hosts.sluice.dev/shop.example.com: ""`; with the value `subdomains`
/// it stands for the wildcard `*.shop.example.com` instead.
const HOST_LABELS: &str = "hosts.sluice.dev/";
const SUBDOMAINS: &str = "subdomains";

/// Hosts that cluster admins have given to namespaces, which beats age.
#[derive(Debug, Default)]
pub(crate) struct Claims(BTreeMap<Hostname, BTreeSet<String>>);

/// The owner of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The namespace; several only if each was given the host by a label.
    pub(super) namespaces: BTreeSet<String>,
    /// The oldest route on the host, which made its namespace the owner; `None` if a label did.
    pub(super) by: Option<RouteId>,
}

impl Claims {
    /// Reads the labels of every Namespace, and says which name no host. Where hosts have no owners labels
    /// say nothing.
    pub(crate) fn of(view: &View<'_>, ownership: HostOwnership, diagnostics: &mut Diagnostics) -> Self {
        let mut claims = Self::default();
        if ownership == HostOwnership::Shared {
            return claims;
        }
        for (key, namespace) in &view.resources.namespaces {
            let Some(labels) = &namespace.metadata.labels else { continue };
            let object = ObjectRef { kind: Kind::Namespace, key: ObjectKey::new("", &*key.name) };
            for (label, claimed) in claimed(labels) {
                match claimed {
                    Ok(host) => drop(claims.0.entry(host).or_default().insert(key.name.clone())),
                    Err(message) => {
                        let field = format!("metadata.labels[{label}]");
                        diagnostics.push(Severity::Warning, &object, &field, &message);
                    }
                }
            }
        }
        claims
    }

    /// The namespaces that have a host by a label, if any.
    pub(super) fn owners(&self, host: &Option<Hostname>) -> Option<&BTreeSet<String>> {
        self.0.get(host.as_ref()?)
    }

    /// True if a namespace has a host by a label.
    pub(crate) fn has(&self, host: &Hostname, namespace: &str) -> bool {
        self.0.get(host).is_some_and(|namespaces| namespaces.contains(namespace))
    }

    /// Hosts that are claimed otherwise than in `other`.
    pub(super) fn differing(&self, other: &Self) -> impl Iterator<Item = Hostname> {
        let hosts: BTreeSet<&Hostname> = self.0.keys().chain(other.0.keys()).collect();
        let differing: Vec<_> =
            hosts.into_iter().filter(|host| self.0.get(*host) != other.0.get(*host)).cloned().collect();
        differing.into_iter()
    }
}

/// The label that gives a host to a Namespace, with its value if that is not empty.
pub(crate) fn label(host: &Hostname) -> String {
    match host {
        Hostname::Exact(name) => format!("{HOST_LABELS}{name}"),
        Hostname::Wildcard(suffix) => format!("{HOST_LABELS}{suffix}={SUBDOMAINS}"),
    }
}

/// The hosts that labels name, each with its label, or what is wrong with one.
fn claimed(labels: &BTreeMap<String, String>) -> Vec<(&str, Result<Hostname, String>)> {
    let parse = |text: &str| Hostname::parse(text).map_err(|error| error.to_string());
    let list = labels.get(LIST_LABEL).map(String::as_str).unwrap_or_default();
    let listed = list.split('_').filter(|text| !text.is_empty()).map(|text| (LIST_LABEL, parse(text)));
    let single = labels.range(HOST_LABELS.to_owned()..).map_while(|(label, value)| {
        let host = label.strip_prefix(HOST_LABELS)?;
        let claimed = match value.as_str() {
            "" => parse(host),
            SUBDOMAINS => parse(&format!("*.{host}")),
            other => Err(format!(
                "value {other:?} is not known; leave it empty, or write {SUBDOMAINS} for *.{host}"
            )),
        };
        Some((label.as_str(), claimed))
    });
    listed.chain(single).collect()
}

impl Owner {
    /// By label, or else the namespace of the oldest route that wrote a hostname for it. `None` if there is
    /// no such route: without a hostname a route owns nothing.
    pub(super) fn of(routes: &[Placed], claimed: Option<&BTreeSet<String>>) -> Option<Self> {
        if let Some(namespaces) = claimed {
            return Some(Self { namespaces: namespaces.clone(), by: None });
        }
        let oldest = oldest(routes.iter().filter(|placed| placed.original != Original::Unnamed))?;
        let namespaces = BTreeSet::from([oldest.namespace().to_owned()]);
        Some(Self { namespaces, by: Some(oldest.route.id().clone()) })
    }

    pub(super) fn has(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace)
    }

    /// `namespace "team-a", whose HTTPRoute team-a/web is the oldest with it`.
    pub(super) fn text(&self) -> String {
        let names: Vec<_> = self.namespaces.iter().map(|name| format!("{name:?}")).collect();
        let noun = if names.len() == 1 { "namespace" } else { "namespaces" };
        let why = match &self.by {
            Some(route) => format!("whose {route} is the oldest with it"),
            None => "by a label of the Namespace".to_owned(),
        };
        format!("{noun} {}, {why}", names.join(" and "))
    }
}

/// The oldest of some routes.
pub(super) fn oldest<'a>(routes: impl Iterator<Item = &'a Placed>) -> Option<&'a Placed> {
    routes.reduce(|a, b| if b.is_older(a) { b } else { a })
}
