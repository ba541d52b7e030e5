//! Listeners and the routes attached to them → tables by host and path.

use std::sync::Arc;

use gateway_ir::{AttachedRoute, Bind, Hostname, Listener, MatchHostname, RouteId};
use hashbrown::HashMap;

use super::rules::{CompiledMatch, CompiledRoute};
use crate::order::{HostRank, Rank, precedence};
use crate::snapshot::{HostTable, ListenerInfo, ListenerTable, Listeners};
use crate::table::Entry;
use crate::table::host::HostMap;
use crate::table::path::PathTable;

/// One match on one host, before it is sorted in.
struct Candidate<'a> {
    rank: Rank<'a>,
    hostname: Option<&'a Hostname>,
    matching: &'a CompiledMatch<'a>,
    entry: Entry,
}

impl Listeners {
    pub(super) fn compile(bind: &Bind, routes: &HashMap<&RouteId, CompiledRoute<'_>>) -> Self {
        let mut all = Self::default();
        for listener in &bind.listeners {
            let table = ListenerTable::compile(listener, bind.port, routes);
            all.infos.push(Arc::clone(&table.info));
            all.by_host.insert(listener.hostname.as_ref(), table);
        }
        all
    }
}

impl ListenerTable {
    fn compile(listener: &Listener, port: u16, routes: &HashMap<&RouteId, CompiledRoute<'_>>) -> Self {
        let attached = || listener.routes.iter().filter_map(|one| Some((one, routes.get(&one.route)?)));
        let mut candidates: Vec<_> =
            attached().flat_map(|(attached, route)| candidates(attached, route)).collect();
        candidates.sort_by(|a, b| precedence(&a.rank, &b.rank));

        // Tables grow in order of precedence, so tiers come most specific first and entries stay sorted.
        // A host whose rules match nothing has a table too: the host is served, which a miss must tell.
        let hostnames = attached().flat_map(|(attached, _)| &attached.hostnames);
        let mut tiers: HashMap<Option<&Hostname>, Vec<(HostRank, PathTable)>> =
            hostnames.map(|hostname| (hostname.effective.as_ref(), Vec::new())).collect();
        for Candidate { rank, hostname, matching, entry } in candidates {
            let tiers = tiers.entry(hostname).or_default();
            if tiers.last().is_none_or(|(original, _)| *original != rank.original) {
                tiers.push((rank.original, PathTable::default()));
            }
            if let Some((_, table)) = tiers.last_mut() {
                table.push(&matching.path, entry);
            }
        }

        let mut hosts = HostMap::default();
        let mut hostnames: Vec<_> = tiers.keys().map(|hostname| hostname.cloned()).collect();
        hostnames.sort();
        for (hostname, tiers) in tiers {
            let tiers = tiers.into_iter().map(|(_, mut table)| {
                table.finish();
                table
            });
            let table = HostTable { hostname: hostname.cloned(), tiers: tiers.collect() };
            hosts.insert(hostname, table);
        }
        let info = ListenerInfo {
            id: listener.id.clone(),
            text: listener.id.to_string().into(),
            hostname: listener.hostname.clone(),
            port,
        };
        Self { info: Arc::new(info), hosts, hostnames }
    }
}

fn candidates<'a>(
    attached: &'a AttachedRoute,
    route: &'a CompiledRoute<'a>,
) -> impl Iterator<Item = Candidate<'a>> {
    let age = (&route.source.id, route.source.created);
    attached.hostnames.iter().filter(|hostname| is_best(hostname, &attached.hostnames)).flat_map(
        move |hostname| {
            route.rules.iter().zip(0..).flat_map(move |(rule, rule_at)| {
                rule.matches.iter().zip(0u32..).map(move |(matching, match_index)| {
                    let effective = hostname.effective.as_ref();
                    let place = (rule_at, match_index as usize);
                    Candidate {
                        rank: Rank::new(effective, hostname.original.as_ref(), age, place, matching.source),
                        hostname: effective,
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
        },
    )
}

/// Whether no other hostname of the route leads to the same host with a higher precedence.
fn is_best(hostname: &MatchHostname, all: &[MatchHostname]) -> bool {
    let rank = |hostname: &MatchHostname| HostRank::of(hostname.original.as_ref());
    all.iter().all(|other| other.effective != hostname.effective || rank(other) >= rank(hostname))
}
