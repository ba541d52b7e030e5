//! Order of giving way when a worker's connections or buffers run short: the namespace, or the listener, with the most requests
//! under way. Until then anybody may have all.

use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_io::now;
use hashbrown::HashMap;

/// A request so recent keeps a share present, also between two short requests.
const PRESENT: Duration = Duration::from_secs(10);

/// The requests of one namespace or listener in one worker.
#[derive(Debug)]
pub(crate) struct Share {
    under_way: Cell<u32>,
    /// When the last one began or ended, by the worker's coarse clock.
    last: Cell<Instant>,
    /// Bytes of its requests that are kept for retries.
    kept: Cell<usize>,
}

/// All shares of one worker, by name. They outlive snapshots: who is under way still counts.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    namespaces: RefCell<HashMap<Box<str>, Rc<Share>>>,
    listeners: RefCell<HashMap<Box<str>, Rc<Share>>>,
}

/// The shares that the requests of one rule on one listener are counted in.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    namespace: Rc<Share>,
    listener: Rc<Share>,
}

/// A name for the namespace and the listener of some shares, for as long as it is there: no other has it in this worker.
#[derive(Clone, Debug)]
pub(crate) struct ShareId(Shared);

/// The same for a namespace.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceId(Rc<Share>);

/// A request counted as under way until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Shared);

/// How a share compares with the others that are present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    /// Nobody else is there.
    Alone,
    /// Nobody has more under way, and it is at least half of an even share of what is in use.
    Largest,
    /// Somebody has more under way, or nobody has much.
    Smaller,
}

impl Shares {
    /// The shares of a route's namespace and of a listener, by its text.
    pub(crate) fn of(&self, namespace: &str, listener: &str) -> Shared {
        Shared { namespace: entry(&self.namespaces, namespace), listener: entry(&self.listeners, listener) }
    }

    /// True if these must give way to others: their namespace or their listener has the most requests under way of all that
    /// are present, and they hold a part worth having of the `in_use` connections or buffers. Where idle clients hold nearly
    /// all, who has a single request under way has the most, and takes nothing from anybody.
    pub(crate) fn gives_way(&self, shared: &Shared, in_use: usize) -> bool {
        self.ranks(shared, in_use).contains(&Rank::Largest)
    }

    /// True if these may have no more of what is kept for hours. As [`gives_way`](Self::gives_way), and a namespace that is alone
    /// gives way to those that may come, as long as it is the one that holds the places in use: it could not give one back.
    pub(crate) fn leaves_room(&self, shared: &Shared, in_use: usize) -> bool {
        let is_alone = rank(&self.namespaces, &shared.namespace, in_use) == Rank::Alone;
        is_alone && is_much(shared.namespace.under_way.get(), in_use) || self.gives_way(shared, in_use)
    }

    /// True if others must give way to these: somebody has more requests under way, and these give way to nobody.
    pub(crate) fn goes_first(&self, shared: &Shared) -> bool {
        let ranks = self.ranks(shared, 0);
        ranks.contains(&Rank::Smaller) && !ranks.contains(&Rank::Largest)
    }

    fn ranks(&self, shared: &Shared, in_use: usize) -> [Rank; 2] {
        [rank(&self.namespaces, &shared.namespace, in_use), rank(&self.listeners, &shared.listener, in_use)]
    }

    /// Forgets those that nothing refers to and that were not present lately.
    pub(crate) fn sweep(&self) {
        let now = now();
        for family in [&self.namespaces, &self.listeners] {
            family.borrow_mut().retain(|_, share| Rc::strong_count(share) > 1 || share.is_present(now));
        }
    }
}

fn entry(family: &RefCell<HashMap<Box<str>, Rc<Share>>>, name: &str) -> Rc<Share> {
    let mut family = family.borrow_mut();
    if let Some(share) = family.get(name) {
        return Rc::clone(share);
    }
    let share = Rc::new(Share::new());
    family.insert(name.into(), Rc::clone(&share));
    share
}

/// Goes through all of them: only asked when something runs short.
fn rank(family: &RefCell<HashMap<Box<str>, Rc<Share>>>, share: &Rc<Share>, in_use: usize) -> Rank {
    let (now, own) = (now(), share.under_way.get());
    let family = family.borrow();
    let (mut others, mut most) = (0, 0);
    for other in family.values().filter(|other| !Rc::ptr_eq(other, share) && other.is_present(now)) {
        others += 1;
        most = most.max(other.under_way.get());
    }
    match own {
        _ if others == 0 => Rank::Alone,
        own if most > own || !is_much(own, in_use / (others + 1)) => Rank::Smaller,
        _ => Rank::Largest,
    }
}

/// True for half of an even share. Who has nothing under way takes nothing from anybody.
fn is_much(own: u32, even: usize) -> bool {
    own > 0 && own as usize >= even / 2
}

impl Share {
    fn new() -> Self {
        // Nobody is present for being known.
        let long_ago = now().checked_sub(PRESENT).unwrap_or_else(now);
        Self { under_way: Cell::new(0), last: Cell::new(long_ago), kept: Cell::new(0) }
    }

