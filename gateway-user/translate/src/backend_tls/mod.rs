//! BackendTLSPolicies (GEP-1897): TLS settings of clusters, and the policies' statuses (GEP-713).
//!
//! A policy says the same to every cluster that it is for, so its settings are made once. Its ancestors are the
//! Gateways whose routes refer to its targets.

mod ancestors;
mod policy;
mod status;
pub(crate) mod targets;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api_types::{Kind, ObjectKey, PolicyStatus};
use gateway_ir::{
    BackendTls, ClusterKey, ObjectName, Route, RouteId, SharedMap, TrustBundle, TrustSource, shared_map,
};

use crate::Severity;
use crate::authorities::Authorities;
use crate::diagnostics::{Diagnostics, ObjectRef};
use crate::gateway::GatewayState;
use crate::memo::Routes;
use crate::view::View;

use ancestors::Ancestors;
use policy::PolicyState;
use targets::Targets;
use users::Users;

/// The authorities that `wellKnownCACertificates: System` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemAuthorities(Result<Arc<TrustBundle>, String>);

impl SystemAuthorities {
    /// Those of a bundle in PEM. Certificates of it that cannot be trusted are left out.
    pub fn read(pem: &[u8]) -> Self {
        let bundle = gateway_tls::read_bundle(pem).map_err(|error| error.to_string());
        Self(bundle.map(|certificates| Arc::new(TrustBundle { source: TrustSource::System, certificates })))
    }

    /// None, for this reason.
    pub fn none(why: impl Into<String>) -> Self {
        Self(Err(why.into()))
    }

    /// The certificates.
    ///
    /// # Errors
    /// The text says why there is none.
    pub fn bundle(&self) -> Result<&Arc<TrustBundle>, &str> {
        self.0.as_ref().map_err(String::as_str)
    }
}

impl Default for SystemAuthorities {
    fn default() -> Self {
        Self::none("no bundle of the system was given")
    }
}

/// Policies from one update to the next.
#[derive(Debug, Default)]
pub(crate) struct BackendPolicies {
    users: Users,
    /// The settings that each policy came to.
    settings: BTreeMap<ObjectName, Arc<BackendTls>>,
    tls: SharedMap<ClusterKey, Arc<BackendTls>>,
}

/// The state that policies depend on beside their objects.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'s, 'a> {
    pub(crate) gateways: &'s [GatewayState<'a>],
    pub(crate) routes: &'s Routes,
    /// Those that are served.
    pub(crate) served: &'s SharedMap<RouteId, Arc<Route>>,
    pub(crate) controller: &'s str,
    pub(crate) system: &'s SystemAuthorities,
}

/// The result for all policies.
#[derive(Debug, Default)]
pub(crate) struct PolicyOutcome {
    /// The settings of every cluster that is spoken to over TLS.
    pub(crate) tls: SharedMap<ClusterKey, Arc<BackendTls>>,
    /// Statuses of the policies that a Gateway of ours uses; only our entries.
    pub(crate) statuses: BTreeMap<ObjectName, PolicyStatus>,
    /// Gateways that must not use a policy: what to tell their owners.
    pub(crate) refused: BTreeMap<ObjectName, Vec<String>>,
}

impl BackendPolicies {
    pub(crate) fn follow<'k>(
        &mut self,
        view: &View<'_>,
        around: Surroundings<'_, '_>,
        authorities: &mut Authorities,
        clusters: impl Iterator<Item = &'k ClusterKey>,
        diagnostics: &mut Diagnostics,
    ) -> PolicyOutcome {
        let mut states: BTreeMap<&ObjectKey, PolicyState<'_>> = BTreeMap::new();
        for (key, object) in &view.resources.backend_tls_policies {
            let state = PolicyState::new(view, key, object, authorities, around.system);
            states.insert(key, state);
        }
        let targeted: BTreeSet<_> = view.tls_targets.services().cloned().collect();
        self.users.follow(around.served, targeted);
        let mut outcome = PolicyOutcome::default();
        let mut settings = BTreeMap::new();
        let mut all = Ancestors::find(view, around, &self.users);
        for (key, state) in &mut states {
            let ancestors = all.of(key, state, around);
            for (gateway, message) in &ancestors.refused {
                outcome.refused.entry(gateway.clone()).or_default().push(message.clone());
            }
            state.settings.refused_gateways =
                ancestors.refused.iter().map(|(gateway, _)| gateway.clone()).collect();
            tell(view, key, state, diagnostics);
            if !ancestors.entries.is_empty() {
                let status = status::of(state, &ancestors.entries, around.controller);
                outcome.statuses.insert(state.name.clone(), status);
            }
            let same = self.settings.get(&state.name).filter(|same| ***same == state.settings);
            let now = same.map_or_else(|| Arc::new(state.settings.clone()), Arc::clone);
            settings.insert(state.name.clone(), now);
        }
        self.settings = settings;
        outcome.tls = self.clusters(view, clusters);
        outcome
    }

    /// The settings of these clusters, in order, as far as they are spoken to over TLS.
    fn clusters<'k>(
        &mut self,
        view: &View<'_>,
        clusters: impl Iterator<Item = &'k ClusterKey>,
    ) -> SharedMap<ClusterKey, Arc<BackendTls>> {
        let mut entries: Vec<(ClusterKey, Arc<BackendTls>)> = Vec::new();
        for key in clusters.filter(|key| key.tls) {
            let service = ObjectKey::new(&*key.service.namespace, &*key.service.name);
            let winner = view.tls_targets.winner(&service, view.port_name(&service, key.port));
            let policy =
                winner.map(|target| ObjectName::new(&*target.policy.namespace, &*target.policy.name));
            let settings = policy.and_then(|policy| self.settings.get(&policy));
            entries.extend(settings.map(|settings| (key.clone(), Arc::clone(settings))));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.tls = shared_map(Some(&self.tls), entries);
        self.tls.clone()
    }
}

/// Says what is wrong with a policy.
fn tell(view: &View<'_>, key: &ObjectKey, state: &PolicyState<'_>, diagnostics: &mut Diagnostics) {
    let object = ObjectRef { kind: Kind::BackendTlsPolicy, key: key.clone() };
    match &state.refused {
        Some(error) if !error.field.is_empty() => diagnostics.error(&object, error),
        // The references say it.
        Some(_) | None => {}
    }
    for error in &state.unresolved {
        diagnostics.error(&object, error);
    }
    for (field, message) in &state.notes {
        diagnostics.push(Severity::Warning, &object, field, message);
    }
    for (index, target) in state.object.spec.target_refs.iter().enumerate() {
        let service = ObjectKey::new(&*key.namespace, &*target.name);
        for own in view.tls_targets.of(&service).iter().filter(|own| own.policy == key && own.index == index)
        {
            let field = format!("targetRefs[{index}]");
            if let Some(first) = view.tls_targets.precedes(&service, own) {
                diagnostics.push(Severity::Error, &object, &field, &status::gives_way(first, target));
            } else if let Some(missing) = status::missing(view, &service, own) {
                diagnostics.push(Severity::Warning, &object, &field, &missing);
            }
        }
    }
}
