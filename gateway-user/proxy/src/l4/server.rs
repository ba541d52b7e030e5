//! A connection of a TCP or TLS listener: the route, a backend, and bytes both ways.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use gateway_http::proxy_header::Proxied;
use gateway_io::{Chunk, Stream, place};
use gateway_ir::Opening;
use gateway_snapshot::{Action, Destination, RouteMiss, Selected};

use super::account::TunnelAccount;
use super::admitted::Admitted;
use super::raw::{RawSink, RawSource};
use super::traffic::Traffic;
use super::tunnel;
use crate::Reason;
use crate::connection::info::ConnInfo;
use crate::connection::slot::ConnectionSlot;
use crate::exchange::admit::admit_connection;
use crate::h1::server::ServerConnection;
use crate::observe::record::{RequestRecord, RequestText};
use crate::upstream::{Cluster, Lease, Leased, Permit, Tried, lease};

/// Time that a client may take for the end of its connection, and bytes that it may still send then.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSE_BYTES: usize = 64 * 1024;

/// A client's connection, and what is known of it.
struct Connection {
    // Before the slot: who has left holds no socket any more.
    stream: Stream,
    _slot: ConnectionSlot,
    /// Came behind a PROXY header or a handshake, or is the ClientHello that was read.
    first: Option<Chunk>,
    info: ConnInfo,
}

impl Admitted {
    /// Forwards the connection to a backend, to its end.
    pub(crate) async fn forward(self: Box<Self>, conn: Box<ServerConnection>) {
        let (slot, stream, first, info) = conn.into_parts();
        let conn = Connection { stream, _slot: slot, first, info };
        match place(|| open(&conn.info, self)).await {
            Some(opened) => conn.pass(opened).await,
            None => drop(conn.stream.reset()),
        }
    }
}

/// The backend's end of a connection.
struct Opened {
    lease: Lease,
    account: TunnelAccount,
}

/// Serves a connection of a TCP listener to its end.
pub(crate) async fn serve(mut conn: Box<ServerConnection>) {
    if conn.info.expects_proxy_header {
        match place(|| conn.read_proxy_header()).await {
            Some(announced) => conn = announced,
            None => return,
        }
    }
    match admit(&conn.info) {
        Some(admitted) => admitted.forward(conn).await,
        None => refuse(conn),
    }
}

/// Resets a connection that is not served. The kernel has accepted it, and a close in order would look like a backend with
/// no more to say.
pub(crate) fn refuse(conn: Box<ServerConnection>) {
    // The slot is held until the stream is gone.
    let (_slot, stream, ..) = conn.into_parts();
    // If the option can't be set the connection is closed in order; there is nobody left to tell.
    drop(stream.reset());
}

/// Finds the rule of a connection. `None` if it is refused: that was counted, and written to the log.
pub(crate) fn admit(info: &ConnInfo) -> Option<Box<Admitted>> {
    let mut record = RequestRecord::begin(info.peer.ip());
    let text = RequestText::of_connection(protocol(info));
    match route(info, &mut record) {
        Ok(cluster) => Some(Box::new(Admitted { record, text, cluster })),
        Err(reason) => {
            finish_refused(info, record, &text, reason);
            None
        }
    }
}

/// Counts a connection for which there is not even a listener, and writes it to the log.
pub(crate) fn note_refused(info: &ConnInfo, reason: Reason) {
    let record = RequestRecord::begin(info.peer.ip());
    finish_refused(info, record, &RequestText::of_connection(protocol(info)), reason);
}

fn finish_refused(info: &ConnInfo, mut record: RequestRecord, text: &RequestText, reason: Reason) {
    record.reason = Some(reason);
    record.finish_connection(&info.context, text, info.tls.as_deref(), (info.peer, info.local));
}

/// The protocol as the access log has it.
fn protocol(info: &ConnInfo) -> &'static [u8] {
    if info.tls.is_some() { b"TLS" } else { b"TCP" }
}

/// Connects to a backend. `None` if that failed: it was counted, and written to the log.
async fn open(info: &ConnInfo, admitted: Box<Admitted>) -> Option<Opened> {
    let Admitted { mut record, text, cluster } = *admitted;
    let connected = {
        let connecting = pin!(connect(info, &mut record, &cluster));
        info.control.kill.unless(connecting).await.unwrap_or(Err(Reason::DrainAborted))
    };
    match connected {
        Ok((lease, permit)) => {
            let account = TunnelAccount::of_connection(info, record, text, permit);
            Some(Opened { lease, account })
        }
        Err(reason) => {
            finish_refused(info, record, &text, reason);
            None
        }
    }
}

/// Connects to an endpoint.
async fn connect(
    info: &ConnInfo,
    record: &mut RequestRecord,
    cluster: &Rc<Cluster>,
) -> Result<(Lease, Permit), Reason> {
    let context = &info.context;
    let permit = cluster.load.enter(&context.config).inspect_err(|_| {
        context.metrics.borrow_mut().counters.upstream_overloaded += 1;
    })?;
    let client = Proxied { client: info.peer, destination: info.local };
    let lease = lease(context, cluster, false, Some(&client), &mut Tried::default()).await?;
    permit.response_began();
    record.upstream = Some(lease.backend().address);
    Ok((lease, permit))
}

/// The endpoints that a connection may go to. It counts from now on as under way, in its namespace and its listener.
fn route(info: &ConnInfo, record: &mut RequestRecord) -> Result<Rc<Cluster>, Reason> {
    let context = &info.context;
    let live = context.live();
    let table = info.bind_table(&live.snapshot).ok_or(Reason::NoListenerForAddress)?;
    let (opening, no_route) = match info.tls {
        Some(_) => (Opening::ClientHello, Reason::Miss(RouteMiss::NoRouteForHost)),
        None => (Opening::Bytes, Reason::NoRoute),
    };
    let name = info.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
    // The listener may have changed its protocol since the connection was accepted.
    let selected =
        table.select(name).filter(|one| table.opening() == opening && one.listener.serve.takes_connections());
    let Selected { listener, rule, .. } = selected.ok_or(Reason::NoListenerForAddress)?;
    let routed = live.routed(rule.ok_or(no_route)?, listener, &context.shares, &context.settings);
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
