//! Endpoints: the addresses behind each cluster, and the TLS settings of their connections. They change without a
//! recompile.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::{BackendTls, ClusterKey, SharedMap};

/// The addresses of every cluster that a route refers to, and how they are spoken to. A cluster that is present with an empty list has no
/// endpoint to serve with: its requests get 503.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Addresses by cluster, sorted, without repeats. An unchanged list is the same [`Arc`] in the next
    /// update: a Service may have ten thousand endpoints, and others change beside it.
    pub clusters: SharedMap<ClusterKey, Arc<[SocketAddr]>>,
    /// TLS settings of every cluster that is spoken to over TLS. Without an entry its requests get 502.
    pub tls: SharedMap<ClusterKey, Arc<BackendTls>>,
}
