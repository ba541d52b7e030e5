//! The datagrams of one worker: its listening sockets, and the flows over them, in one task.

use std::cell::{OnceCell, RefCell};
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_io::{
    Batch, Driver, Interest, ReadySet, now, pause, prepare_datagrams, sleep, socket_cookie, spawn,
    stop_receiving,
};
use gateway_ir::Endpoints;
use slab::Slab;

use super::flow::Flow;
use super::table::{FlowKey, FlowLimits, FlowTable, Holder, Left};
use crate::Reason;
use crate::context::{NamespaceId, ShareId, WorkerContext};
use crate::worker::Worker;

/// Messages after which others have a turn, with epoll: what is ready there is received at once, and a flood of datagrams
/// always is. A ring has its turn with every wait.
const TURN: usize = 512;
/// Between two looks at the flows that may be idle.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// Time without a datagram after which a flow ends once its client can send no more here.
const DRAIN_IDLE: Duration = Duration::from_secs(5);
/// After an error of the wait itself. It keeps an error that stays from spinning.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Marks the tokens of listening sockets.
pub(super) const LISTENING: u64 = 1 << 63;

/// Listening sockets and flows of a worker.
pub(crate) struct Datagrams {
    worker: Rc<Worker>,
    pub(super) state: RefCell<State>,
    /// The state's, for flows that have left it.
    interest: OnceCell<Interest>,
}

pub(super) struct State {
    /// Made with the first socket: most gateways have none.
    pub(super) interest: Option<Interest>,
    pub(super) sockets: Slab<Listening>,
    pub(super) table: FlowTable<ShareId, Flow>,
    /// False once another process receives from the sockets.
    pub(super) receives: bool,
    /// Some flows may come to other workers, and until this moment datagrams may still be in the sockets that came before there
    /// were more of them.
    pub(super) movable_until: Option<Instant>,
    idle: Duration,
}

pub(super) struct Listening {
    pub(super) socket: UdpSocket,
    pub(super) local: SocketAddr,
    /// The kernel's number of the socket.
    pub(super) cookie: u64,
}

impl Holder for ShareId {
    type Tenant = NamespaceId;

    fn tenant(&self) -> NamespaceId {
        self.namespace()
    }
}

impl Listening {
    /// The token of the socket at a place.
    pub(super) fn token(place: usize) -> u64 {
        LISTENING | place as u64
    }
}

impl Datagrams {
    pub(crate) fn new(worker: Rc<Worker>) -> Rc<Self> {
        let limits = worker.context.config.udp;
        let table = FlowTable::new(FlowLimits { flows: limits.flows, per_client: limits.flows_per_client });
        let state = State {
            interest: None,
            sockets: Slab::new(),
            table,
            receives: true,
            movable_until: None,
            idle: limits.idle,
        };
        Rc::new(Self { worker, state: RefCell::new(state), interest: OnceCell::new() })
    }

    /// Starts serving a socket.
    ///
    /// # Errors
    /// The system has no room for one more.
    pub(crate) fn add(self: &Rc<Self>, socket: UdpSocket) -> std::io::Result<()> {
        prepare_datagrams(&socket)?;
        let (local, cookie) = (socket.local_addr()?, socket_cookie(&socket)?);
        let mut state = self.state.borrow_mut();
        if state.interest.is_none() {
            let set = ReadySet::new()?;
            state.interest = Some(self.interest.get_or_init(|| set.interest()).clone());
            spawn(serve(Rc::clone(self), set));
            spawn(sweep(Rc::clone(self)));
        }
        let State { interest, sockets, receives, .. } = &mut *state;
        let place = sockets.vacant_entry();
        if let Some(interest) = interest.as_ref().filter(|_| *receives) {
            interest.add(&socket, Listening::token(place.key()))?;
        }
        place.insert(Listening { socket, local, cookie });
        Ok(())
    }

