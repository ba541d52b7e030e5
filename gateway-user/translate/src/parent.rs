//! Parents of routes: Gateways of ours, and ListenerSets that name one of those.

use std::fmt;

use gateway_api_types::{GATEWAY_GROUP, Kind, ObjectKey};
use gateway_ir::{ListenerId, ObjectName};

use crate::diagnostics::ObjectRef;
use crate::grants::Referrer;

/// An object with listeners. In order: Gateways first, each kind by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ParentKey {
    Gateway(ObjectName),
    ListenerSet(ObjectName),
}

impl ParentKey {
    pub(crate) fn of(id: &ListenerId) -> Self {
        match &id.set {
            Some(set) => Self::ListenerSet(set.clone()),
            None => Self::Gateway(id.gateway.clone()),
        }
    }

    pub(crate) fn name(&self) -> &ObjectName {
        match self {
            Self::Gateway(name) | Self::ListenerSet(name) => name,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Gateway(_) => Kind::Gateway,
            Self::ListenerSet(_) => Kind::ListenerSet,
        }
    }

    pub(crate) fn object(&self) -> ObjectRef {
        let name = self.name();
        ObjectRef { kind: self.kind(), key: ObjectKey::new(&*name.namespace, &*name.name) }
    }

    /// It as one who refers to other objects: grants for a Gateway are none for its ListenerSets, nor the other way round.
    pub(crate) fn referrer(&self) -> Referrer<'_> {
        Referrer { group: GATEWAY_GROUP, kind: self.kind().as_str(), namespace: &self.name().namespace }
    }
}

/// `Gateway "edge/shared"`.
impl fmt::Display for ParentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.kind(), self.name())
    }
}

/// `listener "https" of Gateway "edge/shared"`.
pub(crate) fn listener_text(id: &ListenerId) -> String {
    format!("listener {:?} of {}", id.listener, ParentKey::of(id))
}
