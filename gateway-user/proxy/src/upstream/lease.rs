//! A connection to a backend for the length of one request.

use std::rc::Rc;
use std::time::Duration;

use gateway_http::proxy_header::Proxied;
use gateway_io::{Stream, now, sleep};
use gateway_ir::BackendProtocol;

use super::dial::{dial, open_shared};
use super::dial_error::DialError;
use super::shared::{SharedConnection, SharedStream};
use super::{Backend, Cluster, PrivateConnections, Tried};
use crate::Reason;
use crate::context::WorkerContext;

/// How long, and how often, a request waits for a descriptor. That of a connection which its backend has closed comes free
/// when the kernel has ended what was in flight on it; clients that wait to be accepted try less often.
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(5);
const MAX_DESCRIPTOR_WAITS: u32 = 20;

/// Connections that are opened for one request that finds each of them full: others have waited for them too.
const MAX_FULL_CONNECTIONS: usize = 8;

/// A connection in use, or a stream on one. Dropped, it is closed, or reset.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) connection: Leased,
    /// It has carried a request before.
    pub(crate) reused: bool,
    /// It is logged in, so no other client's requests may go on it.
    pub(crate) private: bool,
    in_flight: InFlight,
}

/// The share of a connection that a request has.
#[derive(Debug)]
pub(crate) enum Leased {
    /// All of it.
    Exclusive(Stream),
    /// One stream. Boxed, so that a lease over HTTP/1.1 is no larger for it.
    Shared(Box<SharedStream>),
}

/// Counts a request as under way at a backend.
#[derive(Debug)]
struct InFlight {
    backend: Rc<Backend>,
}

/// Picks an endpoint and takes a connection to it: an idle one if `reuse` allows, else a new one. Endpoints that can't
/// be reached are noted in `tried`, and others asked. `client` has the ends of a connection that goes there as a whole.
///
/// # Errors
/// Why there is no connection: no endpoint at all, or the last failure.
pub(crate) async fn lease(
    context: &Rc<WorkerContext>,
    cluster: &Cluster,
    reuse: bool,
    client: Option<&Proxied>,
    tried: &mut Tried<'_>,
) -> Result<Lease, Reason> {
    let mut failure = Reason::NoEndpoints;
    let mut waited = 0;
    loop {
        let Some(backend) = cluster.pick(&context.random, tried, now()).map(Rc::clone) else {
            return Err(failure);
        };
        if let Some(asked) = tried.asked {
            asked.set(Some(backend.address));
        }
        let connected = match cluster.protocol {
            BackendProtocol::Http1 => exclusive(context, &backend, reuse, None).await,
            BackendProtocol::Http2 => shared(context, &backend, reuse).await,
            // A connection of a client's own: none was another's before.
            BackendProtocol::Tcp | BackendProtocol::TcpProxyV1 | BackendProtocol::TcpProxyV2 => {
                let announced = client.map(|client| (client, cluster.protocol));
                exclusive(context, &backend, false, announced).await
            }
            // Flows have sockets of their own.
            BackendProtocol::Udp => return Err(Reason::NoEndpoints),
        };
        match connected {
            Ok(lease) => return Ok(lease),
            Err(DialError::OutOfDescriptors) if context.close_unused_upstreams() => {}
            Err(DialError::OutOfDescriptors) if waited < MAX_DESCRIPTOR_WAITS => {
                waited += 1;
                sleep(DESCRIPTOR_WAIT).await;
            }
            // Having no descriptor left is no fault of the endpoint, and another one would need one too.
            Err(DialError::OutOfDescriptors) => {
                context.metrics.borrow_mut().counters.upstream_connect_failures += 1;
                return Err(Reason::OverloadDescriptors);
            }
            Err(DialError::For(reason)) => {
                context.metrics.borrow_mut().counters.upstream_connect_failures += 1;
                failure = reason;
                backend.failed();
                if !tried.add(backend.address) {
                    return Err(failure);
                }
            }
        }
    }
}

