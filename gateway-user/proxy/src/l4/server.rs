//! A connection of a TCP listener: the route, a backend, and bytes both ways.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use gateway_http::proxy_header::Proxied;
use gateway_io::{Chunk, Stream, place};
use gateway_ir::BackendProtocol;
use gateway_snapshot::{Action, Destination};

use super::account::TunnelAccount;
use super::raw::{RawSink, RawSource};
use super::tunnel::{self, Traffic};
use crate::Reason;
use crate::connection::info::ConnInfo;
use crate::connection::slot::ConnectionSlot;
use crate::exchange::admit::admit_connection;
use crate::h1::server::ServerConnection;
use crate::observe::record::{RequestRecord, RequestText};
use crate::upstream::{Cluster, Lease, Leased, Permit, Tried, lease};

/// The protocol as the access log has it.
const PROTOCOL: &[u8] = b"TCP";
/// Time that a client may take for the end of its connection, and bytes that it may still send then.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSE_BYTES: usize = 64 * 1024;

/// A client's connection, and what is known of it.
struct Connection {
    // Before the slot: who has left holds no socket any more.
    stream: Stream,
    _slot: ConnectionSlot,
    /// Came behind a PROXY header.
    first: Option<Chunk>,
    info: ConnInfo,
}

/// The backend's end of a connection.
struct Opened {
    lease: Lease,
    account: TunnelAccount,
}

/// Serves the connection to its end.
pub(crate) async fn serve(mut conn: Box<ServerConnection>) {
    if conn.expects_proxy_header {
        match place(|| conn.read_proxy_header()).await {
            Some(announced) => conn = announced,
            None => return,
        }
    }
    let (slot, stream, first, info) = conn.into_parts();
    let conn = Connection { stream, _slot: slot, first, info };
    match place(|| open(&conn.info)).await {
        Some(opened) => conn.pass(opened).await,
        // The kernel has accepted it: a close in order would look like a backend that has nothing to say.
        None => drop(conn.stream.reset()),
    }
}

/// Finds a backend for a connection. `None` if there is none: that was counted, and written to the log.
async fn open(info: &ConnInfo) -> Option<Opened> {
    let mut record = RequestRecord::begin(info.peer.ip());
    let text = RequestText::of_connection(PROTOCOL);
    let connected = {
        let connecting = pin!(connect(info, &mut record));
        info.control.kill.unless(connecting).await.unwrap_or(Err(Reason::DrainAborted))
    };
    match connected {
        Ok((lease, permit)) => {
            let account = TunnelAccount::of_connection(info, record, text, permit);
            Some(Opened { lease, account })
        }
        Err(reason) => {
            record.reason = Some(reason);
            record.finish_connection(&info.context, &text, info.tls.as_deref(), (info.peer, info.local));
            None
        }
    }
}

/// Routes a connection, and connects to an endpoint.
async fn connect(info: &ConnInfo, record: &mut RequestRecord) -> Result<(Lease, Permit), Reason> {
    let context = &info.context;
    let cluster = route(info, record)?;
    let permit = cluster.load.enter(&context.config).inspect_err(|_| {
        context.metrics.borrow_mut().counters.upstream_overloaded += 1;
    })?;
    let mut lease = lease(context, &cluster, false, &mut Tried::default()).await?;
    permit.response_began();
    record.upstream = Some(lease.backend().address);
    if let (Some(header), Leased::Exclusive(stream)) = (header(info, cluster.protocol), &mut lease.connection)
    {
        stream.send.queue(header);
    }
    Ok((lease, permit))
}

/// The endpoints that a connection may go to. It counts from now on as under way, in its namespace and its listener.
fn route(info: &ConnInfo, record: &mut RequestRecord) -> Result<Rc<Cluster>, Reason> {
    let context = &info.context;
    let live = context.live();
    let table = info.bind_table(&live.snapshot).ok_or(Reason::NoListenerForAddress)?;
    // The listener may have changed its protocol since the connection was accepted.
    let (listener, rule) = table.tunnel().ok_or(Reason::NoListenerForAddress)?;
    let routed = live.routed(rule.ok_or(Reason::NoRoute)?, listener, &context.shares, &context.settings);
    record.routed = Some(Rc::clone(&routed));
    record.counted = Some(admit_connection(info, &routed)?);
    let target = match &routed.rule.action {
        Action::Forward(picker) => picker.pick(context.random.next()),
        Action::Fail(failure) => return Err(Reason::Failure(failure.kind)),
        // Of requests alone.
        Action::Redirect(_) => return Err(Reason::NoRoute),
    };
    let cluster = match &target.destination {
        Destination::Cluster(id) => live.cluster(*id, listener, &context.upstreams),
        Destination::Fail(failure) => return Err(Reason::Failure(failure.kind)),
    };
    match cluster {
        Some(cluster) if cluster.fault().is_none() && !cluster.is_empty() => Ok(cluster),
        other => Err(other.and_then(|cluster| cluster.fault()).unwrap_or(Reason::NoEndpoints)),
    }
}

/// The header by which a backend learns of the client, if it wants one.
fn header(info: &ConnInfo, protocol: BackendProtocol) -> Option<Chunk> {
    let proxied = Proxied { client: info.peer, destination: info.local };
    let header = match protocol {
        BackendProtocol::TcpProxyV1 => proxied.to_line(),
        BackendProtocol::TcpProxyV2 => proxied.to_binary(),
        BackendProtocol::Http1 | BackendProtocol::Http2 | BackendProtocol::Tcp => return None,
    };
    let mut chunk = Chunk::with_capacity(header.len());
    // Fits: the capacity was just asked for.
    let _ = chunk.extend_from_slice(&header);
    Some(chunk)
}

impl Connection {
    /// Passes bytes both ways to the connection's end.
    async fn pass(self, opened: Opened) {
        let Self { mut stream, _slot: slot, first, info } = self;
        let Opened { mut lease, account } = opened;
        // Others carry requests.
        let Leased::Exclusive(backend) = &mut lease.connection else { return };
        stream.recv.expect_long(true);
        backend.recv.expect_long(true);
        let traffic = Traffic::new(account.settings());
        let ended = {
            let client = (&mut RawSource::new(&mut stream.recv, first), &mut RawSink::new(&mut stream.send));
            let backend =
                (&mut RawSource::new(&mut backend.recv, None), &mut RawSink::new(&mut backend.send));
            tunnel::run(&info.context, &info.control, client, backend, &traffic).await
        };
        account.finish(&info, &traffic, ended);
        match ended {
            Ok(()) => drop((lease, stream)),
            // A close in order would look like the other side's own end, and what came like the whole.
            Err(_) => {
                lease.reset();
                if traffic.is_delivered() {
                    // It has the backend's end: reset, it would lose what it has not read.
                    stream.close_lingering(CLOSE_BYTES, CLOSE_TIMEOUT).await;
                } else {
                    drop(stream.reset());
                }
            }
        }
        drop(slot);
    }
}
