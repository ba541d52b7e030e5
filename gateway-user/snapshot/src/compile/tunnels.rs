//! The rules by which a listener's connections go to backends as a whole.

use std::sync::Arc;

use gateway_ir::Hostname;
use gateway_ir::order::{HostRank, by_age};
use hashbrown::{HashMap, HashSet};

use super::rules::CompiledRoute;
use crate::Rule;
use crate::snapshot::Attached;
use crate::table::host::HostMap;

/// The rules for connections of a listener with these routes, by host: new ones for those that were touched. Of several routes
/// for one host it is that of the route that wrote the most specific hostname, of those the oldest one.
pub(super) fn tunnels(
    attached: &[Arc<Attached>],
    touched: &HashSet<Option<&Hostname>>,
    known: Option<&HostMap<Arc<Rule>>>,
) -> HostMap<Arc<Rule>> {
    let mut first: HashMap<Option<&Hostname>, (HostRank, &CompiledRoute)> = HashMap::new();
    for one in attached {
        for hostname in one.hostnames.iter().filter(|name| touched.contains(&name.effective.as_ref())) {
            let own = (HostRank::of(hostname.original.as_ref()), &*one.route);
            let first = first.entry(hostname.effective.as_ref()).or_insert(own);
            if own.0.cmp(&first.0).then_with(|| by_age(&own.1.source, &first.1.source)).is_lt() {
                *first = own;
            }
        }
    }
    let mut tunnels = known.cloned().unwrap_or_default();
    for hostname in touched {
        let rule = first.get(hostname).and_then(|(_, route)| route.rules().next());
        tunnels.replace(*hostname, rule.map(Arc::clone));
    }
    tunnels.shrink_to_fit();
    tunnels
}
