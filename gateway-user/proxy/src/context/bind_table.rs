//! The listeners behind an address.

use std::net::SocketAddr;

use gateway_snapshot::{BindTable, Snapshot};

use super::WorkerContext;

/// The listeners behind a connection's local address, and the address that they are bound to. A listener that asks for the very
/// port comes before one whose low port was moved there.
pub(crate) fn bind_table<'a>(
    context: &WorkerContext,
    local: SocketAddr,
    snapshot: &'a Snapshot,
) -> Option<(SocketAddr, &'a BindTable)> {
    let moved = SocketAddr::new(local.ip(), context.config.listener_port(local.port()));
    [local, moved].into_iter().find_map(|bind| Some((bind, snapshot.bind(bind)?)))
}
