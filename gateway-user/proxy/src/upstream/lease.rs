//! A connection to a backend for the length of one request.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use gateway_io::{Stream, connect, is_out_of_descriptors, now, sleep};

use super::{Backend, Cluster, PrivateConnections, Tried};
use crate::Reason;
use crate::context::WorkerContext;

/// How long, and how often, a request waits for a descriptor. That of a connection which its backend has closed comes free
/// when the kernel has ended what was in flight on it; clients that wait to be accepted try less often.
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(5);
const MAX_DESCRIPTOR_WAITS: u32 = 20;

/// A connection in use. Dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) stream: Stream,
    /// It has carried a request before.
    pub(crate) reused: bool,
    /// It is logged in, so no other client's requests may go on it.
    pub(crate) private: bool,
    in_flight: InFlight,
}

/// Counts a request as under way at a backend.
#[derive(Debug)]
struct InFlight {
    backend: Rc<Backend>,
}

/// Picks an endpoint and takes a connection to it: an idle one if `reuse` allows, else a new one. Endpoints that can't
/// be reached are noted in `tried`, and others asked.
///
/// # Errors
/// Why there is no connection: no endpoint at all, or the last failure.
pub(crate) async fn lease(
    context: &WorkerContext,
    cluster: &Cluster,
    reuse: bool,
    tried: &mut Tried,
) -> Result<Lease, Reason> {
    let mut failure = Reason::NoEndpoints;
    let mut waited = 0;
    loop {
        let Some(backend) = cluster.pick(&context.random, tried, now()).map(Rc::clone) else {
            return Err(failure);
        };
        if reuse && let Some(stream) = idle(context, &backend) {
            return Ok(Lease { stream, reused: true, private: false, in_flight: InFlight::begin(backend) });
        }
        let in_flight = InFlight::begin(backend);
        match connect(in_flight.backend.address, context.config.timeouts.connect).await {
            Ok(stream) => {
                context.metrics.borrow_mut().counters.upstream_connects += 1;
                in_flight.backend.note(None);
                return Ok(Lease { stream, reused: false, private: false, in_flight });
            }
            Err(error) if is_out_of_descriptors(&error) && context.close_unused_upstreams() => {}
            Err(error) if is_out_of_descriptors(&error) && waited < MAX_DESCRIPTOR_WAITS => {
                waited += 1;
                sleep(DESCRIPTOR_WAIT).await;
            }
            Err(error) => {
                context.metrics.borrow_mut().counters.upstream_connect_failures += 1;
                failure = reason(&error);
                // Having no descriptor left is no fault of the endpoint, and another one would need one too.
                if failure == Reason::OverloadDescriptors {
                    return Err(failure);
                }
                in_flight.backend.failed();
                if !tried.add(in_flight.backend.address) {
                    return Err(failure);
                }
            }
        }
    }
}

fn idle(context: &WorkerContext, backend: &Backend) -> Option<Stream> {
    let mut stale = 0;
    let stream = backend.take_idle(&mut stale);
    let mut metrics = context.metrics.borrow_mut();
    metrics.counters.upstream_stale += stale;
    metrics.counters.upstream_reused += u64::from(stream.is_some());
    stream
}

fn reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::TimedOut => Reason::UpstreamConnectTimeout,
        _ if is_out_of_descriptors(error) => Reason::OverloadDescriptors,
        _ => Reason::UpstreamConnectFailed,
    }
}

impl Lease {
    /// The same client's connection once more.
    pub(super) fn again(backend: Rc<Backend>, stream: Stream) -> Self {
        Self { stream, reused: true, private: true, in_flight: InFlight::begin(backend) }
    }

    /// Ends the request; the connection is kept for the same client. As [`keep`](Self::keep).
    pub(crate) fn keep_private(self, connections: &mut PrivateConnections) {
        let Self { stream, in_flight, .. } = self;
        connections.keep(Rc::clone(&in_flight.backend), stream);
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.in_flight.backend
    }

    /// Ends the request; the connection is kept for another one. Only for a connection whose response was read to its
    /// end and was not followed by anything.
    pub(crate) fn keep(self, context: &WorkerContext) {
        let Self { stream, in_flight, .. } = self;
        if !context.upstreams.park(&in_flight.backend, stream) {
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