    fn is_present(&self, now: Instant) -> bool {
        self.under_way.get() > 0 || now.saturating_duration_since(self.last.get()) < PRESENT
    }

    fn begin(&self, now: Instant) {
        self.under_way.set(self.under_way.get().saturating_add(1));
        self.last.set(now);
    }

    fn end(&self, now: Instant) {
        self.under_way.set(self.under_way.get().saturating_sub(1));
        self.last.set(now);
    }
}

impl Shared {
    /// Counts a request.
    pub(crate) fn begin(&self) -> Counted {
        let now = now();
        self.namespace.begin(now);
        self.listener.begin(now);
        Counted(self.clone())
    }
}

impl Shared {
    /// Their name.
    pub(crate) fn id(&self) -> ShareId {
        ShareId(self.clone())
    }
}

impl ShareId {
    /// The namespace.
    pub(crate) fn namespace(&self) -> NamespaceId {
        NamespaceId(Rc::clone(&self.0.namespace))
    }

    fn addresses(&self) -> (usize, usize) {
        (Rc::as_ptr(&self.0.namespace).addr(), Rc::as_ptr(&self.0.listener).addr())
    }
}

impl NamespaceId {
    /// Bytes of its requests that are kept for retries.
    pub(super) fn kept(&self) -> &Cell<usize> {
        &self.0.kept
    }
}

impl PartialEq for ShareId {
    fn eq(&self, other: &Self) -> bool {
        self.addresses() == other.addresses()
    }
}

impl Eq for ShareId {}

impl Hash for ShareId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.addresses().hash(state);
    }
}

impl PartialEq for NamespaceId {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for NamespaceId {}

impl Hash for NamespaceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.0).addr().hash(state);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let now = now();
        self.0.namespace.end(now);
        self.0.listener.end(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(shares: &Shares, namespace: &str, count: usize) -> Vec<Counted> {
        let shared = shares.of(namespace, "infra/shared/http");
        (0..count).map(|_| shared.begin()).collect()
    }

    #[test]
    fn who_is_alone_gives_way_to_nobody() {
        let shares = Shares::default();
        let _many = begin(&shares, "a", 50);
        // Known to the tables, never seen.
        let idle = shares.of("b", "infra/shared/http");
        let a = shares.of("a", "infra/shared/http");
        assert!(!shares.gives_way(&a, 60) && !shares.goes_first(&a));
        assert!(shares.goes_first(&idle) && !shares.gives_way(&idle, 60));
    }

    #[test]
    fn who_is_alone_leaves_room_for_others_in_what_is_kept() {
        let shares = Shares::default();
        let _many = begin(&shares, "a", 50);
        let [a, b] = ["a", "b"].map(|name| shares.of(name, "infra/shared/http"));
        assert!(shares.leaves_room(&a, 60));
        assert!(!shares.leaves_room(&a, 200), "others hold the places, with nothing under way");
        assert!(!shares.leaves_room(&b, 60), "nobody who has nothing");
        let _one = begin(&shares, "b", 1);
        assert!(shares.leaves_room(&a, 60) && !shares.leaves_room(&b, 60));
    }

    #[test]
    fn the_namespace_with_the_most_under_way_gives_way_once_another_is_there() {
        let shares = Shares::default();
        let mut many = begin(&shares, "a", 50);
        let one = begin(&shares, "b", 1);
        let [a, b] = ["a", "b"].map(|name| shares.of(name, "infra/shared/http"));
        assert!(shares.gives_way(&a, 60) && !shares.goes_first(&a));
        assert!(!shares.gives_way(&b, 60) && shares.goes_first(&b));
        // Between two of its requests the other one is still there.
        drop(one);
        assert!(shares.gives_way(&a, 60));
        many.clear();
        assert!(!shares.gives_way(&a, 60), "it has nothing under way");
    }

    #[test]
    fn who_has_the_most_of_little_gives_way_to_nobody() {
        let shares = Shares::default();
        // Idle clients of `a` hold nearly all: it was present lately, and has nothing under way.
        drop(begin(&shares, "a", 400));
        let _few = begin(&shares, "b", 20);
        let b = shares.of("b", "infra/shared/http");
        assert!(!shares.gives_way(&b, 400), "20 of 400");
        let _more = begin(&shares, "b", 80);
        assert!(shares.gives_way(&b, 400), "half of an even share");
    }

    #[test]
    fn listeners_have_shares_as_well() {
        let shares = Shares::default();
        let (public, private) = (shares.of("a", "infra/public/http"), shares.of("a", "infra/private/http"));
        let _crowd: Vec<_> = (0..9).map(|_| public.begin()).collect();
        let _one = private.begin();
        assert!(shares.gives_way(&public, 10) && !shares.gives_way(&private, 10));
        assert!(shares.goes_first(&private));
    }

    #[test]
    fn what_nobody_refers_to_is_forgotten() {
        let shares = Shares::default();
        let kept = shares.of("a", "l");
        drop(shares.of("b", "m"));
        shares.sweep();
        assert_eq!((shares.namespaces.borrow().len(), shares.listeners.borrow().len()), (1, 1));
        drop(kept);
        shares.sweep();
        assert!(shares.namespaces.borrow().is_empty());
    }
}
