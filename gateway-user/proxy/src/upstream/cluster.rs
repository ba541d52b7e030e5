//! Backends and clusters: which endpoint a request goes to.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_ir::BackendProtocol;
use gateway_tls::ClientTls;

use super::ClusterLimits;
use super::shared::{SharedConnections, UNUSED_AFTER};
use super::transport::SecureTransport;
use crate::Reason;
use crate::request_id::Random;

/// How long an endpoint that refused a connection is passed over while others are there.
const FAILURE_MEMORY: Duration = Duration::from_secs(5);
/// Sweeps in a window of the busiest moment.
const BUSY_WINDOW: u8 = 8;
/// Most endpoints that one request tries to connect to.
pub(crate) const MAX_ATTEMPTS: usize = 3;

/// One address, with this worker's idle connections to it.
#[derive(Debug)]
pub(crate) struct Backend<C> {
    pub(crate) address: SocketAddr,
    /// The TLS of its connections, and the sessions that they resume.
    pub(super) tls: Option<BackendTransport>,
    /// Requests of this worker under way there.
    active: Cell<u32>,
    /// Most of them at once, in this window and in the one before it.
    busiest: Cell<[u32; 2]>,
    /// Sweeps of this window so far.
    sweeps: Cell<u8>,
    /// When a connection last failed.
    failed: Cell<Option<Instant>>,
    /// Most recently used last.
    pub(super) idle: RefCell<VecDeque<Idle<C>>>,
    /// Connections that requests share, of a backend that speaks HTTP/2.
    pub(super) shared: SharedConnections,
}

/// The transport of a backend that is spoken to over TLS.
#[derive(Debug)]
pub(super) struct BackendTransport {
    pub(super) client: ClientTls,
    /// Its number is the backend's.
    _transport: Rc<SecureTransport>,
}

/// A connection between two requests.
#[derive(Debug)]
pub(super) struct Idle<C> {
    pub(super) connection: C,
    pub(super) since: Instant,
}

impl<C> Idle<C> {
    /// It was not used lately, so nobody is likely to miss it.
    pub(super) fn is_unused(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= UNUSED_AFTER
    }
}

/// The endpoints of one cluster as of one update.
#[derive(Debug)]
pub(crate) struct Cluster<C> {
    backends: Vec<Rc<Backend<C>>>,
    pub(crate) protocol: BackendProtocol,
    pub(crate) load: Rc<ClusterLimits>,
    /// Its TLS, or the reason that its requests are not sent.
    pub(super) secure: Option<Result<Rc<SecureTransport>, Reason>>,
}

/// The endpoints that one request has already failed to reach.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried<'a> {
    addresses: [Option<SocketAddr>; MAX_ATTEMPTS],
    /// Endpoints of earlier attempts, which give way to any other.
    avoided: &'a [SocketAddr],
    /// Has the endpoint that is asked last.
    pub(super) asked: Option<&'a Cell<Option<SocketAddr>>>,
}

impl<C> Backend<C> {
    pub(crate) fn new(address: SocketAddr, transport: Option<&Rc<SecureTransport>>) -> Self {
        let secured = |transport: &Rc<SecureTransport>| BackendTransport {
            client: transport.tls.with_own_sessions(),
            _transport: Rc::clone(transport),
        };
        Self {
            address,
            tls: transport.map(secured),
            active: Cell::new(0),
            busiest: Cell::default(),
            sweeps: Cell::new(0),
            failed: Cell::new(None),
            idle: RefCell::default(),
            shared: SharedConnections::default(),
        }
    }

    /// Remembers a failed connection, or that one succeeded.
    pub(crate) fn note(&self, failed: Option<Instant>) {
        self.failed.set(failed);
    }

    pub(crate) fn begin(&self) {
        let active = self.active.get().saturating_add(1);
        self.active.set(active);
        let [now, before] = self.busiest.get();
        self.busiest.set([now.max(active), before]);
    }

    /// Requests that were under way there at once in the last window or in this one.
    pub(super) fn busiest(&self) -> usize {
        let [now, before] = self.busiest.get();
        now.max(before) as usize
    }

