//! Steering without kernel programs: a listening socket per worker and bind, spread by the kernel's hash.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use gateway_ir::BindAddress;

use crate::check::{Rejection, RejectionReason};
use crate::helper::Ports;
use crate::{SteerBind, SteerError, SteerOptions, SteerPlan, sockets};

/// Binds and the sockets handed out for them.
pub(crate) struct Sockets {
    workers: usize,
    backlog: u32,
    /// Those that can be bound, and by whom.
    ports: Ports,
    offset: Option<u16>,
    prepared: BTreeMap<SteerBind, Bound>,
    live: BTreeMap<SteerBind, Bound>,
    /// Sockets of the process that is taken over from, by local address. Binds use these before
    /// they make any.
    inherited: BTreeMap<SocketAddr, Vec<TcpListener>>,
    stage: TakeoverStage,
}

/// Stage of a take-over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakeoverStage {
    /// The process before us has sockets of this kind and serves. Ours do not listen: what waited in them
    /// would be lost if this process died.
    Beside,
    /// It serves, and steers by other means: nothing reaches our sockets before it lets go, and then
    /// everything does.
    Under,
    /// We alone; also where nobody was taken over from.
    Alone,
}

struct Bound {
    local: SocketAddr,
    inodes: Vec<u64>,
    /// Duplicates of what the workers have, or get when a take-over is settled, in the order in which these
    /// are dealt out: a socket and its queue outlive the worker by them. Gone once the workers are to close
    /// theirs, since then they would keep it open for nobody.
    spares: Vec<TcpListener>,
    /// Number of spares that listen, the first ones; the others do once a take-over is settled.
    listening: usize,
}

impl Sockets {
    pub(crate) fn new(options: &SteerOptions) -> Self {
        Self {
            workers: options.workers,
            backlog: options.backlog,
            ports: Ports::new(options.helper.clone()),
            offset: options.unprivileged_offset,
            prepared: BTreeMap::new(),
            live: BTreeMap::new(),
            inherited: BTreeMap::new(),
            stage: TakeoverStage::Alone,
        }
    }

    /// Takes over sockets, if the process before us steers by them (`same_means`). Every one of a bind stays
    /// in use, if need be several by one worker: closing one would reset the connections whose handshake has
    /// begun there, and nothing moves them.
    pub(crate) fn inherit(&mut self, sockets: Vec<TcpListener>, same_means: bool) {
        self.stage = if same_means { TakeoverStage::Beside } else { TakeoverStage::Under };
        for socket in sockets {
            if let Ok(local) = socket.local_addr() {
                self.inherited.entry(local).or_default().push(socket);
            }
        }
    }

    /// The process before us lets go, so nobody needs what no bind of ours took. Gives each worker its
    /// sockets, all of which listen now; and what the system refused.
    pub(crate) fn finish_takeover(&mut self) -> (Vec<Vec<TcpListener>>, Vec<SteerError>) {
        self.inherited.clear();
        self.stage = TakeoverStage::Alone;
        let mut failed = Vec::new();
        let mut listeners: Vec<Vec<TcpListener>> = (0..self.workers).map(|_| Vec::new()).collect();
        for (bind, bound) in &mut self.live {
            let listening = std::mem::replace(&mut bound.listening, bound.spares.len());
            let mut refuse = |source| {
                failed.push(SteerError::Socket { what: format!("listening for {bind}"), source });
            };
            let mut index = 0..;
            bound.spares.retain(|socket| {
                let listens = index.next().is_some_and(|index: usize| index < listening);
                listens || sockets::start(socket, self.backlog).map_err(&mut refuse).is_ok()
            });
            match duplicates(&bound.spares) {
                Ok(sockets) => deal(sockets, &mut listeners),
                Err(source) => refuse(source),
            }
        }
        (listeners, failed)
    }

    /// Makes the sockets of the process that is taken over from `uid`'s, so that those which are made later
    /// can join them.
    pub(crate) fn give_to(&self, uid: u32) -> io::Result<()> {
        self.inherited.values().flatten().try_for_each(|socket| sockets::give(socket, uid))
    }

    /// The offset, if this process needs it.
    pub(crate) fn offset(&self) -> Option<u16> {
        self.offset.filter(|_| self.ports.lowest() > 0)
    }

    /// Lowest port that this process may bind.
    pub(crate) fn lowest_port(&self) -> u16 {
        self.ports.lowest()
    }

    /// The port that is bound when `port` is asked for.
    pub(crate) fn bound_port(&self, port: u16) -> Result<u16, String> {
        self.ports.bound(port, self.offset)
    }

    pub(crate) fn own(&self) -> HashSet<u64> {
        let bound = self.live.values().chain(self.prepared.values());
        let inherited = self.inherited.values().flatten().filter_map(|socket| sockets::inode(socket).ok());
        bound.flat_map(|bound| bound.inodes.iter().copied()).chain(inherited).collect()
    }

