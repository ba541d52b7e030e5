//! Backends: which one, and a connection to it. Pools are per worker and keyed by address and transport, so they outlive
//! snapshots and endpoint updates.

mod cluster;
mod dial;
mod dial_error;
mod lease;
mod load;
mod private;
mod retry_budget;
mod shared;
mod transport;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_io::{Stream, now};
use gateway_ir::{ClusterKey, Endpoints};
use hashbrown::HashMap;

pub(crate) use cluster::Tried;
pub(crate) use lease::{Lease, Leased, lease};
pub(crate) use load::{ClusterLimits, Permit};
pub(crate) use private::{PrivateConnections, logs_connections_in};

pub(crate) use transport::{Caller, identity};

use cluster::Idle;
use transport::{SecureTransports, TransportId};

pub(crate) type Backend = cluster::Backend<Stream>;
pub(crate) type Cluster = cluster::Cluster<Stream>;

/// Idle connections of a backend that are kept however few were in use at once.
const LEAST_IDLE: usize = 64;

/// All backends of one worker.
pub(crate) struct Upstreams {
    backends: RefCell<HashMap<PoolKey, Rc<Backend>>>,
    transports: SecureTransports,
    loads: RefCell<HashMap<ClusterKey, Rc<ClusterLimits>>>,
    endpoints: RefCell<Arc<Endpoints>>,
    /// Counts updates of the endpoints.
    version: Cell<u64>,
    /// `None` follows what is in use at once.
    max_idle: Option<usize>,
    idle_limit: Duration,
}

/// The connections of one address that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PoolKey {
    address: SocketAddr,
    transport: TransportId,
}

/// Outcomes of a sweep of pooled connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Closed by the backend.
    pub(crate) stale: u64,
    /// Closed by us for being idle too long.
    pub(crate) evicted: u64,
    /// Still idle.
    pub(crate) idle: u64,
}

impl Upstreams {
    pub(crate) fn new(max_idle: Option<usize>, idle_limit: Duration) -> Self {
        Self {
            backends: RefCell::default(),
            transports: SecureTransports::default(),
            loads: RefCell::default(),
            endpoints: RefCell::default(),
            version: Cell::new(0),
            max_idle,
            idle_limit,
        }
    }

    /// Which update of the endpoints is current.
    pub(crate) fn version(&self) -> u64 {
        self.version.get()
    }

    /// Takes over new endpoints. Clusters are made from them when a request next needs one, so an update costs
    /// nothing per cluster.
    pub(crate) fn update(&self, endpoints: Arc<Endpoints>) {
        self.endpoints.replace(endpoints);
        self.version.set(self.version.get() + 1);
    }

    /// The current endpoints of a cluster, for requests of this Gateway; `known` is given back if it has the same. Without a
    /// caller they are spoken to as they are, whatever a policy asks for.
    pub(crate) fn resolve(
        &self,
        key: &ClusterKey,
        caller: Option<Caller<'_>>,
        known: Option<Rc<Cluster>>,
    ) -> Rc<Cluster> {
        let endpoints = self.endpoints.borrow();
        let addresses = endpoints.clusters.get(key).map_or(&[][..], |addresses| addresses);
        let settings = || endpoints.tls.get(key);
        let caller = caller.filter(|_| key.tls);
        let secure = caller.map(|caller| self.transports.of(settings(), key.protocol, caller));
        if let Some(known) = known
            && known.addresses().eq(addresses.iter().copied())
            && known.is_secured_by(secure.as_ref())
        {
            return known;
        }
        let transport = secure.as_ref().and_then(|secure| secure.as_ref().ok());
        let id = transport.map_or(TransportId::Clear(key.protocol), |transport| transport.id);
        let mut backends = self.backends.borrow_mut();
        let backend = |address: &SocketAddr| {
            let key = PoolKey { address: *address, transport: id };
            Rc::clone(backends.entry(key).or_insert_with(|| Rc::new(Backend::new(*address, transport))))
        };
        // Those of a cluster without a transport must not be another one's in clear text.
        let usable = if secure.is_some() && transport.is_none() { &[][..] } else { addresses };
        let mut loads = self.loads.borrow_mut();
        let load = Rc::clone(loads.entry_ref(key).or_default());
        let mut cluster = Cluster::new(usable.iter().map(backend).collect(), key.protocol, load);
        cluster.secure = secure;
        Rc::new(cluster)
    }

