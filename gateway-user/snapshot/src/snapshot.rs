//! The tables of one generation, and the lookup in them.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{
    BindAddress, Certificate, ClusterKey, Generation, Hostname, ListenerId, ListenerSettings, ListenerTls,
    MatchHostname, Opening, Serve,
};
use hashbrown::HashMap;

use crate::compile::CompiledRoute;
use crate::pattern::{PatternSet, RegexTotals};
use crate::table::host::HostMap;
use crate::table::path::PathTable;
use crate::table::{Entry, Mismatch};
use crate::{ClusterId, Rule};

/// Everything workers route by, of one generation. It never changes; workers share it.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(crate) generation: Generation,
    /// Those that connections are made to.
    pub(crate) binds: HashMap<(BindAddress, u16), BindTable>,
    /// Those that datagrams are sent to.
    pub(crate) datagram_binds: HashMap<(BindAddress, u16), BindTable>,
    pub(crate) clusters: Arc<Clusters>,
    pub(crate) patterns: Arc<PatternSet>,
    /// Every route of the Ir, in its order: what the next compile takes over.
    pub(crate) routes: Vec<Arc<CompiledRoute>>,
}

/// Clusters by number.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    pub(crate) keys: Vec<ClusterKey>,
    /// For each number whether a rule refers to it.
    pub(crate) used: Vec<bool>,
}

/// The listeners of one address and port.
#[derive(Debug)]
pub struct BindTable {
    pub(crate) address: BindAddress,
    pub(crate) port: u16,
    pub(crate) opening: Opening,
    /// Shared by binds that have the same listeners.
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) patterns: Arc<PatternSet>,
}

/// A listener, for the connections and requests that it takes.
#[derive(Debug, PartialEq, Eq)]
pub struct ListenerInfo {
    /// Its Gateway and name.
    pub id: ListenerId,
    /// `namespace/gateway/listener`.
    pub text: Box<str>,
    /// The hosts that it serves.
    pub hostname: Option<Hostname>,
    /// The use that it makes of connections.
    pub serve: Serve,
    /// The port that clients dial, which redirects refer to.
    pub port: u16,
    /// The settings that its Gateway has of its own.
    pub settings: ListenerSettings,
    /// The client certificate of its Gateway, for backends that ask for one.
    pub backend_certificate: Option<Arc<Certificate>>,
}

/// The listeners of a bind.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) by_host: HostMap<Arc<ListenerTable>>,
    /// All of them, in the order of the Ir.
    pub(crate) all: Vec<Arc<ListenerTable>>,
    /// The one that is marked for handshakes without a server name.
    pub(crate) marked: Option<Arc<ListenerTable>>,
    /// The widest of their settings.
    pub(crate) settings: ListenerSettings,
}

/// The routes of a listener. Snapshots share it as a whole, or else host by host.
#[derive(Debug)]
pub(crate) struct ListenerTable {
    pub(crate) info: Arc<ListenerInfo>,
    /// The same [`Arc`] in every snapshot as long as nothing of it changes.
    pub(crate) tls: Option<Arc<ListenerTls>>,
    /// Tables for requests.
    pub(crate) hosts: HostMap<Arc<HostTable>>,
    /// The rule for whole connections, by the hosts that clients ask for by TLS.
    pub(crate) tunnels: HostMap<Arc<Rule>>,
    /// The routes that it was made of, in the order of the Ir.
    pub(crate) attached: Vec<Arc<Attached>>,
}

/// A route on a listener.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) route: Arc<CompiledRoute>,
    pub(crate) hostnames: Arc<[MatchHostname]>,
}

/// The rules of one host pattern.
#[derive(Debug)]
pub(crate) struct HostTable {
    pub(crate) hostname: Option<Hostname>,
    /// Names of request fields with `_` in them that its routes match or write, in lower case and in order.
    /// Nearly always none.
    pub(crate) underscores: Arc<[Box<str>]>,
    /// One table for each specificity of the hostnames that routes wrote, most specific first. Nearly always
    /// one. Shared by hosts that have the same.
    pub(crate) tiers: Arc<[PathTable]>,
}

/// Observer of every step of a lookup. The data plane's is `()`, which compiles to nothing.
pub(crate) trait Observer {
    /// This listener takes the request, whether or not one of its routes does.
    fn listener(&mut self, _listener: &ListenerTable) {}
    /// The entry's path holds, but not this condition.
    fn missed(&mut self, _entry: &Entry, _mismatch: Mismatch) {}
    /// No rule for this host won; `found` tells whether the path of any of them held.
    fn passed(&mut self, _host: &HostTable, _found: bool) {}
}

impl Observer for () {}

impl Snapshot {
    /// The generation that it was compiled as.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The table for connections to `local`: that of the exact address if there is one, else that of the port
    /// on any address. An IPv4-mapped address counts as the IPv4 address in it.
    pub fn bind(&self, local: SocketAddr) -> Option<&BindTable> {
        let exact = (BindAddress::Ip(local.ip().to_canonical()), local.port());
        self.binds.get(&exact).or_else(|| self.binds.get(&(BindAddress::Any, local.port())))
    }

    /// The table for datagrams to `local`, as [`bind`](Self::bind) finds one for connections.
    pub fn datagram_bind(&self, local: SocketAddr) -> Option<&BindTable> {
        let exact = (BindAddress::Ip(local.ip().to_canonical()), local.port());
        let any = (BindAddress::Any, local.port());
        self.datagram_binds.get(&exact).or_else(|| self.datagram_binds.get(&any))
    }

