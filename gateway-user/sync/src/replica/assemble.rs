//! The representation put together from items.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gateway_ir::{
    AttachedRoute, Bind, BindAddress, Certificate, ClusterKey, Endpoints, HttpRoute, Ir, Listener,
    ListenerId, ListenerTls, ObjectName, RouteId,
};

use crate::item::{Attached, Desired, ListenerItem, Owner, Value};
use crate::key::Kind;

/// Items by kind.
#[derive(Default)]
struct Parts<'a> {
    certificates: HashMap<&'a ObjectName, &'a Arc<Certificate>>,
    gateways: BTreeMap<ObjectName, String>,
    addresses: BTreeMap<IpAddr, Owner>,
    listeners: Vec<&'a ListenerItem>,
    routes: Vec<(&'a RouteId, &'a Arc<HttpRoute>, &'a [Attached])>,
    clusters: Vec<(ClusterKey, Arc<[SocketAddr]>)>,
}

/// The parts of which an item is another one, new or gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touched {
    /// Routes, listeners or certificates.
    ir: bool,
    /// Clusters.
    endpoints: bool,
}

impl Touched {
    /// All of them.
    pub(super) const ALL: Self = Self { ir: true, endpoints: true };

    /// Notes an item of this kind, by its number.
    pub(super) fn note(&mut self, kind: u32) {
        match Kind::of(kind) {
            Some(Kind::Cluster) => self.endpoints = true,
            // They are made anew whatever changed: there are few.
            Some(Kind::Gateway | Kind::Address) => {}
            Some(Kind::Certificate | Kind::Listener | Kind::Route) | None => self.ir = true,
        }
    }
}

/// The configuration that these items make. Parts that are equal to those of `before`, or whose items were not touched since,
/// are shared with it.
pub(super) fn desired<'a>(
    items: impl Iterator<Item = &'a Value>,
    before: &Desired,
    touched: Touched,
) -> Desired {
    let mut parts = Parts::default();
    for item in items {
        match item {
            // Those of a file that was written without keys.
            Value::Certificate(one) if one.key.0.is_empty() => {}
            Value::Certificate(one) => drop(parts.certificates.insert(&one.secret, one)),
            Value::Gateway(name, mark) => drop(parts.gateways.insert(name.clone(), mark.clone())),
            Value::Address(address, owner) => drop(parts.addresses.insert(*address, owner.clone())),
            Value::Listener(listener) => parts.listeners.push(listener),
            Value::Route(route, attached) if touched.ir => parts.routes.push((&route.id, route, attached)),
            Value::Cluster(key, addresses) if touched.endpoints => {
                parts.clusters.push((key.clone(), Arc::clone(addresses)));
            }
            Value::Route(..) | Value::Cluster(..) => {}
        }
    }
    let ir = match touched.ir {
        true => shared(&before.ir, parts.ir()),
        false => Arc::clone(&before.ir),
    };
    let endpoints = match touched.endpoints {
        true => shared(&before.endpoints, Endpoints { clusters: parts.clusters.into_iter().collect() }),
        false => Arc::clone(&before.endpoints),
    };
    Desired {
        ir,
        endpoints,
        gateways: shared(&before.gateways, parts.gateways),
        addresses: shared(&before.addresses, parts.addresses),
        placement: Arc::default(),
    }
}

fn shared<T: PartialEq>(before: &Arc<T>, now: T) -> Arc<T> {
    if **before == now { Arc::clone(before) } else { Arc::new(now) }
}

impl Parts<'_> {
    fn ir(&mut self) -> Ir {
        self.routes.sort_unstable_by_key(|(id, ..)| *id);
        let mut binds: BTreeMap<(u16, BindAddress), Bind> = BTreeMap::new();
        for item in &self.listeners {
            let bind = binds.entry((item.port, item.address)).or_insert_with(|| Bind {
                address: item.address,
                port: item.port,
                protocol: item.protocol,
                listeners: Vec::new(),
            });
            bind.listeners.push(self.listener(item));
        }
        let mut binds: Vec<Bind> = binds.into_values().collect();
        for bind in &mut binds {
            // The order in which translation has them.
            bind.listeners.sort_by(|a, b| (&a.hostname, &a.id).cmp(&(&b.hostname, &b.id)));
        }
        // Collected in order, which makes a map in one go.
        let mut http_routes = Vec::new();
        let mut attached = self.attached(&mut http_routes);
        for bind in &mut binds {
            for listener in &mut bind.listeners {
                listener.routes =
                    attached.remove(&(bind.address, bind.port, &listener.id)).unwrap_or_default();
                listener.routes.shrink_to_fit();
            }
        }
        Ir { binds, http_routes: http_routes.into_iter().collect() }
    }

    fn listener(&self, item: &ListenerItem) -> Listener {
        let certificate = |secret: &ObjectName| self.certificates.get(secret).map(|one| Arc::clone(one));
        let tls = item.tls.as_ref().map(|tls| ListenerTls {
            certificates: tls.certificates.iter().filter_map(certificate).collect(),
            min_version: tls.min_version,
            is_default: tls.is_default,
        });
        Listener { id: item.id.clone(), hostname: item.hostname.clone(), tls, routes: Vec::new() }
    }

    /// Routes by their listeners; those that have one are noted in `served`.
    fn attached(
        &self,
        served: &mut Vec<(RouteId, Arc<HttpRoute>)>,
    ) -> HashMap<(BindAddress, u16, &ListenerId), Vec<AttachedRoute>> {
        let open = self.listeners.iter().filter(|item| !item.is_closed);
        let open: HashSet<_> = open.map(|item| (item.address, item.port, &item.id)).collect();
        let mut all: HashMap<_, Vec<AttachedRoute>> = HashMap::new();
        for (id, route, attached) in &self.routes {
            let mut is_served = false;
            for one in *attached {
                let place = (one.address, one.port, &one.listener);
                if !open.contains(&place) {
                    continue;
                }
                let hostnames = one.hostnames.clone();
                all.entry(place).or_default().push(AttachedRoute { route: (*id).clone(), hostnames });
                is_served = true;
            }
            if is_served {
                served.push(((*id).clone(), Arc::clone(route)));
            }
        }
        all
    }
}
