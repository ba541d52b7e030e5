//! Connecting to a peer.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use super::Stream;
use crate::time::{AssertCancelSafe, with_deadline};

/// Connects to `addr` with TCP_NODELAY set.
///
/// # Errors
/// `TimedOut` after `timeout` (coarse, see [`with_deadline`]): the attempt is cancelled and its descriptor
/// closed by the ring. Else what the kernel reports, such as `ConnectionRefused`, or `Uncategorized` EMFILE.
pub fn connect(addr: SocketAddr, timeout: Duration) -> impl Future<Output = io::Result<Stream>> {
    // Safe to drop: an abandoned connect keeps its descriptor until it is cancelled, then closes it; no data
    // can be lost, since none was exchanged.
    let attempt = AssertCancelSafe(monoio::net::TcpStream::connect_addr(addr));
    async move {
        let tcp = with_deadline(timeout, attempt).await??;
        tcp.set_nodelay(true)?;
        Stream::from_prepared(tcp)
    }
}
