//! Ir → [`Snapshot`].

mod listeners;
mod rules;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use gateway_ir::{Action, BindAddress, ClusterKey, Generation, Ir, RouteId, WeightedTarget};
use hashbrown::HashMap;

use crate::pattern::PatternSetBuilder;
use crate::snapshot::{BindTable, Listeners, Snapshot};
use crate::{ClusterId, compile::rules::CompiledRoute};

/// Compiles the tables of one generation.
///
/// Pure and total. A rule with an invalid expression, header, path or redirect answers 500 and nothing else changes:
/// an invalid path expression matches no request, an invalid expression for a header or parameter value matches every
/// request that has the header or parameter. An attached route that [`Ir::http_routes`] lacks is left out; of two
/// binds or listeners with the same key the first counts.
pub fn compile(ir: &Ir, generation: Generation) -> Snapshot {
    let clusters = clusters(ir);
    let mut patterns = PatternSetBuilder::default();
    let routes: HashMap<&RouteId, CompiledRoute<'_>> = ir
        .http_routes
        .iter()
        .map(|(id, route)| (id, CompiledRoute::compile(route, &clusters, &mut patterns)))
        .collect();
    let patterns = Arc::new(patterns.finish());

    let mut binds = HashMap::with_capacity(ir.binds.len());
    // A Gateway with several addresses has one bind after another with the same listeners.
    let mut last: Option<(&gateway_ir::Bind, Arc<Listeners>)> = None;
    for bind in &ir.binds {
        let listeners = match &last {
            Some((other, same)) if other.port == bind.port && other.listeners == bind.listeners => {
                Arc::clone(same)
            }
            _ => Arc::new(Listeners::compile(bind, &routes)),
        };
        last = Some((bind, Arc::clone(&listeners)));
        let address = canonical(bind.address);
        let table = BindTable {
            address,
            port: bind.port,
            protocol: bind.protocol,
            listeners,
            patterns: Arc::clone(&patterns),
        };
        binds.entry((address, bind.port)).or_insert(table);
    }
    Snapshot { generation, binds, clusters: clusters.0, patterns }
}

/// Every cluster, ascending.
struct Clusters(Vec<ClusterKey>);

impl Clusters {
    fn id(&self, key: &ClusterKey) -> Option<ClusterId> {
        let at = self.0.binary_search(key).ok()?;
        u32::try_from(at).ok().map(ClusterId)
    }
}

fn clusters(ir: &Ir) -> Clusters {
    let rules = ir.http_routes.values().flat_map(|route| &route.rules);
    let backends = rules.filter_map(|rule| match &rule.action {
        Action::Forward(backends) => Some(backends),
        Action::Redirect(_) | Action::Fail(_) => None,
    });
    let keys = backends.flatten().filter_map(|backend| match &backend.target {
        WeightedTarget::Cluster(key) => Some(key),
        WeightedTarget::Fail(_) => None,
    });
    Clusters(keys.collect::<BTreeSet<_>>().into_iter().cloned().collect())
}

/// An IPv4-mapped address is the IPv4 address in it: that is how lookups see it.
fn canonical(address: BindAddress) -> BindAddress {
    match address {
        BindAddress::Any => BindAddress::Any,
        BindAddress::Ip(ip) => BindAddress::Ip(IpAddr::to_canonical(&ip)),
    }
}
