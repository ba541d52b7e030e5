//! Items that differ between two states.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_ir::{
    Bind, BindAddress, Certificate, ClusterKey, DiffItem, Endpoints, Ir, Listener, ListenerId, ListenerTls,
    ObjectName, RouteId, TrustBundle, TrustSource,
};

use crate::item::{self, Attached, Desired, Item};
use crate::key::Key;

/// A listener's place.
type Place<'a> = (BindAddress, u16, &'a ListenerId);
type Listeners<'a> = BTreeMap<Place<'a>, (&'a Bind, &'a Listener)>;

/// The difference between two states.
pub(crate) fn between(old: &Desired, new: &Desired) -> Changes {
    let mut changes = Changes::default();
    if !Arc::ptr_eq(&old.gateways, &new.gateways) {
        changes.maps(
            &old.gateways,
            &new.gateways,
            |a, b| a == b,
            |name, mark| item::gateway(name, mark),
            Key::gateway,
        );
    }
    if !Arc::ptr_eq(&old.tickets, &new.tickets) {
        let item = |gateway: &_, secrets: &Vec<_>| item::tickets(gateway, secrets);
        changes.maps(&old.tickets, &new.tickets, |a, b| a == b, item, Key::tickets);
    }
    if !Arc::ptr_eq(&old.addresses, &new.addresses) {
        let key = |address: &_| Key::address(*address);
        changes.maps(
            &old.addresses,
            &new.addresses,
            |a, b| a == b,
            |name, owner| item::address(*name, owner),
            key,
        );
    }
    if !Arc::ptr_eq(&old.endpoints, &new.endpoints) {
        changes.clusters(&old.endpoints, &new.endpoints);
    }
    if !Arc::ptr_eq(&old.ir, &new.ir) {
        changes.ir(&old.ir, &new.ir);
    }
    if !Arc::ptr_eq(&old.ir, &new.ir) || !Arc::ptr_eq(&old.endpoints, &new.endpoints) {
        changes.trust(old, new);
    }
    changes
}

/// The differences.
#[derive(Default)]
pub(crate) struct Changes {
    /// Items of the new state that the old one does not have alike.
    pub(crate) puts: Vec<Item>,
    /// Keys that only the old one has.
    pub(crate) deletes: Vec<Key>,
    /// Routes among both.
    pub(crate) routes: BTreeSet<RouteId>,
    /// Clusters that only the new one has.
    pub(crate) clusters: Vec<ClusterKey>,
}

impl Changes {
    fn maps<K: Ord, V>(
        &mut self,
        old: &BTreeMap<K, V>,
        new: &BTreeMap<K, V>,
        same: impl Fn(&V, &V) -> bool,
        mut item: impl FnMut(&K, &V) -> Item,
        key: impl Fn(&K) -> Key,
    ) {
        walk(
            old.iter(),
            new.iter(),
            |(a, _), (b, _)| in_order(*a, *b),
            |pair| match pair {
                (Some((_, old)), Some((_, new))) if same(old, new) => {}
                (_, Some((name, new))) => self.puts.push(item(name, new)),
                (Some((name, _)), None) => self.deletes.push(key(name)),
                (None, None) => {}
            },
        );
    }

    fn clusters(&mut self, old: &Endpoints, new: &Endpoints) {
        for difference in old.clusters.diff(&new.clusters) {
            match difference {
                DiffItem::Add(key, addresses) => {
                    self.clusters.push(key.clone());
                    self.puts.push(item::cluster(key, addresses));
                }
                DiffItem::Update { new: (key, addresses), .. } => {
                    self.puts.push(item::cluster(key, addresses))
                }
                DiffItem::Remove(key, _) => self.deletes.push(Key::cluster(key)),
            }
        }
        for difference in old.tls.diff(&new.tls) {
            match difference {
                DiffItem::Add(key, settings) => {
                    self.clusters.push(key.clone());
                    self.puts.push(item::backend_tls(key, settings));
                }
                DiffItem::Update { old: (_, old), new: (_, new) } if Arc::ptr_eq(old, new) => {}
                DiffItem::Update { new: (key, settings), .. } => {
                    self.puts.push(item::backend_tls(key, settings));
                }
                DiffItem::Remove(key, _) => self.deletes.push(Key::backend_tls(key)),
            }
        }
    }

    /// Authorities are for backends and for clients, so both sides of a state are looked at if either differs.
    fn trust(&mut self, old: &Desired, new: &Desired) {
        let (was, is) = (trust(&old.ir, &old.endpoints), trust(&new.ir, &new.endpoints));
        let same = |a: &&Arc<TrustBundle>, b: &&Arc<TrustBundle>| Arc::ptr_eq(a, b) || a == b;
        self.maps(&was, &is, same, |_, bundle| item::trust(bundle), |source| Key::trust(source));
    }

    fn ir(&mut self, old: &Ir, new: &Ir) {
        let (was, is) = (certificates(old), certificates(new));
        let same = |a: &&Arc<Certificate>, b: &&Arc<Certificate>| Arc::ptr_eq(a, b) || a == b;
        self.maps(&was, &is, same, |_, one| item::certificate(one), |name| Key::certificate(name));
        let (was, is) = (listeners(old), listeners(new));
        let key = |(address, port, id): &Place<'_>| Key::listener(*address, *port, id);
        let item = |_: &Place<'_>, (bind, listener): &(&Bind, &Listener)| item::listener(bind, listener);
        self.maps(&was, &is, |(_, a), (_, b)| are_alike(a, b), item, key);
        self.routes((old, &was), (new, &is));
    }