    /// Every table, in no order.
    pub fn binds(&self) -> impl Iterator<Item = &BindTable> {
        self.binds.values().chain(self.datagram_binds.values())
    }

    /// Every rule with each listener that its route is attached to, in no order; a listener on several
    /// addresses counts once for each.
    pub fn attached_rules(&self) -> impl Iterator<Item = (&Arc<ListenerInfo>, &Arc<Rule>)> {
        let listeners = self.binds().flat_map(|bind| bind.listeners.all.iter());
        listeners.flat_map(|listener| {
            let rules = listener.attached.iter().flat_map(|attached| attached.route.rules());
            rules.map(|rule| (&listener.info, rule))
        })
    }

    /// Clusters by [`ClusterId`]: every one that rules refer to. Ascending and without repeats, unless the
    /// snapshot was compiled after another one: then clusters keep their numbers, a new one has any number
    /// that was free, and a number that nothing refers to any more keeps its old key until then.
    pub fn clusters(&self) -> &[ClusterKey] {
        &self.clusters.keys
    }

    /// The key of a cluster; `None` for a number of another snapshot that is too large for this one.
    pub fn cluster(&self, id: ClusterId) -> Option<&ClusterKey> {
        self.clusters.keys.get(id.0 as usize)
    }

    /// Number of its expressions, and the memory of their automata.
    pub fn regexes(&self) -> RegexTotals {
        self.patterns.totals()
    }

    pub(crate) fn patterns(&self) -> &Arc<PatternSet> {
        &self.patterns
    }
}

impl BindTable {
    /// The address that it is for.
    pub fn address(&self) -> BindAddress {
        self.address
    }

    /// The port that it is for.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The first thing on its connections.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Its listeners.
    pub fn listeners(&self) -> impl Iterator<Item = &Arc<ListenerInfo>> {
        self.listeners.all.iter().map(|listener| &listener.info)
    }

    /// The settings of a connection before it is known for which listener it is: the widest of all listeners'.
    pub fn settings(&self) -> &ListenerSettings {
        &self.listeners.settings
    }

    /// Every listener at which TLS ends, with its settings, which are no other listener's.
    pub fn tls(&self) -> impl Iterator<Item = (&ListenerInfo, &Arc<ListenerTls>)> {
        let listeners = self.listeners.all.iter().filter(|listener| listener.info.serve.terminates_tls());
        listeners.filter_map(|listener| Some((&*listener.info, listener.tls.as_ref()?)))
    }

    /// The host to route a request on that came by a connection for `server_name`, both in lower case.
    ///
    /// HTTP/1.0 may name no host (RFC 9112 section 3.3); then the connection's server name is the only one
    /// there is. A client without either, or one that names an IP address, as health checks do, asks for what
    /// the marked listener serves, if that is one host, and no listener is for the address.
    pub fn routed_host<'h>(&'h self, server_name: Option<&'h str>, host: &'h [u8]) -> &'h [u8] {
        match (server_name, &self.listeners.marked) {
            (Some(name), _) if host.is_empty() => name.as_bytes(),
            (None, Some(marked)) if self.listeners.by_host.covering(host).next().is_none() => {
                match &marked.info.hostname {
                    Some(Hostname::Exact(only)) if is_address(host) => only.as_bytes(),
                    _ => host,
                }
            }
            _ => host,
        }
    }

    /// True if a request for `host` came by a connection that was secured for another listener than the one
    /// that takes it: the client is to open a connection of its own for it (gateway-api `Listener.hostname`,
    /// RFC 9110 section 15.5.20). A host that no listener takes is not misdirected, just not there.
    pub fn is_misdirected(&self, server_name: Option<&str>, host: &[u8]) -> bool {
        if server_name.is_some_and(|name| name.as_bytes() == host) {
            return false;
        }
        let taker = self.listeners.by_host.covering(host).next();
        taker.is_some_and(|taker| self.named(server_name).is_none_or(|own| !Arc::ptr_eq(own, taker)))
    }

    /// True if a route on `host`, in lower case, matches or writes a request field of this name, which has
    /// `_` in it. Looks at every table that [`Self::route`] could find a rule in.
    pub fn knows_underscored(&self, host: &[u8], name: &[u8]) -> bool {
        let Some(listener) = self.listeners.by_host.covering(host).next() else { return false };
        let mut tables = listener.hosts.covering(host);
        let lower = || name.iter().map(u8::to_ascii_lowercase);
        tables.any(|table| table.underscores.binary_search_by(|known| known.bytes().cmp(lower())).is_ok())
    }

    pub(crate) fn named(&self, server_name: Option<&str>) -> Option<&Arc<ListenerTable>> {
        if server_name.is_none() && self.listeners.marked.is_some() {
            return self.listeners.marked.as_ref();
        }
        self.listeners.by_host.covering(server_name.unwrap_or_default().as_bytes()).next()
    }
}

/// Workers on their own threads share one snapshot.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Snapshot>();
};

/// No host, or an IP address.
fn is_address(host: &[u8]) -> bool {
    let text = std::str::from_utf8(host).unwrap_or_default();
    host.is_empty() || text.starts_with('[') || text.parse::<std::net::Ipv4Addr>().is_ok()
}
