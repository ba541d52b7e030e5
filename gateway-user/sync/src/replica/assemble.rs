//! The representation put together from items.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gateway_ir::{
    AttachedRoute, Bind, BindAddress, Certificate, ClusterKey, Endpoints, HttpRoute, Ir, Listener,
    ListenerId, ListenerTls, ObjectName, RouteId,
};

use crate::item::{Attached, Desired, ListenerItem, Owner, Value};

/// Items by kind.
#[derive(Default)]
struct Parts<'a> {
    certificates: HashMap<&'a ObjectName, &'a Arc<Certificate>>,
    gateways: BTreeMap<ObjectName, String>,
    addresses: BTreeMap<IpAddr, Owner>,
    listeners: Vec<&'a ListenerItem>,
    routes: BTreeMap<&'a RouteId, (&'a Arc<HttpRoute>, &'a [Attached])>,
    clusters: BTreeMap<ClusterKey, Arc<[SocketAddr]>>,
}

/// The configuration that these items make. Parts that are equal to those of `before` are shared with it.
pub(super) fn desired<'a>(items: impl Iterator<Item = &'a Value>, before: &Desired) -> Desired {
    let mut parts = Parts::default();
    for item in items {
        match item {
            // Those of a file that was written without keys.
            Value::Certificate(one) if one.key.0.is_empty() => {}
            Value::Certificate(one) => drop(parts.certificates.insert(&one.secret, one)),
            Value::Gateway(name, mark) => drop(parts.gateways.insert(name.clone(), mark.clone())),
            Value::Address(address, owner) => drop(parts.addresses.insert(*address, owner.clone())),
            Value::Listener(listener) => parts.listeners.push(listener),
            Value::Route(route, attached) => drop(parts.routes.insert(&route.id, (route, attached))),
            Value::Cluster(key, addresses) => drop(parts.clusters.insert(key.clone(), Arc::clone(addresses))),
        }
    }
    let ir = parts.ir();
    Desired {
        ir: shared(&before.ir, ir),
        endpoints: shared(&before.endpoints, Endpoints { clusters: parts.clusters }),
        gateways: shared(&before.gateways, parts.gateways),
        addresses: shared(&before.addresses, parts.addresses),
        placement: Arc::default(),
    }
}

fn shared<T: PartialEq>(before: &Arc<T>, now: T) -> Arc<T> {
    if **before == now { Arc::clone(before) } else { Arc::new(now) }
}

impl Parts<'_> {
    fn ir(&self) -> Ir {
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
        let mut http_routes = BTreeMap::new();
        let mut attached = self.attached(&mut http_routes);
        for bind in &mut binds {
            for listener in &mut bind.listeners {
                listener.routes =
                    attached.remove(&(bind.address, bind.port, &listener.id)).unwrap_or_default();
                listener.routes.shrink_to_fit();
            }
        }
        Ir { binds, http_routes }
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
        served: &mut BTreeMap<RouteId, Arc<HttpRoute>>,
    ) -> HashMap<(BindAddress, u16, &ListenerId), Vec<AttachedRoute>> {
        let place = |item: &&ListenerItem| (item.address, item.port, item.id.clone());
        let open: std::collections::HashSet<_> =
            self.listeners.iter().filter(|item| !item.is_closed).map(place).collect();
        let mut all: HashMap<_, Vec<AttachedRoute>> = HashMap::new();
        for (id, (route, attached)) in &self.routes {
            let places =
                attached.iter().filter(|one| open.contains(&(one.address, one.port, one.listener.clone())));
            for one in places {
                let hostnames = one.hostnames.clone();
                let place = (one.address, one.port, &one.listener);
                all.entry(place).or_default().push(AttachedRoute { route: (*id).clone(), hostnames });
                served.entry((*id).clone()).or_insert_with(|| Arc::clone(route));
            }
        }
        all
    }
}
