//! Listeners and the routes attached to them → tables by host and path.

use std::collections::BTreeSet;
use std::sync::Arc;

use gateway_ir::order::{HostRank, Rank, precedence};
use gateway_ir::{Bind, Hostname, Listener, ListenerSettings, MatchHostname};
use hashbrown::{HashMap, HashSet};

use super::compiled::CompiledMatch;
use super::rules::CompiledRoute;
use super::tunnels::tunnels;
use super::{Cursor, PreviousTables};
use crate::snapshot::{Attached, HostTable, ListenerInfo, ListenerTable, Listeners};
use crate::table::Entry;
use crate::table::host::HostMap;
use crate::table::path::PathTable;

/// One match on one host, before it is sorted in.
struct Candidate<'a> {
    rank: Rank<'a>,
    matching: &'a CompiledMatch,
    entry: Entry,
}

/// The routes of a listener, and the hosts for which they are others than before.
struct Difference<'a> {
    attached: Vec<Arc<Attached>>,
    /// Hosts that a route was or is on that is not the same as before.
    touched: HashSet<Option<&'a Hostname>>,
}

/// The tables of hosts that are made in one compilation, by what they are made of: the routes, in order, each
/// with how specific the hostname was that it wrote. A route on sixteen hosts of 64 listeners then has one
/// table and not 1,024.
#[derive(Default)]
pub(super) struct SharedTables(HashMap<Box<[(*const CompiledRoute, HostRank)]>, SharedTable>);

/// Tables that hosts with the same routes share.
#[derive(Clone)]
struct SharedTable {
    tiers: Arc<[PathTable]>,
    underscores: Arc<[Box<str>]>,
}

impl Listeners {
    pub(super) fn compile(
        bind: &Bind,
        routes: &[Arc<CompiledRoute>],
        known: &PreviousTables<'_>,
        shared_tables: &mut SharedTables,
    ) -> Arc<Self> {
        let mut next = Self::default();
        for listener in &bind.listeners {
            let table = ListenerTable::compile(listener, bind.port, routes, known, shared_tables);
            next.by_host.insert(listener.hostname.as_ref(), Arc::clone(&table));
            if listener.tls.as_ref().is_some_and(|tls| tls.is_default) {
                next.marked.get_or_insert_with(|| Arc::clone(&table));
            }
            next.all.push(table);
        }
        next.settings = ListenerSettings::widest(next.all.iter().map(|one| &one.info.settings));
        match known.bind(bind).map(|bind| &bind.listeners) {
            Some(same) if next.is_same(same) => Arc::clone(same),
            _ => Arc::new(next),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        let pairs = || self.all.iter().zip(&other.all);
        self.all.len() == other.all.len() && pairs().all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

impl ListenerTable {
    fn compile(
        listener: &Listener,
        port: u16,
        routes: &[Arc<CompiledRoute>],
        known: &PreviousTables<'_>,
        shared_tables: &mut SharedTables,
    ) -> Arc<Self> {
        let previous = known.listeners.get(&(&listener.id, port)).copied();
        let previous = previous.filter(|previous| previous.info.serve == listener.serve);
        let is_same = |info: &ListenerInfo| {
            info.hostname == listener.hostname
                && info.settings == listener.settings
                && info.backend_certificate == listener.backend_certificate
        };
        let info = match previous.filter(|previous| is_same(&previous.info)) {
            Some(same) => Arc::clone(&same.info),
            None => Arc::new(ListenerInfo {
                id: listener.id.clone(),
                text: listener.id.to_string().into(),
                hostname: listener.hostname.clone(),
                serve: listener.serve,
                port,
                settings: listener.settings,
                backend_certificate: listener.backend_certificate.clone(),
            }),
        };
        let known_tls = previous.and_then(|previous| previous.tls.as_ref());
        let tls = match (&listener.tls, known_tls) {
            (Some(tls), Some(same)) if **same == *tls => Some(Arc::clone(same)),
            (tls, _) => tls.clone().map(Arc::new),
        };
        let same_tls = tls.as_ref().map(Arc::as_ptr) == known_tls.map(Arc::as_ptr);
        let old = previous.map(|previous| previous.attached.as_slice()).unwrap_or_default();
        let Difference { attached, touched } = Difference::between(old, listener, routes);
        match previous {
            Some(same) if touched.is_empty() && same_tls && Arc::ptr_eq(&same.info, &info) => {
                Arc::clone(same)
            }
            _ => {
                let (hosts, tunnels) = if listener.serve.takes_connections() {
                    let known = previous.map(|previous| &previous.tunnels);
                    (HostMap::default(), tunnels(&attached, &touched, known))
                } else {
                    let known = previous.map(|previous| &previous.hosts);
                    (hosts(&attached, &touched, known, shared_tables), HostMap::default())
                };
                Arc::new(Self { info, tls, hosts, tunnels, attached })
            }
        }
    }
}

/// The tables of all hosts: new ones for those that were touched.
fn hosts(
    attached: &[Arc<Attached>],
    touched: &HashSet<Option<&Hostname>>,
    known: Option<&HostMap<Arc<HostTable>>>,
    shared_tables: &mut SharedTables,
) -> HostMap<Arc<HostTable>> {
    let mut hosts = known.cloned().unwrap_or_default();
    let mut tables = HostTable::compile(attached, touched, shared_tables);
    for hostname in touched {
        hosts.replace(*hostname, tables.remove(hostname).map(Arc::new));
    }
    hosts.shrink_to_fit();
    hosts
}

impl<'a> Difference<'a> {
    /// Both lists are ordered by route, so what belongs together is met together; what is not met counts as
    /// touched.
    fn between(old: &'a [Arc<Attached>], listener: &'a Listener, routes: &[Arc<CompiledRoute>]) -> Self {
        let mut routes = Cursor::new(routes);
        let mut attached = Vec::with_capacity(listener.routes.len());
        let mut touched = HashSet::new();
        let mut touch = |hostnames: &'a [MatchHostname]| {
            touched.extend(hostnames.iter().map(|hostname| hostname.effective.as_ref()));
        };
        let mut old = old.iter().peekable();
        for (id, hostnames) in &listener.routes {
            let Some(route) = routes.find(id) else { continue };
            while let Some(gone) = old.next_if(|old| old.route.id() < id) {
                touch(&gone.hostnames);
            }
            let before = old.next_if(|old| old.route.id() == id);
            match before {
                Some(same) if Arc::ptr_eq(&same.route, route) && same.hostnames == *hostnames => {
                    attached.push(Arc::clone(same));
                }
                _ => {
                    before.into_iter().for_each(|before| touch(&before.hostnames));
                    touch(hostnames);
                    let route = Arc::clone(route);
                    attached.push(Arc::new(Attached { route, hostnames: Arc::clone(hostnames) }));
                }
            }
        }
        old.for_each(|gone| touch(&gone.hostnames));
        Self { attached, touched }
    }
}

impl HostTable {
    /// The tables of these hosts, as far as any route is on them. A host whose rules match nothing has a
    /// table too: the host is served, which a miss must tell.
    fn compile<'a>(
        attached: &'a [Arc<Attached>],
        wanted: &HashSet<Option<&Hostname>>,
        shared_tables: &mut SharedTables,
    ) -> HashMap<Option<&'a Hostname>, Self> {
        let mut on_hosts: HashMap<Option<&Hostname>, Vec<(&CompiledRoute, &MatchHostname)>> = HashMap::new();
        for one in attached {
            for hostname in one.hostnames.iter().filter(|name| wanted.contains(&name.effective.as_ref())) {
                let routes = on_hosts.entry(hostname.effective.as_ref()).or_default();
                if is_best(hostname, &one.hostnames) {
                    routes.push((&one.route, hostname));
                }
            }
        }
        let table = |(hostname, routes): (Option<&'a Hostname>, Vec<_>)| {
            let SharedTable { tiers, underscores } = shared_tables.of(&routes);
            (hostname, Self { hostname: hostname.cloned(), underscores, tiers })
        };
        on_hosts.into_iter().map(table).collect()
    }
}

