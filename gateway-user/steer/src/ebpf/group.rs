//! The workers' sockets, all in one `SO_REUSEPORT` group.

use std::io;
use std::net::TcpListener;

use gateway_ir::BindAddress;

use crate::{SteerError, SteerOptions, sockets};

/// A duplicate of the only socket.
pub(super) fn spare(sockets: &[TcpListener]) -> Option<TcpListener> {
    match sockets {
        // Without a descriptor for it the death of the worker costs its queue; not worth more than that.
        [only] => only.try_clone().ok(),
        _ => None,
    }
}

/// One socket per worker, all in one group: the given ones, and more on their port, or on one that the kernel
/// chooses.
pub(super) fn worker_sockets(
    options: &SteerOptions,
    mut sockets: Vec<TcpListener>,
) -> Result<(u16, Vec<TcpListener>), SteerError> {
    let failed = |source| SteerError::Socket { what: "listening sockets of the workers".into(), source };
    let first = match sockets.first() {
        Some(first) => first.try_clone().map_err(failed)?,
        None => {
            let first = sockets::listen(BindAddress::Any, 0, options.backlog).map_err(failed)?;
            sockets.push(first.try_clone().map_err(failed)?);
            first
        }
    };
    let port = first.local_addr().map_err(failed)?.port();
    sockets.truncate(options.workers);
    sockets.extend(listen_beside(options, port, &first, sockets.len()).map_err(failed)?);
    Ok((port, sockets))
}

/// Sockets of the workers, in the group of a killed process's where they can be: then what waits at its stand-by can move
/// to them. That is given back; without it there is nothing to come after.
pub(super) fn sockets_after(
    options: &SteerOptions,
    orphan: Option<TcpListener>,
) -> Result<(u16, Vec<TcpListener>, Option<TcpListener>), SteerError> {
    if let Some(orphan) = orphan
        && let Ok(port) = orphan.local_addr().map(|address| address.port())
        && let Ok(sockets) = listen_beside(options, port, &orphan, 0)
    {
        return Ok((port, sockets, Some(orphan)));
    }
    worker_sockets(options, Vec::new()).map(|(port, sockets)| (port, sockets, None))
}

/// Sockets for the workers from that one on, in the group of `first`, whose owner may be another user than this process
/// is by now.
fn listen_beside(
    options: &SteerOptions,
    port: u16,
    first: &TcpListener,
    from: usize,
) -> io::Result<Vec<TcpListener>> {
    let listen = || sockets::listen(BindAddress::Any, port, options.backlog);
    let listen_all = || (from..options.workers).map(|_| listen()).collect();
    sockets::as_owner_of(first, listen_all).and_then(|made| made)
}
