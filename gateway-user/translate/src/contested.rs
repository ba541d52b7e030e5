//! The hosts of a listener that several routes for connections are on, kept from one update to the next: a route may name a
//! thousand hosts, and an edit of another one is not to go through them.

use std::collections::{BTreeMap, BTreeSet};

use gateway_ir::order::HostRank;
use gateway_ir::{Hostname, MatchHostname, RouteId};

/// Routes for connections, by the hosts that they are on.
#[derive(Debug, Default)]
pub(crate) struct HostIndex {
    /// Each route with the rank of the hostname that it wrote.
    routes: BTreeMap<Option<Hostname>, BTreeMap<RouteId, HostRank>>,
    /// The hosts of two routes or more.
    contested: BTreeSet<Option<Hostname>>,
}

impl HostIndex {
    /// Notes a route's hosts. Routes for requests share theirs by other rules (`hosts/`).
    pub(crate) fn add(&mut self, id: &RouteId, hostnames: &[MatchHostname]) {
        for hostname in hostnames.iter().filter(|_| id.kind.is_for_connections()) {
            let here = self.routes.entry(hostname.effective.clone()).or_default();
            here.insert(id.clone(), HostRank::of(hostname.original.as_ref()));
            if here.len() > 1 {
                self.contested.insert(hostname.effective.clone());
            }
        }
    }

    /// Takes the hosts off again that were noted for a route.
    pub(crate) fn remove(&mut self, id: &RouteId, hostnames: &[MatchHostname]) {
        for host in hostnames.iter().map(|hostname| &hostname.effective) {
            let Some(here) = self.routes.get_mut(host) else { continue };
            here.remove(id);
            if here.len() < 2 {
                self.contested.remove(host);
            }
            if here.is_empty() {
                self.routes.remove(host);
            }
        }
    }

    /// The hosts of two routes or more, with the routes.
    pub(crate) fn contested(
        &self,
    ) -> impl Iterator<Item = (Option<&Hostname>, &BTreeMap<RouteId, HostRank>)> {
        self.contested.iter().filter_map(|host| Some((host.as_ref(), self.routes.get(host)?)))
    }
}

#[cfg(test)]
mod tests {
    use gateway_ir::{ObjectName, RouteKind};

    use super::*;

    #[test]
    fn hosts_of_one_route_are_contested_by_nobody() {
        let id = |kind, name| RouteId { kind, object: ObjectName::new("a", name) };
        let host = |text| {
            let host = Hostname::parse(text).ok();
            MatchHostname { effective: host.clone(), original: host }
        };
        let contested = |index: &HostIndex| {
            let all = index.contested().map(|(host, routes)| (host.unwrap().to_string(), routes.len()));
            all.collect::<Vec<_>>()
        };
        let mut index = HostIndex::default();
        let (one, two) = (id(RouteKind::TLSRoute, "one"), id(RouteKind::TLSRoute, "two"));
        index.add(&one, &[host("a.com"), host("b.com")]);
        index.add(&id(RouteKind::HTTPRoute, "web"), &[host("a.com")]);
        assert_eq!(contested(&index), []);
        index.add(&two, &[host("b.com")]);
        assert_eq!(contested(&index), [("b.com".to_owned(), 2)]);
        index.remove(&one, &[host("a.com"), host("b.com")]);
        assert_eq!(contested(&index), []);
        index.remove(&two, &[host("b.com")]);
        assert!(index.routes.is_empty() && index.contested.is_empty());
    }
}