impl SharedTables {
    /// The table of one host with these routes: the same as another host with the same ones, if there is one.
    fn of(&mut self, routes: &[(&CompiledRoute, &MatchHostname)]) -> SharedTable {
        let rank = |hostname: &MatchHostname| HostRank::of(hostname.original.as_ref());
        let key = routes.iter().map(|(route, hostname)| (std::ptr::from_ref(*route), rank(hostname)));
        let make = || SharedTable { tiers: tiers(routes), underscores: names_with_underscores(routes) };
        self.0.entry(key.collect()).or_insert_with(make).clone()
    }
}

/// The field names with `_` in them that the routes of a host match or write.
fn names_with_underscores(routes: &[(&CompiledRoute, &MatchHostname)]) -> Arc<[Box<str>]> {
    let rules = routes.iter().flat_map(|(route, _)| &route.rules);
    let names: BTreeSet<_> = rules.flat_map(|rule| &rule.underscores).collect();
    names.into_iter().cloned().collect()
}

/// Tables grow in order of precedence, so tiers come most specific first and entries stay sorted.
fn tiers(routes: &[(&CompiledRoute, &MatchHostname)]) -> Arc<[PathTable]> {
    let mut candidates: Vec<_> =
        routes.iter().flat_map(|(route, hostname)| candidates(route, hostname)).collect();
    candidates.sort_by(|a, b| precedence(&a.rank, &b.rank));
    let mut tiers: Vec<(HostRank, PathTable)> = Vec::new();
    for Candidate { rank, matching, entry } in candidates {
        if tiers.last().is_none_or(|(original, _)| *original != rank.original) {
            tiers.push((rank.original, PathTable::default()));
        }
        if let Some((_, table)) = tiers.last_mut() {
            table.push(&matching.path, entry);
        }
    }
    let finished = tiers.into_iter().map(|(_, mut table)| {
        table.finish();
        table
    });
    finished.collect()
}

/// Every match of a route, on one of its hosts.
fn candidates<'a>(
    route: &'a CompiledRoute,
    hostname: &'a MatchHostname,
) -> impl Iterator<Item = Candidate<'a>> {
    let source = &route.source;
    let rules = route.rules.iter().zip(source.http_rules()).enumerate();
    rules.flat_map(move |(rule_at, (rule, spec))| {
        let matches = rule.matches.iter().zip(&spec.matches).zip(0u32..);
        matches.map(move |((matching, spec), match_index)| {
            let effective = hostname.effective.as_ref();
            let (age, place) = ((source.id(), source.created()), (rule_at, match_index as usize));
            Candidate {
                rank: Rank::new(effective, hostname.original.as_ref(), age, place, spec),
                matching,
                entry: Entry {
                    rule: Arc::clone(&rule.rule),
                    match_index,
                    extent: matching.path.extent(),
                    conditions: matching.conditions.clone(),
                },
            }
        })
    })
}

/// True if no other hostname of the route leads to the same host with a higher precedence.
fn is_best(hostname: &MatchHostname, all: &[MatchHostname]) -> bool {
    let rank = |hostname: &MatchHostname| HostRank::of(hostname.original.as_ref());
    all.iter().all(|other| other.effective != hostname.effective || rank(other) >= rank(hostname))
}