    /// The backend at an address of a cluster that is spoken to in clear, and the cluster's limits, for something that is under
    /// way there already. `None` if the cluster is known and has no such endpoint.
    pub(crate) fn backend_at(
        &self,
        key: &ClusterKey,
        address: SocketAddr,
    ) -> Option<(Rc<Backend>, Rc<ClusterLimits>)> {
        let known = self.endpoints.borrow();
        if known.clusters.get(key).is_some_and(|addresses| !addresses.contains(&address)) {
            return None;
        }
        let pool = PoolKey { address, transport: TransportId::Clear(key.protocol) };
        let mut backends = self.backends.borrow_mut();
        let backend = backends.entry(pool).or_insert_with(|| Rc::new(Backend::new(address, None)));
        let load = Rc::clone(self.loads.borrow_mut().entry_ref(key).or_default());
        Some((Rc::clone(backend), load))
    }

    /// Keeps a connection for another request. False if it was closed instead.
    fn park(&self, backend: &Backend, mut connection: Stream) -> bool {
        // Begins the receive that will see the backend close, or speak out of turn.
        let most = self.max_idle.unwrap_or_else(|| LEAST_IDLE.max(backend.busiest()));
        if connection.recv.try_recv().is_some() || most == 0 {
            return false;
        }
        let mut idle = backend.idle.borrow_mut();
        if idle.len() >= most {
            // The oldest is the likeliest to be closed soon.
            drop(idle.pop_front());
        }
        idle.push_back(Idle { connection, since: now() });
        true
    }

    /// Closes all connections that were not used lately, for a request that needs a descriptor. Says how many. What was used
    /// a moment ago stays: its client is inside, and would need a descriptor for its next request at once.
    pub(crate) fn close_unused(&self) -> u64 {
        let now = now();
        let close = |backend: &Rc<Backend>| {
            let mut idle = backend.idle.borrow_mut();
            let count = idle.iter().take_while(|idle| idle.is_unused(now)).count();
            (idle.drain(..count).len() + backend.shared.close_unused(now, usize::MAX)) as u64
        };
        self.backends.borrow().values().map(close).sum()
    }

    /// Closes half of the connections that were not used lately, the longest unused of each backend first. Says how many.
    pub(crate) fn close_half_of_unused(&self) -> u64 {
        let now = now();
        let backends = self.backends.borrow();
        let exclusive = |backend: &Rc<Backend>| {
            backend.idle.borrow().iter().take_while(|idle| idle.is_unused(now)).count()
        };
        let unused = |backend: &Rc<Backend>| exclusive(backend) + backend.shared.unused(now);
        let all: usize = backends.values().map(unused).sum();
        let mut left = all / 2;
        // At first half of each; then, where backends have one each, of some.
        for part in [2, 1] {
            for backend in backends.values() {
                let count = (unused(backend) / part).min(left);
                left -= count;
                let exclusive = exclusive(backend).min(count);
                drop(backend.idle.borrow_mut().drain(..exclusive));
                backend.shared.close_unused(now, count - exclusive);
            }
        }
        (all / 2 - left) as u64
    }

    /// Closes connections that were idle for too long or that the backend closed, and forgets backends that no
    /// cluster has any more.
    pub(crate) fn sweep(&self) -> Swept {
        let now = now();
        self.loads.borrow_mut().retain(|_, load| {
            load.sweep(now);
            Rc::strong_count(load) > 1
        });
        let mut swept = Swept::default();
        self.backends.borrow_mut().retain(|_, backend| {
            backend.idle.borrow_mut().retain_mut(|idle| {
                let stale = idle.connection.recv.try_recv().is_some();
                let expired = now.saturating_duration_since(idle.since) >= self.idle_limit;
                swept.stale += u64::from(stale);
                swept.evicted += u64::from(expired && !stale);
                !stale && !expired
            });
            backend.forget_busiest();
            let idle = backend.idle.borrow().len();
            swept.idle += idle as u64;
            backend.shared.sweep(self.idle_limit, &mut swept);
            idle > 0 || !backend.shared.is_empty() || Rc::strong_count(backend) > 1
        });
        self.transports.sweep();
        swept
    }
}

impl Backend {
    /// The most recently used idle connection that is still silent; counts those that were not.
    fn take_idle(&self, stale: &mut u64) -> Option<Stream> {
        loop {
            let mut idle = self.idle.borrow_mut().pop_back()?;
            if idle.connection.recv.try_recv().is_none() {
                return Some(idle.connection);
            }
            *stale += 1;
        }
    }

    /// Remembers that no connection could be made.
    fn failed(&self) {
        self.note(Some(Instant::now()));
    }
}
