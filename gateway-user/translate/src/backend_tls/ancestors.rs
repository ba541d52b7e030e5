//! Ancestors of policies: the Gateways that use them, as many as a status has room for.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{ObjectKey, PolicyAncestorStatus};
use gateway_ir::ObjectName;

use super::policy::PolicyState;
use super::status::{self, Reached};
use super::users::Users;
use super::{Surroundings, Targets};
use crate::assemble;
use crate::gateway::GatewayState;
use crate::parent::ParentKey;
use crate::read::find_parent;
use crate::view::View;

/// Most entries of `PolicyStatus.ancestors`.
const ENTRIES_MAX: usize = 16;

/// The Gateways of every policy, each with what is to be said of the policy there.
#[derive(Debug, Default)]
pub(super) struct Ancestors(BTreeMap<ObjectKey, BTreeMap<ObjectName, Reached>>);

/// The ancestors of one policy.
#[derive(Debug, Default)]
pub(super) struct PolicyAncestors {
    /// Those that have an entry.
    pub(super) entries: Vec<(ObjectName, Reached)>,
    /// Those for which there is no room, with what to tell their owners.
    pub(super) refused: Vec<(ObjectName, String)>,
}

impl Ancestors {
    /// Goes through the routes that refer to targeted Services.
    pub(super) fn find(view: &View<'_>, around: Surroundings<'_, '_>, users: &Users) -> Self {
        let mut all = Self::default();
        for (id, keys) in users.iter() {
            let Some(own) = around.routes.find(id) else { continue };
            let places = own.attachments.iter().filter_map(|one| {
                let (at, gateway) = find_parent(around.gateways, &one.at)?;
                let serve = gateway.listeners.get(one.listener)?.serve?;
                // A client's own TLS goes to backends as it is, and so do datagrams: no policy is used for them.
                let uses_it = !serve.passes_tls_through() && serve.transport().is_tcp();
                let is_served = uses_it && assemble::is_served(around.gateways, (at, one.listener));
                is_served.then_some(&gateway.name)
            });
            let gateways: BTreeSet<_> = places.collect();
            for key in keys {
                let service = ObjectKey::new(&*key.service.namespace, &*key.service.name);
                let port_name = view.port_name(&service, key.port);
                for gateway in &gateways {
                    all.note(view, &view.tls_targets, &service, port_name, gateway);
                }
            }
        }
        all
    }

    /// A route of a Gateway refers to this port of a Service.
    fn note(
        &mut self,
        view: &View<'_>,
        targets: &Targets<'_>,
        service: &ObjectKey,
        port_name: Option<&str>,
        gateway: &ObjectName,
    ) {
        let winner = targets.winner(service, port_name).map(|target| (target.policy, target.index));
        for target in targets.of(service) {
            let missing = status::missing(view, service, target);
            let first = targets.precedes(service, target);
            let is_for_port = match first {
                Some(first) => winner == Some((first.policy, first.index)),
                None => winner == Some((target.policy, target.index)),
            };
            if !is_for_port && missing.is_none() {
                continue;
            }
            let policy = self.0.entry(target.policy.clone()).or_default();
            let reached = policy.entry(gateway.clone()).or_default();
            let field = format!("targetRefs[{}]", target.index);
            if let Some(first) = first {
                reached.conflicts.insert(format!(
                    "{field}: BackendTLSPolicy \"{}\" has the same target and comes first: the older one does, of one age by name",
                    first.policy
                ));
            }
            reached.missing.extend(missing.map(|message| format!("{field}: {message}")));
        }
    }

    /// Those of one policy. Who has an entry keeps it; else the older Gateway comes first.
    pub(super) fn of(
        &mut self,
        key: &ObjectKey,
        state: &PolicyState<'_>,
        around: Surroundings<'_, '_>,
    ) -> PolicyAncestors {
        let Some(mut gateways) = self.0.remove(key) else { return PolicyAncestors::default() };
        let seen = state.object.status.as_ref().map(|status| status.ancestors.as_slice()).unwrap_or_default();
        let is_ours = |entry: &&PolicyAncestorStatus| entry.controller_name == around.controller;
        let foreign = seen.iter().filter(|entry| !is_ours(entry)).count();
        let own = seen.iter().filter(is_ours).map(|entry| {
            let namespace = entry.ancestor_ref.namespace.as_deref().unwrap_or(&key.namespace);
            ObjectName::new(namespace, &*entry.ancestor_ref.name)
        });
        let mut ordered: Vec<(ObjectName, Reached)> =
            own.filter_map(|name| gateways.remove(&name).map(|reached| (name, reached))).collect();
        let mut others: Vec<_> = gateways.into_iter().collect();
        others.sort_by(|(a, _), (b, _)| {
            age(around.gateways, a).cmp(&age(around.gateways, b)).then_with(|| a.alphabetical(b))
        });
        ordered.extend(others);
        let room = ENTRIES_MAX.saturating_sub(foreign);
        let beyond = ordered.split_off(room.min(ordered.len()));
        let refused = beyond.into_iter().map(|(gateway, _)| {
            let message = format!(
                "BackendTLSPolicy \"{key}\" has {ENTRIES_MAX} ancestors and room for no more, so this Gateway must not use it: \
                 requests to its targets are answered with 502; give them a Service of their own, with a policy of its own"
            );
            (gateway, message)
        });
        PolicyAncestors { entries: ordered, refused: refused.collect() }
    }
}

/// Older Gateways first; those of files have no age and come last.
fn age(gateways: &[GatewayState<'_>], name: &ObjectName) -> (bool, Option<i64>) {
    let created =
        find_parent(gateways, &ParentKey::Gateway(name.clone())).and_then(|(_, gateway)| gateway.created);
    (created.is_none(), created)
}
