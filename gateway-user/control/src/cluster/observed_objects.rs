//! Objects as the API server was last seen to hold them.

use gateway_api_types::{Kind, Object, ObjectKey};

use crate::source::kube::Cluster;

/// The newest version of objects that a watch has brought, status and resource version included. It may be
/// older than what the server holds by now: who writes says which version was meant.
pub trait ObservedObjects: Send + Sync {
    /// The object, if there is one.
    fn object(&self, kind: Kind, key: &ObjectKey) -> Option<Object>;

    /// The names of all objects of a kind.
    fn keys(&self, kind: Kind) -> Vec<ObjectKey>;
}

impl ObservedObjects for Cluster {
    fn object(&self, kind: Kind, key: &ObjectKey) -> Option<Object> {
        Cluster::object(self, kind, key)
    }

    fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        Cluster::keys(self, kind)
    }
}