    /// Closes the sockets of these addresses, and ends their flows: replies have no way back any more.
    pub(crate) fn retire(&self, addresses: &[SocketAddr]) {
        let mut state = self.state.borrow_mut();
        let is_meant = |listening: &Listening| addresses.contains(&listening.local);
        let gone: Vec<usize> =
            state.sockets.iter().filter(|(_, one)| is_meant(one)).map(|(key, _)| key).collect();
        for key in gone {
            let flows = state.table.remove_where(|flow, _| flow.socket == key);
            for left in flows {
                self.ended(&state.sockets, left, Some(Reason::NoListenerForAddress), true);
            }
            let listening = state.sockets.remove(key);
            // The process before may have it as well, and would keep it in the way of sockets that come later.
            let _ = stop_receiving(&listening.socket);
            if let Some(interest) = &state.interest {
                interest.remove(&listening.socket);
            }
        }
        self.tell(&state);
    }

    /// Ends flows to endpoints that are none any more: their clients' next datagrams begin others. What is known of a cluster
    /// that no route refers to is what was known of it last.
    pub(crate) fn follow(&self, endpoints: &Endpoints) {
        let mut state = self.state.borrow_mut();
        let is_gone = |_: &FlowKey, flow: &Flow| {
            let Some(upstream) = &flow.upstream else { return false };
            let known = endpoints.clusters.get(&upstream.cluster);
            known.is_some_and(|addresses| !addresses.contains(&upstream.address()))
        };
        for left in state.table.remove_where(is_gone) {
            self.ended(&state.sockets, left, None, true);
        }
        self.tell(&state);
    }

    /// Leaves new datagrams to another process, if there is one; flows get what their backends still send.
    pub(crate) fn stop(&self) {
        let mut state = self.state.borrow_mut();
        state.idle = state.idle.min(DRAIN_IDLE);
        if !state.receives {
            return;
        }
        for (_, listening) in &state.sockets {
            // One that cannot stop gets datagrams until it is closed, and they are served.
            let _ = stop_receiving(&listening.socket);
        }
    }

    /// Ends all flows; says how many.
    pub(crate) fn cut(&self) -> usize {
        let mut state = self.state.borrow_mut();
        let flows = state.table.remove_where(|_, _| true);
        let count = flows.len();
        for left in flows {
            self.ended(&state.sockets, left, Some(Reason::DrainAborted), true);
        }
        self.tell(&state);
        count
    }

    /// Ends flows that are idle.
    fn sweep(&self) {
        let mut state = self.state.borrow_mut();
        let (now, idle) = (now(), state.idle);
        if state.movable_until.is_some_and(|until| now >= until) {
            self.forget_moved(&mut state);
        }
        while let Some(left) = state.table.expire(now, idle) {
            self.ended(&state.sockets, left, None, true);
        }
        self.tell(&state);
    }

    pub(super) fn ended(
        &self,
        sockets: &Slab<Listening>,
        left: Left<Flow>,
        reason: Option<Reason>,
        is_logged: bool,
    ) {
        if left.flow.has_moved() {
            // The other worker counts it, and keeps its socket open.
            if let (Some(interest), Some(upstream)) = (self.interest.get(), &left.flow.upstream) {
                interest.remove(&upstream.socket);
            }
            return;
        }
        let local = sockets.get(left.key.socket).map_or(left.key.client, |listening| listening.local);
        left.flow.finish(self.context(), (left.key.client, local), reason, is_logged);
    }

    pub(super) fn tell(&self, state: &State) {
        self.worker.set_flows(state.table.len());
    }

    pub(super) fn context(&self) -> &WorkerContext {
        &self.worker.context
    }
}

/// Serves whatever is ready, for as long as the worker runs.
async fn serve(datagrams: Rc<Datagrams>, mut set: ReadySet) {
    let (mut batch, mut found) = (Batch::default(), Vec::new());
    let mut messages = 0;
    loop {
        if set.ready().await.and_then(|()| set.look(&mut found)).is_err() {
            sleep(ERROR_PAUSE).await;
            continue;
        }
        messages += found.iter().map(|token| datagrams.turn(*token, &mut batch)).sum::<usize>();
        if messages >= TURN {
            messages = 0;
            if datagrams.context().driver == Driver::Epoll {
                pause().await;
            }
        }
    }
}

async fn sweep(datagrams: Rc<Datagrams>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        datagrams.sweep();
    }
}
