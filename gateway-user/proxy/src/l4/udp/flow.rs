//! One flow: its backend, its socket, and its line in the access log.

use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Instant;

use gateway_io::{connected, is_out_of_descriptors, now};
use gateway_ir::{ClusterKey, RuleErrorKind};
use gateway_snapshot::{Action, Destination};

use crate::Reason;
use crate::clock::Clock;
use crate::context::{Live, Routed, WorkerContext};
use crate::observe::record::{RequestRecord, RequestText};
use crate::upstream::{Backend, Cluster, Permit, Tried};

use super::handed::HandedFlow;
use super::moving::Movable;
use super::table::{Class, FlowKey, Left};

/// A flow of a client.
pub(super) struct Flow {
    pub(super) routed: Rc<Routed>,
    /// `None` for a share that leads nowhere: what its clients send is dropped.
    pub(super) upstream: Option<Upstream>,
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Set while its client may turn out to send to another worker.
    pub(super) movable: Option<Box<Movable>>,
    reason: Option<Reason>,
    began: Instant,
    start_ms: u64,
}

/// The backend of a flow.
pub(super) struct Upstream {
    pub(super) socket: UdpSocket,
    pub(super) cluster: ClusterKey,
    place: Place,
}

/// The place of a flow at its backend, given back when dropped.
struct Place {
    backend: Rc<Backend>,
    permit: Permit,
}

/// The rule of a socket's datagrams.
pub(super) struct Route {
    pub(super) routed: Rc<Routed>,
    live: Rc<Live>,
}

impl Route {
    /// Finds the rule for datagrams to `bind`.
    ///
    /// # Errors
    /// There is no listener there, or no route on it.
    pub(super) fn find(context: &WorkerContext, bind: SocketAddr) -> Result<Self, Reason> {
        let live = context.live();
        let routed = {
            let table = live.snapshot.datagram_bind(bind).ok_or(Reason::NoListenerForAddress)?;
            let selected = table.select(None).ok_or(Reason::NoListenerForAddress)?;
            let rule = selected.rule.ok_or(Reason::NoRoute)?;
            live.routed(rule, selected.listener, &context.shares, &context.settings)
        };
        Ok(Self { routed, live })
    }

    /// Begins a flow by the rule, to an endpoint that is drawn now. A share that leads nowhere for good begins one, too: the
    /// client's next datagram must not be drawn anew.
    ///
    /// # Errors
    /// The client's datagram is dropped for this, and its next one may find another state.
    pub(super) fn begin(&self, context: &WorkerContext) -> Result<Flow, Reason> {
        let Self { routed, live } = self;
        let target = match &routed.rule.action {
            Action::Forward(picker) => picker.pick(context.random.next()),
            Action::Fail(failure) => return Err(Reason::Failure(failure.kind)),
            // Of requests alone.
            Action::Redirect(_) => return Err(Reason::NoRoute),
        };
        let id = match &target.destination {
            Destination::Cluster(id) => *id,
            Destination::Fail(failure) => return Ok(self.dropping(failure.kind)),
        };
        let cluster = live.cluster(id, &routed.listener, &context.upstreams).ok_or(Reason::NoEndpoints)?;
        let key = live.snapshot.cluster(id).ok_or(Reason::NoEndpoints)?;
        let upstream = self.connect(context, &cluster, key.clone())?;
        Ok(self.flow(Some(upstream), None))
    }

    fn connect(
        &self,
        context: &WorkerContext,
        cluster: &Rc<Cluster>,
        key: ClusterKey,
    ) -> Result<Upstream, Reason> {
        let permit = cluster.load.enter(&context.config).inspect_err(|_| {
            context.metrics.borrow_mut().counters.upstream_overloaded += 1;
        })?;
        let now = now();
        let mut tried = Tried::default();
        loop {
            let Some(backend) = cluster.pick(&context.random, &tried, now) else {
                return Err(match cluster.is_empty() {
                    true => Reason::NoEndpoints,
                    false => Reason::UpstreamConnectFailed,
                });
            };
            match connected(backend.address) {
                Ok(socket) => {
                    let place = Place::new(Rc::clone(backend), permit);
                    return Ok(Upstream { socket, cluster: key, place });
                }
                Err(error) if is_out_of_descriptors(&error) => return Err(Reason::OverloadDescriptors),
                Err(_) => {
                    backend.note(Some(now));
                    if !tried.add(backend.address) {
                        return Err(Reason::UpstreamConnectFailed);
                    }
                }
            }
        }
    }

