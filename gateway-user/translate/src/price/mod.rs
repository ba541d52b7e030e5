//! Costs of regular expressions, and the rules whose expressions are refused.
//!
//! Three bounds, each decided by the objects alone and alike on every node: an expression by itself
//! (`gateway-regex`), all expressions of a route and of a namespace ([`walk`]), and what one request can have
//! scanned on a host ([`scan`]). The youngest lose, so nobody loses what is served by what others add later.

mod admission;
mod demand;
mod scan;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api_types::ObjectKey;
use gateway_ir::RouteId;
use gateway_regex::{DEFAULT_LIMIT, Library};

use crate::route::RouteRef;

pub use admission::{Admission, Admitted};
pub(crate) use admission::{ParentNames, priced};
pub(crate) use demand::{Demand, Subject};
pub(crate) use scan::refusals as scan_refusals;
pub use walk::Walk;

/// Limits on the cost of regular expressions (decisions 171 and 172).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexLimits {
    /// One expression, in bytes of its automaton or of the work of building it; see
    /// `gateway_regex::Matcher::cost`.
    pub expression: usize,
    /// All expressions of a route, in the same bytes.
    pub route: usize,
    /// All expressions of a namespace's routes, in the same bytes.
    pub namespace: usize,
    /// Bytes of a request that expressions may be matched with: length of each value times expressions for
    /// it.
    pub scan: usize,
    /// The longest request line that is read, in bytes.
    pub request_line: usize,
    /// The largest request head that is read, in bytes, request line included.
    pub head: usize,
}

impl Default for RegexLimits {
    fn default() -> Self {
        Self {
            expression: DEFAULT_LIMIT,
            route: 8 << 20,
            namespace: 32 << 20,
            scan: 4 << 20,
            request_line: 8 << 10,
            head: 32 << 10,
        }
    }
}

/// The refused expressions and rules of a route. Empty for nearly all routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RejectedParts {
    /// Expressions by text, and why.
    pub(crate) texts: Arc<BTreeMap<String, String>>,
    /// Rules all of whose expressions are refused, by index, and why.
    pub(crate) rules: BTreeMap<usize, String>,
}

/// The verdicts on expressions of all routes of ours, by namespace.
#[derive(Debug, Default)]
pub(crate) struct Prices {
    namespaces: BTreeMap<String, Walk>,
    refused: BTreeMap<RouteId, Arc<BTreeMap<String, String>>>,
}

impl Prices {
    /// Judges the expressions of `routes`, which are those of ours in order of kind and key. An expression that
    /// is not built yet is built now.
    pub(crate) fn update<'a>(
        &mut self,
        routes: impl Iterator<Item = (&'a ObjectKey, RouteRef<'a>)>,
        library: &Library,
        limits: &RegexLimits,
    ) {
        let mut next = BTreeMap::new();
        for (namespace, mut walk) in walk::by_namespace(routes, library, limits) {
            // Expressions of the last walk are still held here, so the verdicts on them are known.
            let evaluated = match self.namespaces.remove(&namespace).filter(|old| old.is_same(&walk)) {
                Some(same) => same,
                None => {
                    while let Some(expression) = walk.missing() {
                        expression.verdict();
                    }
                    walk
                }
            };
            next.insert(namespace, evaluated);
        }
        self.namespaces = next;
        let refused = self.namespaces.values().flat_map(Walk::refused);
        self.refused = refused.map(|(key, texts)| (key.clone(), Arc::clone(texts))).collect();
    }

    /// The refused expressions of a route.
    pub(crate) fn refused(&self, route: &RouteId) -> Arc<BTreeMap<String, String>> {
        self.refused.get(route).map(Arc::clone).unwrap_or_default()
    }

    /// Routes with a refused expression.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &RouteId> {
        self.refused.keys()
    }

    /// Number of expressions of all routes that are refused.
    pub(crate) fn refused_count(&self) -> usize {
        self.refused.values().map(|texts| texts.len()).sum()
    }
}

/// A number of bytes as people read it: `8 MiB`, `4.13 MiB`, `512 bytes`.
pub(crate) fn bytes(count: usize) -> String {
    let mib = count as f64 / f64::from(1 << 20);
    match count {
        _ if count.is_multiple_of(1 << 20) && count > 0 => format!("{} MiB", count >> 20),
        _ if count >= 1 << 20 => format!("{mib:.2} MiB"),
        _ if count >= 1 << 10 => format!("{} KiB", count.div_ceil(1 << 10)),
        _ => format!("{count} bytes"),
    }
}
