//! A client's connection and its backend's as the two ends of a tunnel.

use std::time::Duration;

use gateway_io::{Chunk, Stream};

use crate::Reason;
use crate::backend::tunnel_ends;
use crate::connection::info::ConnInfo;
use crate::l4::account::TunnelAccount;
use crate::l4::raw::{RawSink, RawSource};
use crate::l4::traffic::Traffic;
use crate::l4::tunnel;
use crate::upstream::Lease;

/// How long a client may take for the end of its tunnel.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// And how much it may still send then.
const CLOSE_BYTES: usize = 64 * 1024;

/// A request whose client and backend have changed protocols.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(super) lease: Lease,
    pub(super) account: TunnelAccount,
    /// Came behind the request.
    pub(super) from_client: Option<Chunk>,
    /// Came behind the response.
    pub(super) from_backend: Option<Chunk>,
}

/// Passes bytes both ways until the tunnel's end; closes both connections.
pub(super) async fn serve(mut stream: Stream, info: &ConnInfo, tunnel: Box<Tunnel>) {
    let Tunnel { mut lease, account, from_client, from_backend } = *tunnel;
    // One whose request has not changed protocols is no end of a tunnel.
    let Some((mut source, mut sink)) = tunnel_ends(&mut lease, from_backend) else { return };
    let traffic = Traffic::new(account.settings());
    let ended = {
        stream.send.shrink();
        let client =
            (&mut RawSource::new(&mut stream.recv, from_client), &mut RawSink::new(&mut stream.send));
        tunnel::run(&info.context, &info.control, client, (&mut source, &mut sink), &traffic).await
    };
    drop((source, sink));
    // The backend's connection carries no other request; a stream of one is reset if it is not over.
    drop(lease);
    account.finish(info, &traffic, ended);
    match ended {
        // It has the backend's end, and may still be sending: closed at once, the connection would be reset, and the client
        // lose what it has not read.
        Err(_) if traffic.is_delivered() => stream.close_lingering(CLOSE_BYTES, CLOSE_TIMEOUT).await,
        // A close in order would look like the backend's own.
        Err(Reason::TunnelUpstreamClosed) => drop(stream.reset()),
        Err(_) if stream.is_layered() => stream.close_in_order(CLOSE_TIMEOUT).await,
        Ok(()) | Err(_) => drop(stream),
    }
}
