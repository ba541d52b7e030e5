//! Ir → [`Snapshot`].

mod clusters;
mod compiled;
mod l4;
mod listeners;
mod rules;
#[cfg(test)]
mod sharing_tests;
mod tunnels;

use std::net::IpAddr;
use std::sync::Arc;

use gateway_ir::{Bind, BindAddress, Generation, Ir, ListenerId, RouteId, Transport};
use gateway_regex::Library;
use hashbrown::HashMap;

use crate::pattern::PatternSetBuilder;
use crate::snapshot::{BindTable, ListenerTable, Listeners, Snapshot};
use clusters::ClusterNumbers;
use compiled::Numbering;
use listeners::SharedTables;
pub(crate) use rules::CompiledRoute;

/// Compiles the tables of one generation.
///
/// Pure and total. A rule with an invalid expression, header, path or redirect responds 500 and nothing else
/// changes: an invalid path expression matches no request, an invalid expression for a header or parameter
/// value matches every request that has the header or parameter. An attached route that [`Ir::routes`]
/// lacks is left out; of two binds or listeners with the same key the first counts.
pub fn compile(ir: &Ir, generation: Generation) -> Snapshot {
    compile_with(ir, generation, None)
}

/// Compiles the tables of one generation and takes over from `previous` what is the same: rules, the tables
/// of hosts that no edited route is on, listeners, expressions.
///
/// Every request gets the result that it gets from [`compile`]'s tables; only the numbers of clusters differ,
/// see [`Snapshot::clusters`]. `previous` may be any snapshot: its parts count, not its generation. Nothing
/// of it is kept alive but what is taken over.
pub fn compile_with(ir: &Ir, generation: Generation, previous: Option<&Snapshot>) -> Snapshot {
    compile_from(&Library::default(), ir, generation, previous)
}

/// The same with expressions of `library`, which need not be built again if it has them; its limit decides
/// which are valid.
pub fn compile_from(
    library: &Library,
    ir: &Ir,
    generation: Generation,
    previous: Option<&Snapshot>,
) -> Snapshot {
    let nothing = Snapshot::default();
    let from_scratch = previous.is_none();
    let previous = previous.unwrap_or(&nothing);
    let mut numbering = Numbering {
        clusters: ClusterNumbers::after(&previous.clusters),
        patterns: PatternSetBuilder::after(&previous.patterns, library),
    };
    if from_scratch {
        for key in clusters::all(ir) {
            numbering.clusters.id(key);
        }
    }
    let routes = routes(ir, &previous.routes, &mut numbering);
    if numbering.clusters.is_sparse() && !from_scratch {
        // Most of what there was is gone: little is lost by numbering anew.
        return compile_from(library, ir, generation, None);
    }
    let patterns = numbering.patterns.finish();
    let clusters = numbering.clusters.finish();

    let (mut binds, mut datagram_binds) = (HashMap::with_capacity(ir.binds.len()), HashMap::new());
    let known = PreviousTables::of(previous);
    let mut shared_tables = SharedTables::default();
    // A Gateway with several addresses has one bind after another with the same listeners.
    let mut last: Option<(&Bind, Arc<Listeners>)> = None;
    for bind in &ir.binds {
        let Some(opening) = bind.opening() else { continue };
        let listeners = match &last {
            Some((other, same)) if other.port == bind.port && other.listeners == bind.listeners => {
                Arc::clone(same)
            }
            _ => Listeners::compile(bind, &routes, &known, &mut shared_tables),
        };
        last = Some((bind, Arc::clone(&listeners)));
        let address = canonical(bind.address);
        let table =
            BindTable { address, port: bind.port, opening, listeners, patterns: Arc::clone(&patterns) };
        let of_transport = match opening.transport() {
            Transport::Tcp => &mut binds,
            Transport::Udp => &mut datagram_binds,
        };
        of_transport.entry((address, bind.port)).or_insert(table);
    }
    Snapshot { generation, binds, datagram_binds, clusters, patterns, routes }
}

/// The tables of the previous snapshot.
struct PreviousTables<'a> {
    /// By listener and port.
    listeners: HashMap<(&'a ListenerId, u16), &'a Arc<ListenerTable>>,
    /// By address and port.
    binds: &'a HashMap<(BindAddress, u16), BindTable>,
    datagram_binds: &'a HashMap<(BindAddress, u16), BindTable>,
}

impl<'a> PreviousTables<'a> {
    fn of(previous: &'a Snapshot) -> Self {
        let all = previous.binds().flat_map(|bind| &bind.listeners.all);
        let listeners = all.map(|table| ((&table.info.id, table.info.port), table)).collect();
        Self { listeners, binds: &previous.binds, datagram_binds: &previous.datagram_binds }
    }

    /// The table of a bind.
    fn bind(&self, bind: &Bind) -> Option<&'a BindTable> {
        let binds = match bind.transport() {
            Transport::Tcp => self.binds,
            Transport::Udp => self.datagram_binds,
        };
        binds.get(&(canonical(bind.address), bind.port))
    }
}

/// Every route, ready. Both lists are ordered by id.
fn routes<'a>(
    ir: &'a Ir,
    previous: &[Arc<CompiledRoute>],
    numbering: &mut Numbering<'a>,
) -> Vec<Arc<CompiledRoute>> {
    let mut known = Cursor::new(previous);
    let compile = |(id, route)| CompiledRoute::compile(route, known.find(id), numbering);
    ir.routes.iter().map(compile).collect()
}

/// Finds routes by id in a list that is ordered by it. Finding one after another in that order takes one step
/// each.
struct Cursor<'a> {
    routes: &'a [Arc<CompiledRoute>],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(routes: &'a [Arc<CompiledRoute>]) -> Self {
        Self { routes, at: 0 }
    }

    fn find(&mut self, id: &RouteId) -> Option<&'a Arc<CompiledRoute>> {
        let here = self.routes.get(self.at).filter(|route| route.id() == id);
        let found = here.or_else(|| {
            self.at = self.routes.binary_search_by(|route| route.id().cmp(id)).unwrap_or_else(|next| next);
            self.routes.get(self.at).filter(|route| route.id() == id)
        });
        self.at += usize::from(found.is_some());
        found
    }
}

/// An IPv4-mapped address is the IPv4 address in it: that is how lookups see it.
fn canonical(address: BindAddress) -> BindAddress {
    match address {
        BindAddress::Any => BindAddress::Any,
        BindAddress::Ip(ip) => BindAddress::Ip(IpAddr::to_canonical(&ip)),
    }
}
