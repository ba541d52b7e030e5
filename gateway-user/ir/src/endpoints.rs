//! Endpoints: the addresses behind each cluster. They change without a recompile.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::{ClusterKey, SharedMap};

/// The addresses of every cluster that a route refers to. A cluster that is present with an empty list has no
/// endpoint to serve with: its requests get 503.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Addresses by cluster, sorted, without repeats. An unchanged list is the same [`Arc`] in the next
    /// update: a Service may have ten thousand endpoints, and others change beside it.
    pub clusters: SharedMap<ClusterKey, Arc<[SocketAddr]>>,
}
