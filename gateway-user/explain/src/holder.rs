//! Objects with listeners: Gateways and ListenerSets.

use std::sync::Arc;

use gateway_api_types::{
    Gateway, Kind, Listener, ListenerSet, ListenerStatus, Object, ObjectKey, RouteNamespaces,
};
use gateway_ir::{ObjectName, RouteId};
use gateway_translate::StatusSet;

use crate::Lookup;

/// An object with listeners.
#[derive(Clone, Copy)]
pub(crate) enum Holder<'a> {
    /// A Gateway.
    Gateway(&'a Gateway),
    /// A ListenerSet.
    Set(&'a ListenerSet),
}

impl<'a> Holder<'a> {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Gateway(_) => Kind::Gateway,
            Self::Set(_) => Kind::ListenerSet,
        }
    }

    pub(crate) fn name(self) -> ObjectKey {
        match self {
            Self::Gateway(gateway) => ObjectKey::of(&gateway.metadata),
            Self::Set(set) => ObjectKey::of(&set.metadata),
        }
    }

    pub(crate) fn listeners(self) -> &'a [Listener] {
        match self {
            Self::Gateway(gateway) => &gateway.spec.listeners,
            Self::Set(set) => &set.spec.listeners,
        }
    }

    /// True if its listener lets routes of that kind in, as its status says.
    pub(crate) fn allows_kind(self, lookup: &Lookup<'_>, route: &RouteId, listener: &str) -> bool {
        let key = self.name();
        let name = ObjectName::new(&*key.namespace, &*key.name);
        let listeners = statuses(&lookup.translation.status, self.kind(), &name);
        let kinds = listeners.iter().filter(|one| one.name == listener).flat_map(|one| &one.supported_kinds);
        kinds.into_iter().any(|kind| kind.kind == route.kind.as_str())
    }

    /// The object with another choice of namespaces at one of its listeners.
    pub(crate) fn changed(self, at: usize, change: impl FnOnce(&mut RouteNamespaces)) -> Option<Object> {
        Some(match self {
            Self::Gateway(gateway) => {
                let mut changed = gateway.clone();
                change(&mut changed.spec.listeners.get_mut(at)?.allowed_routes.namespaces);
                Object::Gateway(Arc::new(changed))
            }
            Self::Set(set) => {
                let mut changed = set.clone();
                change(&mut changed.spec.listeners.get_mut(at)?.allowed_routes.namespaces);
                Object::ListenerSet(Arc::new(changed))
            }
        })
    }
}

/// The statuses of the listeners of a Gateway or ListenerSet of ours.
pub(crate) fn statuses<'a>(status: &'a StatusSet, kind: Kind, name: &ObjectName) -> &'a [ListenerStatus] {
    let listeners = match kind {
        Kind::ListenerSet => status.listener_sets.get(name).map(|one| &one.listeners),
        _ => status.gateways.get(name).map(|one| &one.listeners),
    };
    listeners.map(Vec::as_slice).unwrap_or_default()
}
