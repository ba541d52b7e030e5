//! Flows that come from another process and go to one.

use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway_io::now;
use hashbrown::HashMap;

use super::flow::{Flow, Route};
use super::handed::{Adopted, Clients, HandedFlow, HandedOver};
use super::server::{Datagrams, Listening, State};
use super::table::{FlowId, FlowKey};

/// Time in which a socket's queue is certain to be empty of datagrams that came before there were more sockets: they say nothing
/// about where their client's next one comes to.
const UNTIL_SETTLED: Duration = Duration::from_secs(2);

/// A listening socket's place and rule, for as long as flows of it are adopted.
struct Place {
    socket: usize,
    route: Route,
}

/// Places by the kernel's numbers of sockets; `None` where flows cannot go on.
type Places = HashMap<u64, Option<Place>>;

impl Datagrams {
    /// Receives no more from clients, and gives flows up as far as all workers' `budget` allows. Those that stay get what their
    /// backends still send.
    pub(crate) fn hand_over(&self, budget: &AtomicUsize) -> HandedOver {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        state.leave_to_others();
        self.forget_moved(state);
        let has_socket = |flow: &Flow| flow.upstream.is_some();
        let wanted = state.table.len();
        let left =
            budget.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(wanted)));
        let most = left.unwrap_or_default().min(wanted);
        let now = now();
        let mut flows = Vec::new();
        for left in state.table.remove_most_certain(most, has_socket) {
            let Some(listener) = state.sockets.get(left.key.socket).map(|one| one.cookie) else { continue };
            let handed = Flow::hand_over(left, listener, now);
            if let (Some(interest), Some(handed)) = (&state.interest, &handed) {
                // The other process's descriptors keep it open, and ready.
                interest.remove(&handed.socket);
            }
            flows.extend(handed);
        }
        self.tell(state);
        HandedOver { flows, kept: state.table.len() }
    }

    /// Serves sockets with the flows that are over them already. Flows whose clients are elsewhere get what their backends send.
    pub(crate) fn adopt(
        self: &Rc<Self>,
        sockets: Vec<UdpSocket>,
        flows: Vec<HandedFlow>,
        clients: Clients,
    ) -> Adopted {
        if clients != Clients::Here {
            self.state.borrow_mut().leave_to_others();
        }
        for socket in sockets {
            if let Err(error) = self.add(socket) {
                tracing::error!("datagrams cannot be received from a socket: {error}");
            }
        }
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if clients == Clients::AnyWorker {
            state.movable_until = now().checked_add(UNTIL_SETTLED);
        }
        let mut places = Places::new();
        let mut adopted = Adopted::default();
        for flow in flows {
            match self.adopt_one(state, &mut places, flow, clients) {
                Some(_) => adopted.flows += 1,
                None => adopted.ended += 1,
            }
        }
        if clients == Clients::Here {
            // The time begins now for flows that came before.
            state.movable_until = state.movable_until.and_then(|_| now().checked_add(UNTIL_SETTLED));
            state.receive_again();
        }
        self.tell(state);
        adopted
    }

    /// Goes on with the flow of these ends if another worker has it.
    pub(super) fn adopt_moving(&self, state: &mut State, key: FlowKey) -> Option<FlowId> {
        let Listening { local, cookie, .. } = state.sockets.get(key.socket)?;
        let handed = self.context().config.moving_flows.take(key.client, *local)?;
        let handed = HandedFlow { listener: *cookie, ..handed };
        self.adopt_one(state, &mut Places::new(), handed, Clients::Here)
    }

    /// Forgets flows that other workers go on with.
    pub(super) fn forget_moved(&self, state: &mut State) {
        // Before the look at flows: those that are taken later are seen the next time.
        state.movable_until.take_if(|_| self.context().config.moving_flows.is_empty());
        for left in state.table.remove_where(|_, flow| flow.has_moved()) {
            self.ended(&state.sockets, left, None, false);
        }
    }

    fn adopt_one(
        &self,
        state: &mut State,
        places: &mut Places,
        handed: HandedFlow,
        clients: Clients,
    ) -> Option<FlowId> {
        let context = self.context();
        let find = || {
            let (socket, one) = state.sockets.iter().find(|(_, one)| one.cookie == handed.listener)?;
            let bind = SocketAddr::new(one.local.ip(), context.config.listener_port(one.local.port()));
            Some(Place { socket, route: Route::find(context, bind).ok()? })
        };
        let Place { socket, route } = places.entry(handed.listener).or_insert_with(find).as_ref()?;
        let key = FlowKey { client: handed.client, socket: *socket };
        let group = &route.routed.shared.id();
        let client = context.config.clients.prefix(key.client.ip().to_canonical());
        let used = now().checked_sub(handed.idle).unwrap_or_else(now);
        let left = state.table.make_room(group, client, now()).ok()?;
        self.evicted(&state.sockets, left);
        let (replied, confirmed) = (handed.replied, handed.confirmed);
        let copy = (clients == Clients::AnyWorker).then(|| handed.try_clone().ok()).flatten();
        let mut flow = route.go_on(context, handed).ok()?;
        if let (Some(copy), Some(listening)) = (copy, state.sockets.get(key.socket)) {
            flow.movable = Some(Box::new(context.config.moving_flows.add(listening.local, copy)));
        }
        let id = state.table.insert(key, group.clone(), client, used, flow);
        if replied {
            state.table.backend_sent(id, used);
        }
        if confirmed {
            state.table.client_sent(id, used);
        }
        self.watch(state, id).ok()?;
        Some(id)
    }
}

impl State {
    /// Leaves the sockets' datagrams to another process that has them as well.
    fn leave_to_others(&mut self) {
        self.receives = false;
        if let Some(interest) = &self.interest {
            self.sockets.iter().for_each(|(_, listening)| interest.remove(&listening.socket));
        }
    }

    /// Undoes that.
    fn receive_again(&mut self) {
        if std::mem::replace(&mut self.receives, true) {
            return;
        }
        let Some(interest) = &self.interest else { return };
        for (key, listening) in &self.sockets {
            if let Err(error) = interest.add(&listening.socket, Listening::token(key)) {
                tracing::error!("datagrams cannot be received from a socket: {error}");
            }
        }
    }
}