/// A connection for this request alone, or this client's connection, of which the backend learns as its protocol says.
async fn exclusive(
    context: &WorkerContext,
    backend: &Rc<Backend>,
    reuse: bool,
    announced: Option<(&Proxied, BackendProtocol)>,
) -> Result<Lease, DialError> {
    let lease = |stream, reused, in_flight| Lease {
        connection: Leased::Exclusive(stream),
        reused,
        private: false,
        in_flight,
    };
    if reuse && let Some(stream) = idle(context, backend) {
        return Ok(lease(stream, true, InFlight::begin(Rc::clone(backend))));
    }
    let in_flight = InFlight::begin(Rc::clone(backend));
    let stream = dial(context, backend, announced).await?;
    Ok(lease(stream, false, in_flight))
}

/// A stream on a connection that others use too: one that is open if `reuse` allows, else a new one.
async fn shared(context: &Rc<WorkerContext>, backend: &Rc<Backend>, reuse: bool) -> Result<Lease, DialError> {
    let most = context.config.upstream_h2_max_streams;
    let in_flight = InFlight::begin(Rc::clone(backend));
    let lease = |connection: Rc<SharedConnection>, reused, in_flight| Lease {
        connection: Leased::Shared(Box::new(connection.enter())),
        reused,
        private: false,
        in_flight,
    };
    if reuse && let Some(connection) = backend.shared.take(most) {
        context.metrics.borrow_mut().counters.upstream_reused += 1;
        return Ok(lease(connection, true, in_flight));
    }
    for _ in 0..MAX_FULL_CONNECTIONS {
        let opening = backend.shared.opening(most).unwrap_or_else(|| open_shared(context, backend));
        opening.join();
        opening.done.wait().await;
        let connection = match opening.result() {
            Some(Ok(connection)) => connection,
            Some(Err(error)) => return Err(error),
            None => break,
        };
        if connection.is_usable() && connection.has_room(most) {
            return Ok(lease(connection, false, in_flight));
        }
    }
    // Its backend takes no stream at all, or ends each connection at once.
    Err(DialError::For(Reason::UpstreamConnectFailed))
}

fn idle(context: &WorkerContext, backend: &Backend) -> Option<Stream> {
    let mut stale = 0;
    let stream = backend.take_idle(&mut stale);
    let mut metrics = context.metrics.borrow_mut();
    metrics.counters.upstream_stale += stale;
    metrics.counters.upstream_reused += u64::from(stream.is_some());
    stream
}

impl Lease {
    /// The same client's connection once more.
    pub(super) fn again(backend: Rc<Backend>, stream: Stream) -> Self {
        Self {
            connection: Leased::Exclusive(stream),
            reused: true,
            private: true,
            in_flight: InFlight::begin(backend),
        }
    }

    /// Ends the request; the connection is kept for the same client. As [`keep`](Self::keep).
    pub(crate) fn keep_private(self, connections: &mut PrivateConnections) {
        let Self { connection, in_flight, .. } = self;
        if let Leased::Exclusive(stream) = connection {
            connections.keep(Rc::clone(&in_flight.backend), stream);
        }
    }

    /// True if no other request uses the connection.
    pub(crate) fn is_exclusive(&self) -> bool {
        matches!(self.connection, Leased::Exclusive(_))
    }

    /// Receives of a connection take at most so many bytes from now on, and hold no memory for more. `None` is the ordinary
    /// size again.
    pub(crate) fn limit(&mut self, most: Option<usize>) {
        let Leased::Exclusive(stream) = &mut self.connection else { return };
        stream.recv.limit(most);
        if most.is_some() {
            stream.recv.give_back_chunk();
        }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.in_flight.backend
    }

    /// Ends the connection so that the backend learns that something is missing.
    pub(crate) fn reset(self) {
        if let Leased::Exclusive(stream) = self.connection {
            // If the option can't be set the connection is closed in order; there is nobody left to tell.
            drop(stream.reset());
        }
    }

    /// Ends the request; the connection is kept for another one. Only for a connection whose response was read to its
    /// end and was not followed by anything.
    pub(crate) fn keep(self, context: &WorkerContext) {
        let Self { connection, in_flight, .. } = self;
        if let Leased::Exclusive(stream) = connection
            && !context.upstreams.park(&in_flight.backend, stream)
        {
            context.metrics.borrow_mut().counters.upstream_stale += 1;
        }
    }
}

impl InFlight {
    fn begin(backend: Rc<Backend>) -> Self {
        backend.begin();
        Self { backend }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.backend.end();
    }
}
