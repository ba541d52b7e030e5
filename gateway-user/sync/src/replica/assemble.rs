//! The representation put together from items.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gateway_ir::{
    AttachedRoutes, BackendTls, Bind, BindAddress, Certificate, ClientValidation, ClusterKey, Endpoints, Ir,
    Listener, ListenerId, ListenerTls, MatchHostname, ObjectName, Route, RouteId, SharedMap, Transport,
    TrustBundle, TrustSource, shared_map,
};
use gateway_tls::TicketSecret;

use crate::item::{Attached, BackendTlsItem, ClientsItem, Desired, ListenerItem, Owner, Value};

/// Routes of one listener, in order, each with its hosts there.
type Attachments = Vec<(RouteId, Arc<[MatchHostname]>)>;

/// Items by kind.
#[derive(Default)]
struct Parts<'a> {
    certificates: HashMap<&'a ObjectName, &'a Arc<Certificate>>,
    gateways: BTreeMap<ObjectName, String>,
    addresses: BTreeMap<IpAddr, Owner>,
    listeners: Vec<&'a ListenerItem>,
    routes: Vec<(&'a RouteId, &'a Arc<Route>, &'a [Attached])>,
    clusters: Vec<(ClusterKey, Arc<[SocketAddr]>)>,
    tls: Vec<(&'a ClusterKey, &'a BackendTlsItem)>,
    trust: HashMap<&'a TrustSource, &'a Arc<TrustBundle>>,
    tickets: BTreeMap<ObjectName, Vec<TicketSecret>>,
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
            Value::Route(route, attached) => parts.routes.push((route.id(), route, attached)),
            Value::Cluster(key, addresses) => parts.clusters.push((key.clone(), Arc::clone(addresses))),
            Value::BackendTls(key, item) => parts.tls.push((key, item)),
            Value::Trust(bundle) => drop(parts.trust.insert(&bundle.source, bundle)),
            Value::Tickets(gateway, secrets) => {
                parts.tickets.insert(gateway.clone(), secrets.clone());
            }
        }
    }
    Desired {
        ir: shared(&before.ir, parts.ir(&before.ir)),
        endpoints: shared(
            &before.endpoints,
            Endpoints { tls: parts.tls(&before.endpoints), clusters: parts.clusters.into_iter().collect() },
        ),
        gateways: shared(&before.gateways, parts.gateways),
        addresses: shared(&before.addresses, parts.addresses),
        tickets: shared(&before.tickets, parts.tickets),
        placement: Arc::default(),
    }
}

pub(super) fn shared<T: PartialEq>(before: &Arc<T>, now: T) -> Arc<T> {
    if **before == now { Arc::clone(before) } else { Arc::new(now) }
}

impl Parts<'_> {
    fn ir<'b>(&mut self, before: &'b Ir) -> Ir {
        self.routes.sort_unstable_by_key(|(id, ..)| *id);
        let mut binds: BTreeMap<(u16, BindAddress, Transport), Bind> = BTreeMap::new();
        for item in &self.listeners {
            let bind = binds
                .entry((item.port, item.address, item.serve.transport()))
                .or_insert_with(|| Bind { address: item.address, port: item.port, listeners: Vec::new() });
            bind.listeners.push(self.listener(item));
        }
        let mut binds: Vec<Bind> = binds.into_values().collect();
        for bind in &mut binds {
            // The order in which translation has them.
            bind.listeners.sort_by(|a, b| (&a.hostname, &a.id).cmp(&(&b.hostname, &b.id)));
        }
        let mut routes = Vec::new();
        let mut attached = self.attached(&mut routes);
        let places = |bind: &'b Bind| {
            bind.listeners.iter().map(|one| ((bind.address, bind.port, &one.id), &one.routes))
        };
        let known: HashMap<_, _> = before.binds.iter().flat_map(places).collect();
        for bind in &mut binds {
            for listener in &mut bind.listeners {
                let routes = attached.remove(&(bind.address, bind.port, &listener.id)).unwrap_or_default();
                let known = known.get(&(bind.address, bind.port, &listener.id)).copied();
                listener.routes = shared_map(known, routes);
            }
        }
        Ir { binds, routes: shared_map(Some(&before.routes), routes) }
    }

    /// The TLS settings of clusters. Those that are as before are the same ones: connections are pooled by them.
    fn tls(&self, before: &Endpoints) -> SharedMap<ClusterKey, Arc<BackendTls>> {
        let settings = |(key, item): &(&ClusterKey, &BackendTlsItem)| {
            let bundle = |source: &TrustSource| self.trust.get(source).map(|one| Arc::clone(one));
            let trust = item.trust.iter().filter_map(bundle).collect();
            let settings = BackendTls { trust, ..item.settings.clone() };
            let same = before.tls.get(*key).filter(|known| ***known == settings);
            ((*key).clone(), same.map_or_else(|| Arc::new(settings), Arc::clone))
        };
        self.tls.iter().map(settings).collect()
    }

    fn listener(&self, item: &ListenerItem) -> Listener {
        let certificate = |secret: &ObjectName| self.certificates.get(secret).map(|one| Arc::clone(one));
        // Without its authorities it lets nobody in.
        let bundle = |source: &TrustSource| self.trust.get(source).map(|one| Arc::clone(one));
        let clients = |item: &ClientsItem| ClientValidation {
            trust: item.trust.iter().filter_map(bundle).collect(),
            mode: item.mode,
        };
        let tls = item.tls.as_ref().map(|tls| ListenerTls {
            certificates: tls.certificates.iter().filter_map(certificate).collect(),
            min_version: tls.min_version,
            is_default: tls.is_default,
            cipher_suites: tls.cipher_suites.clone(),
            clients: tls.clients.as_ref().map(clients),
            forward_client_cert: tls.forward_client_cert,
        });
        Listener {
            id: item.id.clone(),
            hostname: item.hostname.clone(),
            serve: item.serve,
            tls,
            settings: item.settings,
            backend_certificate: item.backend_certificate.as_ref().and_then(certificate),
            routes: AttachedRoutes::new(),
        }
    }

    /// Routes by their listeners; those that have one are noted in `served`.
    fn attached(
        &self,
        served: &mut Vec<(RouteId, Arc<Route>)>,
    ) -> HashMap<(BindAddress, u16, &ListenerId), Attachments> {
        let open = self.listeners.iter().filter(|item| !item.is_closed);
        let open: HashSet<_> = open.map(|item| (item.address, item.port, &item.id)).collect();
        let mut all: HashMap<_, Vec<_>> = HashMap::new();
        for (id, route, attached) in &self.routes {
            let mut is_served = false;
            for one in *attached {
                let place = (one.address, one.port, &one.listener);
                if !open.contains(&place) {
                    continue;
                }
                all.entry(place).or_default().push(((*id).clone(), Arc::clone(&one.hostnames)));
                is_served = true;
            }
            if is_served {
                served.push(((*id).clone(), Arc::clone(route)));
            }
        }
        all
    }
}
