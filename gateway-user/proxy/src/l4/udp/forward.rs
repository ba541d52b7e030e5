//! Datagrams on their way: from clients to the backends of their flows, and back.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::Range;

use gateway_io::{Batch, Sent, now};
use slab::Slab;

use super::flow::{Flow, Route, Upstream, count_refused};
use super::server::{Datagrams, LISTENING, Listening, State};
use super::table::{Class, FlowId, FlowKey, Left, NoRoom};
use crate::Reason;

impl Datagrams {
    /// Receives from one socket, once, and sends on what came. Says how many messages that were.
    pub(super) fn turn(&self, token: u64, batch: &mut Batch) -> usize {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let messages = match token & LISTENING {
            0 => self.receive_from_backend(state, FlowId::of_token(token), batch),
            _ => self.receive_from_clients(state, (token & !LISTENING) as usize, batch),
        };
        self.tell(state);
        messages
    }

    fn receive_from_clients(&self, state: &mut State, socket: usize, batch: &mut Batch) -> usize {
        let Some(listening) = state.sockets.get(socket) else { return 0 };
        // An error concerns a datagram that is gone.
        let messages = batch.receive(&listening.socket).unwrap_or(0);
        let mut next = 0;
        while next < messages {
            let Some(client) = batch.sender(next) else {
                next += 1;
                continue;
            };
            let end = (next..messages).find(|other| batch.sender(*other) != Some(client)).unwrap_or(messages);
            self.forward(state, FlowKey { client, socket }, batch, next..end);
            next = end;
        }
        messages
    }

    /// Sends datagrams of one client to the backend of its flow.
    fn forward(&self, state: &mut State, key: FlowKey, batch: &Batch, range: Range<usize>) {
        let (datagrams, bytes) = range.clone().map(|index| batch.extent(index)).fold((0, 0), sum);
        {
            let counters = &mut self.context().metrics.borrow_mut().counters;
            counters.udp_datagrams_received += datagrams;
        }
        let found = state.table.find(&key).or_else(|| self.adopt_moving(state, key));
        let Some(id) = found.or_else(|| self.open(state, key)) else {
            return self.dropped(datagrams);
        };
        state.table.client_sent(id, now());
        let Some((_, flow)) = state.table.get(id) else { return };
        flow.received += bytes;
        if flow.movable.is_some() && state.movable_until.is_none_or(|until| now() >= until) {
            // Its client's datagrams come here, unless they do no more.
            flow.movable.take_if(|movable| !movable.has_moved());
        }
        let Some(upstream) = &flow.upstream else { return self.dropped(datagrams) };
        let Sent { lost, error, .. } = batch.send(range, &upstream.socket, None);
        self.dropped(lost);
        if error.is_some() {
            self.unreachable(state, id);
        }
    }

    /// Begins the flow of a client. `None` if it gets none now: that was counted.
    fn open(&self, state: &mut State, key: FlowKey) -> Option<FlowId> {
        let context = self.context();
        let local = state.sockets.get(key.socket)?.local;
        let bind = SocketAddr::new(local.ip(), context.config.listener_port(local.port()));
        let route = match Route::find(context, bind) {
            Ok(route) => route,
            Err(reason) => {
                count_refused(context, key.client, None, reason);
                return None;
            }
        };
        match self.begin(state, key, &route) {
            Ok(id) => Some(id),
            Err(reason) => {
                count_refused(context, key.client, Some(route.routed), reason);
                None
            }
        }
    }

    fn begin(&self, state: &mut State, key: FlowKey, route: &Route) -> Result<FlowId, Reason> {
        let context = self.context();
        let group = &route.routed.shared.id();
        let client = context.config.clients.prefix(key.client.ip().to_canonical());
        match state.table.make_room(group, client, now()) {
            Ok(left) => self.evicted(&state.sockets, left),
            Err(NoRoom::Table) => return Err(Reason::OverloadFlows),
            Err(NoRoom::Client) => return Err(Reason::OverloadClient),
        }
        let flow = match route.begin(context) {
            // One that may be nobody's has the place, or the descriptor.
            Err(
                reason @ (Reason::OverloadRequests | Reason::OverloadPending | Reason::OverloadDescriptors),
            ) => {
                let left = match reason {
                    Reason::OverloadDescriptors => state.table.give_place(group, now()),
                    _ => state.table.give_way(group),
                };
                self.evicted(&state.sockets, left);
                route.begin(context)?
            }
            begun => begun?,
        };
        let id = state.table.insert(key, group.clone(), client, now(), flow);
        self.watch(state, id).map(|()| id)
    }

    /// Has a flow's backend heard, or takes the flow out of the table.
    pub(super) fn watch(&self, state: &mut State, id: FlowId) -> Result<(), Reason> {
        let added = match (&state.interest, state.table.get(id)) {
            (Some(interest), Some((_, Flow { upstream: Some(upstream), .. }))) => {
                interest.add(&upstream.socket, id.token())
            }
            _ => Ok(()),
        };
        added.map_err(|_| {
            state.table.remove(id);
            Reason::OverloadDescriptors
        })
    }

    fn receive_from_backend(&self, state: &mut State, id: FlowId, batch: &mut Batch) -> usize {
        // It may have ended since the look.
        let Some((key, flow)) = state.table.get(id) else { return 0 };
        let Some(upstream) = &flow.upstream else { return 0 };
        let messages = match batch.receive(&upstream.socket) {
            Ok(messages) => messages,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(_) => {
                self.unreachable(state, id);
                return 1;
            }
        };
        if let Some(listening) = state.sockets.get(key.socket) {
            let Sent { datagrams, bytes, lost, .. } =
                batch.send(0..messages, &listening.socket, Some(key.client));
            flow.sent += bytes;
            self.context().metrics.borrow_mut().counters.udp_datagrams_sent += datagrams;
            self.dropped(lost);
        }
        if state.table.backend_sent(id, now())
            && let Some((_, Flow { upstream: Some(upstream), .. })) = state.table.get(id)
        {
            upstream.replied();
        }
        messages
    }

    /// Ends a flow whose backend ICMP says is not there.
    fn unreachable(&self, state: &mut State, id: FlowId) {
        let Some(left) = state.table.remove(id) else { return };
        left.flow.upstream.iter().for_each(Upstream::failed);
        self.ended(&state.sockets, left, Some(Reason::UpstreamUnreachable), true);
    }

    /// Counts a flow that gave way. Those that had no reply are as many as somebody likes to make up, and have no line.
    pub(super) fn evicted(&self, sockets: &Slab<Listening>, left: Option<Left<Flow>>) {
        let Some(left) = left else { return };
        self.context().metrics.borrow_mut().counters.udp_flows_evicted += 1;
        let is_logged = left.class > Class::Unreplied;
        self.ended(sockets, left, Some(Reason::FlowEvicted), is_logged);
    }

    fn dropped(&self, datagrams: u64) {
        self.context().metrics.borrow_mut().counters.udp_datagrams_dropped += datagrams;
    }
}

fn sum(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0 + other.0, one.1 + other.1)
}