    /// Goes on with a flow of another worker or process. Its permit and its counters are this worker's from now on.
    ///
    /// # Errors
    /// Its endpoint is none any more, or a limit is reached.
    pub(super) fn go_on(&self, context: &WorkerContext, handed: HandedFlow) -> Result<Flow, Reason> {
        let HandedFlow { cluster, socket, .. } = handed;
        let address = socket.peer_addr().map_err(|_| Reason::UpstreamUnreachable)?;
        let (backend, load) = context.upstreams.backend_at(&cluster, address).ok_or(Reason::NoEndpoints)?;
        let permit = load.enter(&context.config)?;
        if handed.replied {
            permit.response_began();
        }
        let place = Place::new(backend, permit);
        let mut flow = self.flow(Some(Upstream { socket, cluster, place }), None);
        (flow.received, flow.sent) = (handed.received, handed.sent);
        flow.began = flow.began.checked_sub(handed.lasted).unwrap_or(flow.began);
        flow.start_ms = handed.start_ms;
        Ok(flow)
    }

    fn dropping(&self, kind: RuleErrorKind) -> Flow {
        self.flow(None, Some(Reason::Failure(kind)))
    }

    fn flow(&self, upstream: Option<Upstream>, reason: Option<Reason>) -> Flow {
        let routed = Rc::clone(&self.routed);
        let (began, start_ms) = (Instant::now(), Clock::wall_ms());
        Flow { routed, upstream, received: 0, sent: 0, movable: None, reason, began, start_ms }
    }
}

impl Upstream {
    pub(super) fn address(&self) -> SocketAddr {
        self.place.backend.address
    }

    /// Notes that the backend has sent something.
    pub(super) fn replied(&self) {
        self.place.permit.response_began();
        self.place.backend.note(None);
    }

    /// Notes that it cannot be reached, so that others get the next flows.
    pub(super) fn failed(&self) {
        self.place.backend.note(Some(now()));
    }
}

impl Place {
    fn new(backend: Rc<Backend>, permit: Permit) -> Self {
        backend.begin();
        Self { backend, permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.backend.end();
    }
}

impl Flow {
    /// The flow as another worker or process goes on with it; its end is counted there. `None` for a share that leads nowhere.
    pub(super) fn hand_over(left: Left<Self>, listener: u64, now: Instant) -> Option<HandedFlow> {
        let Left { key: FlowKey { client, .. }, class, used, flow } = left;
        let Upstream { socket, cluster, .. } = flow.upstream?;
        let since = |moment: Instant| now.saturating_duration_since(moment);
        Some(HandedFlow {
            listener,
            client,
            cluster,
            replied: class > Class::Unreplied,
            confirmed: class == Class::Confirmed,
            idle: since(used),
            lasted: since(flow.began),
            start_ms: flow.start_ms,
            received: flow.received,
            sent: flow.sent,
            socket,
        })
    }

    /// True if another worker goes on with it.
    pub(super) fn has_moved(&self) -> bool {
        self.movable.as_ref().is_some_and(|movable| movable.has_moved())
    }

    /// Counts the flow and, unless it is one of very many, writes its line.
    pub(super) fn finish(
        self,
        context: &WorkerContext,
        ends: (SocketAddr, SocketAddr),
        ended: Option<Reason>,
        is_logged: bool,
    ) {
        let mut record = RequestRecord::of_flow(ends.0.ip(), self.began, self.start_ms);
        record.upstream = self.upstream.as_ref().map(Upstream::address);
        record.routed = Some(self.routed);
        record.reason = self.reason.or(ended);
        (record.received, record.sent) = (self.received, self.sent);
        let now = Instant::now();
        record.count_flow(context, now);
        if is_logged {
            record.log(context, &RequestText::of_connection(b"UDP"), None, ends, now);
        }
    }
}

/// Counts a datagram that began no flow. Its line would be one for each datagram, as many as anybody likes to send.
pub(super) fn count_refused(
    context: &WorkerContext,
    client: SocketAddr,
    routed: Option<Rc<Routed>>,
    reason: Reason,
) {
    let now = Instant::now();
    let mut record = RequestRecord::of_flow(client.ip(), now, 0);
    (record.routed, record.reason) = (routed, Some(reason));
    record.count_flow(context, now);
}