    /// Counts a sweep, about every second. A window is forgotten whole when the one after it is over: what is let go by and
    /// by is gone within the very burst it was for, which ends request by request.
    pub(super) fn forget_busiest(&self) {
        let sweeps = self.sweeps.get() + 1;
        self.sweeps.set(sweeps % BUSY_WINDOW);
        if sweeps == BUSY_WINDOW {
            let [now, _] = self.busiest.get();
            self.busiest.set([self.active.get(), now]);
        }
    }

    pub(crate) fn end(&self) {
        self.active.set(self.active.get().saturating_sub(1));
    }

    fn is_failing(&self, now: Instant) -> bool {
        self.failed.get().is_some_and(|at| now.saturating_duration_since(at) < FAILURE_MEMORY)
    }
}

impl<C> Cluster<C> {
    pub(crate) fn new(
        backends: Vec<Rc<Backend<C>>>,
        protocol: BackendProtocol,
        load: Rc<ClusterLimits>,
    ) -> Self {
        Self { backends, protocol, load, secure: None }
    }

    /// The reason that its requests are not sent, if so.
    pub(crate) fn fault(&self) -> Option<Reason> {
        self.secure.as_ref()?.as_ref().err().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.backends.is_empty()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.backends.iter().map(|backend| backend.address)
    }

    /// True if requests go there in this way, or fail for this.
    pub(super) fn is_secured_by(&self, secure: Option<&Result<Rc<SecureTransport>, Reason>>) -> bool {
        match (&self.secure, secure) {
            (None, None) => true,
            (Some(Ok(own)), Some(Ok(other))) => Rc::ptr_eq(own, other),
            (Some(Err(own)), Some(Err(other))) => own == other,
            _ => false,
        }
    }

    /// True if this is one of its endpoints.
    pub(super) fn has(&self, backend: &Rc<Backend<C>>) -> bool {
        self.backends.iter().any(|own| Rc::ptr_eq(own, backend))
    }

    /// The one of two random endpoints with fewer requests under way; one that failed lately or that this request
    /// has tried gives way to any other. `None` once all were tried.
    pub(crate) fn pick(&self, random: &Random, tried: &Tried<'_>, now: Instant) -> Option<&Rc<Backend<C>>> {
        if !tried.avoided.is_empty()
            && let Some(other) = self.pick_other(random, tried, now)
        {
            return Some(other);
        }
        let count = self.backends.len();
        let first = random.below(count);
        let usable = |backend: &&Rc<Backend<C>>| !tried.contains(backend.address) && !backend.is_failing(now);
        let two = [self.backends.get(first), self.backends.get(random.below(count))];
        let best = two.into_iter().flatten().filter(usable).min_by_key(|backend| backend.active.get());
        let around = || self.backends.iter().cycle().skip(first).take(count);
        best.or_else(|| around().find(usable)).or_else(|| around().find(|b| !tried.contains(b.address)))
    }
}

impl<C> Cluster<C> {
    /// The one of two random endpoints with fewer requests under way, of those that no earlier attempt went to.
    #[cold]
    fn pick_other(&self, random: &Random, tried: &Tried<'_>, now: Instant) -> Option<&Rc<Backend<C>>> {
        let count = self.backends.len();
        let is_other = |backend: &&Rc<Backend<C>>| {
            let address = backend.address;
            !tried.contains(address) && !tried.avoided.contains(&address) && !backend.is_failing(now)
        };
        let from_anywhere =
            || self.backends.iter().cycle().skip(random.below(count)).take(count).find(is_other);
        let two = [from_anywhere(), from_anywhere()];
        two.into_iter().flatten().min_by_key(|backend| backend.active.get())
    }
}

impl<'a> Tried<'a> {
    /// Of an attempt that follows others, at these endpoints.
    pub(crate) fn after(avoided: &'a [SocketAddr], asked: &'a Cell<Option<SocketAddr>>) -> Self {
        Self { avoided, asked: Some(asked), ..Self::default() }
    }