    /// Sockets for the plan's new binds, per worker. Sockets of an aborted preparation are dropped.
    pub(crate) fn prepare(&mut self, plan: &SteerPlan) -> (Vec<Vec<TcpListener>>, Vec<Rejection>) {
        self.prepared.clear();
        let mut listeners: Vec<Vec<TcpListener>> = (0..self.workers).map(|_| Vec::new()).collect();
        let mut refused = Vec::new();
        for bind in plan.binds.iter().filter(|bind| !self.live.contains_key(bind)) {
            match self.bind(*bind) {
                Ok((bound, sockets)) => {
                    self.prepared.insert(*bind, bound);
                    deal(sockets, &mut listeners);
                }
                Err((reason, message)) => refused.push(Rejection { bind: *bind, reason, message }),
            }
        }
        (listeners, refused)
    }

    /// A bind, and what workers get for it now: nothing before a take-over is settled.
    fn bind(&self, bind: SteerBind) -> Result<(Bound, Vec<TcpListener>), (RejectionReason, String)> {
        let unbound = |message| (RejectionReason::BindFailed, message);
        let port = self.bound_port(bind.port).map_err(unbound)?;
        let failed = |e: io::Error| {
            // Somebody bound it since the check, or has it bound and does not listen yet.
            let held = e.kind() == io::ErrorKind::AddrInUse;
            let reason = if held { RejectionReason::InUse } else { RejectionReason::BindFailed };
            (reason, format!("listening on port {port} for {bind}: {e}"))
        };
        let mut spares = duplicates(self.inherited_for(bind.address, port)).map_err(failed)?;
        let mut listening = spares.len();
        while spares.len() < self.workers {
            spares.push(self.ports.bind(bind.address, port).map_err(failed)?);
        }
        if self.stage != TakeoverStage::Beside {
            let mut rest = spares.iter().skip(listening);
            rest.try_for_each(|socket| sockets::start(socket, self.backlog)).map_err(failed)?;
            listening = spares.len();
        }
        let first = spares.first().ok_or_else(|| unbound("no worker".to_owned()))?;
        let local = first.local_addr().map_err(failed)?;
        let inodes = spares.iter().map(sockets::inode).collect::<io::Result<_>>().map_err(failed)?;
        let now = if self.stage == TakeoverStage::Alone { spares.as_slice() } else { &[] };
        let now = duplicates(now).map_err(failed)?;
        Ok((Bound { local, inodes, spares, listening }, now))
    }

    /// Sockets of the process before us for an address and port, in the order of its workers.
    fn inherited_for(&self, address: BindAddress, port: u16) -> &[TcpListener] {
        let any: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
        let addresses = match &address {
            BindAddress::Any => any.as_slice(),
            BindAddress::Ip(ip) => std::slice::from_ref(ip),
        };
        let mut known = addresses.iter().filter_map(|ip| self.inherited.get(&SocketAddr::new(*ip, port)));
        known.next().map_or(&[], Vec::as_slice)
    }

    /// Local addresses of sockets whose binds are no longer in the plan. From now on workers alone hold them.
    pub(crate) fn retiring(&mut self, plan: &SteerPlan) -> Vec<SocketAddr> {
        let gone = self.live.iter_mut().filter(|(bind, _)| !plan.binds.contains(bind));
        let retire = |(_, bound): (&SteerBind, &mut Bound)| {
            bound.spares.clear();
            bound.local
        };
        gone.map(retire).collect()
    }

    /// The sockets of a worker that died, queues and all, for its successor.
    pub(crate) fn refill(&self, slot: usize) -> io::Result<Vec<TcpListener>> {
        let of_slot = |bound: &Bound| -> Vec<io::Result<TcpListener>> {
            bound.spares.iter().skip(slot).step_by(self.workers.max(1)).map(TcpListener::try_clone).collect()
        };
        self.live.values().flat_map(of_slot).collect()
    }

    /// Forgets what was prepared and is not to be.
    pub(crate) fn abandon(&mut self) {
        self.prepared.clear();
    }

    /// Workers are about to close their sockets for good.
    pub(crate) fn release(&mut self) {
        self.live.values_mut().for_each(|bound| bound.spares.clear());
    }

    /// Takes prepared binds of the plan as live; others stay prepared, so that removals can be applied first.
    pub(crate) fn apply(&mut self, plan: &SteerPlan) -> (Vec<SteerBind>, Vec<SteerBind>) {
        let gone = self.live.extract_if(.., |bind, _| !plan.binds.contains(bind));
        let removed = gone.map(|(bind, _)| bind).collect();
        let new: Vec<_> = self.prepared.extract_if(.., |bind, _| plan.binds.contains(bind)).collect();
        let added = new.iter().map(|(bind, _)| *bind).collect();
        self.live.extend(new);
        (added, removed)
    }

    /// True if the plan that was applied last has this bind.
    pub(crate) fn is_live(&self, bind: SteerBind) -> bool {
        self.live.contains_key(&bind)
    }
}

fn duplicates(sockets: &[TcpListener]) -> io::Result<Vec<TcpListener>> {
    sockets.iter().map(TcpListener::try_clone).collect()
}

/// Gives each worker its socket, and the rest, if there are more, to workers in turn.
fn deal(sockets: Vec<TcpListener>, workers: &mut [Vec<TcpListener>]) {
    let count = workers.len().max(1);
    for (index, socket) in sockets.into_iter().enumerate() {
        if let Some(worker) = workers.get_mut(index % count) {
            worker.push(socket);
        }
    }
}