    fn routes<'a>(&mut self, (old, was): (&'a Ir, &Listeners<'a>), (new, is): (&'a Ir, &Listeners<'a>)) {
        let mut touched: BTreeSet<&RouteId> = BTreeSet::new();
        for place in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
            match (was.get(place), is.get(place)) {
                (Some((_, old)), Some((_, new))) => touched.extend(old.routes.diff(&new.routes).map(key)),
                (Some((_, one)), None) | (None, Some((_, one))) => touched.extend(one.routes.keys()),
                (None, None) => {}
            }
        }
        for difference in old.routes.diff(&new.routes) {
            match difference {
                DiffItem::Add(id, _) | DiffItem::Update { new: (id, _), .. } => drop(touched.insert(id)),
                DiffItem::Remove(id, _) => {
                    touched.remove(id);
                    self.deletes.push(Key::route(id));
                    self.routes.insert(id.clone());
                }
            }
        }
        let mut places = places(is, &touched);
        for id in touched {
            if let Some(route) = new.routes.get(id) {
                self.puts.push(item::route(route, places.remove(id).unwrap_or_default()));
                self.routes.insert(id.clone());
            }
        }
    }
}

/// Every certificate, once, by its Secret.
fn certificates(ir: &Ir) -> BTreeMap<&ObjectName, &Arc<Certificate>> {
    let listeners = ir.binds.iter().flat_map(|bind| &bind.listeners);
    listeners.flat_map(Listener::certificates).map(|one| (&one.secret, one)).collect()
}

/// Every bundle of authorities, once, by its source.
pub(crate) fn trust<'a>(
    ir: &'a Ir,
    endpoints: &'a Endpoints,
) -> BTreeMap<&'a TrustSource, &'a Arc<TrustBundle>> {
    let of_backends = endpoints.tls.values().flat_map(|settings| &settings.trust);
    let listeners = ir.binds.iter().flat_map(|bind| &bind.listeners);
    let checks = listeners.filter_map(|listener| listener.tls.as_ref()?.clients.as_ref());
    let bundles = of_backends.chain(checks.flat_map(|clients| &clients.trust));
    bundles.map(|bundle| (&bundle.source, bundle)).collect()
}

fn listeners(ir: &Ir) -> Listeners<'_> {
    let all = ir.binds.iter().flat_map(|bind| bind.listeners.iter().map(move |one| (bind, one)));
    all.map(|(bind, one)| ((bind.address, bind.port, &one.id), (bind, one))).collect()
}

/// True if they differ in their routes at most.
fn are_alike(one: &Listener, other: &Listener) -> bool {
    let tls = match (&one.tls, &other.tls) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            let secrets = one.certificates.iter().map(|one| &one.secret);
            let check = |tls: &ListenerTls| {
                let clients = tls.clients.as_ref()?;
                let sources = clients.trust.iter().map(|bundle| bundle.source.clone());
                Some((clients.mode, sources.collect::<Vec<_>>()))
            };
            one.min_version == other.min_version
                && one.is_default == other.is_default
                && one.cipher_suites == other.cipher_suites
                && one.forward_client_cert == other.forward_client_cert
                && check(one) == check(other)
                && secrets.eq(other.certificates.iter().map(|one| &one.secret))
        }
        _ => false,
    };
    let shown = |listener: &Listener| listener.backend_certificate.as_ref().map(|one| one.secret.clone());
    one.serve == other.serve
        && one.hostname == other.hostname
        && one.settings == other.settings
        && tls
        && shown(one) == shown(other)
}

/// The places of these routes.
fn places<'a>(
    listeners: &Listeners<'a>,
    routes: &BTreeSet<&'a RouteId>,
) -> BTreeMap<&'a RouteId, Vec<Attached>> {
    let mut places: BTreeMap<&RouteId, Vec<Attached>> = BTreeMap::new();
    for ((address, port, listener), (_, one)) in listeners {
        let mut add = |route: &'a RouteId, hostnames: &Arc<[_]>| {
            let (address, port, listener) = (*address, *port, (*listener).clone());
            let hostnames = Arc::clone(hostnames);
            places.entry(route).or_default().push(Attached { address, port, listener, hostnames });
        };
        // An edit is of few routes, and a first connection of all.
        if routes.len() < one.routes.len() {
            let here = routes.iter().filter_map(|route| Some((*route, one.routes.get(*route)?)));
            here.for_each(|(route, hostnames)| add(route, hostnames));
        } else {
            let here = one.routes.iter().filter(|(route, _)| routes.contains(route));
            here.for_each(|(route, hostnames)| add(route, hostnames));
        }
    }
    places
}

fn key<'a, K, V>(difference: DiffItem<'a, 'a, K, V>) -> &'a K {
    match difference {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. } => key,
    }
}

/// Their order. Nearly always both are one, which names that are shared tell without being read.
fn in_order<T: Ord>(a: &T, b: &T) -> Ordering {
    if a == b { Ordering::Equal } else { a.cmp(b) }
}

/// Goes through two sorted sequences side by side: what is in both comes as a pair.
fn walk<T>(
    old: impl Iterator<Item = T>,
    new: impl Iterator<Item = T>,
    order: impl Fn(&T, &T) -> Ordering,
    mut visit: impl FnMut((Option<T>, Option<T>)),
) {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    loop {
        let next = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => order(a, b),
        };
        visit((if next.is_le() { old.next() } else { None }, if next.is_ge() { new.next() } else { None }));
    }
}