    /// Notes an endpoint; false once as many were tried as one request may.
    pub(crate) fn add(&mut self, address: SocketAddr) -> bool {
        match self.addresses.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => {
                *slot = Some(address);
                self.addresses.iter().any(Option::is_none)
            }
            None => false,
        }
    }

    fn contains(&self, address: SocketAddr) -> bool {
        self.addresses.contains(&Some(address))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn cluster(count: u8) -> Cluster<()> {
        let backend = |n| Rc::new(Backend::new(([10, 0, 0, n], 80).into(), None));
        Cluster::new((0..count).map(backend).collect(), BackendProtocol::Http1, Rc::default())
    }

    fn shares(cluster: &Cluster<()>, tried: &Tried<'_>, now: Instant) -> HashMap<SocketAddr, usize> {
        let random = Random::seeded();
        let mut seen = HashMap::new();
        for _ in 0..1000 {
            if let Some(backend) = cluster.pick(&random, tried, now) {
                *seen.entry(backend.address).or_default() += 1;
            }
        }
        seen
    }

    #[test]
    fn the_busiest_moment_is_forgotten_two_windows_later() {
        let backend: Backend<()> = Backend::new(([10, 0, 0, 1], 80).into(), None);
        (0..400).for_each(|_| backend.begin());
        // A burst that ends request by request, looked at meanwhile, needs what it had until the next one.
        for _ in 0..BUSY_WINDOW {
            (0..48).for_each(|_| backend.end());
            backend.forget_busiest();
            assert_eq!(backend.busiest(), 400);
        }
        for _ in 1..BUSY_WINDOW {
            backend.forget_busiest();
            assert_eq!(backend.busiest(), 400);
        }
        backend.forget_busiest();
        assert_eq!(backend.busiest(), 16, "what is under way");
    }

    #[test]
    fn every_endpoint_is_used() {
        assert_eq!(shares(&cluster(5), &Tried::default(), Instant::now()).len(), 5);
        assert!(shares(&cluster(0), &Tried::default(), Instant::now()).is_empty());
    }

    #[test]
    fn the_busier_of_two_is_passed_over() {
        let cluster = cluster(2);
        cluster.backends[0].begin();
        let seen = shares(&cluster, &Tried::default(), Instant::now());
        let busy = seen.get(&cluster.backends[0].address).copied().unwrap_or_default();
        // Chosen only when both draws name it: a quarter of the time.
        assert!((100..400).contains(&busy), "{busy} of 1000");
    }

    #[test]
    fn a_failed_endpoint_is_skipped_for_a_while_unless_it_is_the_last() {
        let now = Instant::now();
        let two = cluster(2);
        two.backends[1].note(Some(now));
        assert_eq!(shares(&two, &Tried::default(), now).len(), 1);
        assert_eq!(shares(&two, &Tried::default(), now + FAILURE_MEMORY).len(), 2);
        let one = cluster(1);
        one.backends[0].note(Some(now));
        assert_eq!(shares(&one, &Tried::default(), now).len(), 1);
    }

    #[test]
    fn endpoints_of_earlier_attempts_give_way_while_there_are_others() {
        let (cluster, now) = (cluster(3), Instant::now());
        let address = |at: usize| cluster.backends[at].address;
        let earlier = [address(0), address(1)];
        let asked = Cell::default();
        assert_eq!(shares(&cluster, &Tried::after(&earlier[..1], &asked), now).len(), 2);
        let seen = shares(&cluster, &Tried::after(&earlier, &asked), now);
        assert_eq!(seen.keys().collect::<Vec<_>>(), [&address(2)]);
        // One that refuses connections is no better than one that was asked.
        cluster.backends[2].note(Some(now));
        assert!(!shares(&cluster, &Tried::after(&earlier, &asked), now).contains_key(&address(2)));
        let all = [address(0), address(1), address(2)];
        assert_eq!(shares(&cluster, &Tried::after(&all, &asked), now).len(), 2);
    }

    #[test]
    fn what_was_tried_is_not_tried_again() {
        let cluster = cluster(3);
        let mut tried = Tried::default();
        assert!(tried.add(cluster.backends[0].address));
        assert!(tried.add(cluster.backends[1].address));
        let seen = shares(&cluster, &tried, Instant::now());
        assert_eq!(seen.keys().collect::<Vec<_>>(), [&cluster.backends[2].address]);
        assert!(!tried.add(cluster.backends[2].address), "three attempts are all");
        assert!(shares(&cluster, &tried, Instant::now()).is_empty());
    }
}
