//! The part of what has changed that goes into one configuration: a tenant that changes much must not hold up
//! one that changes little.
//!
//! Changes are counted in what translation and compilation go through: conditions, backends, endpoints. A
//! turn takes up to [`BATCH_COST`] of them, those of namespaces with the least first, so that a small edit is
//! always in the next configuration, however much is waiting. The rest comes in the batches after that; of
//! those who were left, one after the other has half a turn, so that a stream of small edits does not hold up
//! a large one for ever.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{Kind, Object, ObjectKey};

/// Cost of one batch: five routes as large as there can be, which compile within some tens of milliseconds.
pub(super) const BATCH_COST: usize = 20_000;

/// One changed object: its place, and the object if it is still there.
pub(super) type Change<'a> = (&'a (Kind, ObjectKey), Option<&'a Object>);

/// One change of a namespace: what it waits for, what it weighs, and where it is.
type Weighed<'a> = (u8, usize, &'a (Kind, ObjectKey));

/// Chooses what goes into the next configuration. `behind` is the namespace whose turn it was last of those
/// that were left.
pub(super) fn choose<'a>(
    changes: impl Iterator<Item = Change<'a>>,
    behind: &mut Option<String>,
) -> BTreeSet<(Kind, ObjectKey)> {
    let mut spaces: BTreeMap<&str, Vec<Weighed<'_>>> = BTreeMap::new();
    for (place, object) in changes {
        let all = spaces.entry(&place.1.namespace).or_default();
        all.push((rank(place.0, object.is_some()), object.map_or(1, weight), place));
    }
    let total = |all: &[Weighed<'_>]| all.iter().map(|one| one.1).sum::<usize>();
    let mut order: Vec<_> = spaces.iter().map(|(space, all)| (total(all), *space)).collect();
    order.sort_unstable();
    let (mut left, mut chosen) = (BATCH_COST, BTreeSet::new());
    let whole: Vec<_> = order.iter().take_while(|(cost, _)| take(&mut left, *cost)).collect();
    chosen.extend(whole.iter().flat_map(|(_, space)| &spaces[space]).map(|one| one.2.clone()));
    let mut rest: Vec<&str> = order.iter().skip(whole.len()).map(|(_, space)| *space).collect();
    // The one after the one whose turn it was.
    rest.sort_unstable();
    let next = rest.iter().find(|space| behind.as_deref().is_none_or(|last| **space > last)).or(rest.first());
    *behind = next.map(|space| (*space).to_owned());
    if let Some(all) = next.and_then(|space| spaces.get_mut(space)) {
        all.sort_unstable();
        let mut share = left.max(BATCH_COST / 2);
        for (at, (_, cost, place)) in all.iter().enumerate() {
            if !take(&mut share, *cost) && at > 0 {
                break;
            }
            chosen.insert((*place).clone());
        }
    }
    chosen
}

/// Takes so much if it is there.
fn take(left: &mut usize, cost: usize) -> bool {
    let after = left.checked_sub(cost);
    *left = after.unwrap_or(*left);
    after.is_some()
}

/// Referenced objects are added before and removed after those that refer to them.
fn rank(kind: Kind, is_there: bool) -> u8 {
    let rank = match kind {
        Kind::EndpointSlice => 0,
        Kind::Service => 1,
        Kind::ReferenceGrant | Kind::Secret | Kind::GatewayConfig | Kind::Node => 2,
        Kind::Gateway => 3,
        Kind::ListenerSet => 4,
        _ => 5,
    };
    if is_there { rank } else { 9 - rank }
}

/// Cost of an object: what translation and compilation go through for it.
fn weight(object: &Object) -> usize {
    1 + match object {
        Object::HttpRoute(route) => {
            let matches = |rule: &gateway_api_types::HttpRouteRule| {
                rule.matches.iter().map(|one| 1 + one.headers.len() + one.query_params.len()).sum::<usize>()
            };
            let rules = route.spec.rules.iter();
            let filters = |rule: &gateway_api_types::HttpRouteRule| {
                let own = rule.backend_refs.iter().map(|one| 1 + 48 * one.filters.len()).sum::<usize>();
                own + 48 * rule.filters.len()
            };
            rules.map(|rule| 1 + matches(rule) + filters(rule)).sum()
        }
        Object::GrpcRoute(route) => {
            let matches = |rule: &gateway_api_types::GrpcRouteRule| {
                rule.matches.iter().map(|one| 1 + one.headers.len()).sum::<usize>()
            };
            let rules = route.spec.rules.iter();
            let filters = |rule: &gateway_api_types::GrpcRouteRule| {
                let own = rule.backend_refs.iter().map(|one| 1 + 48 * one.filters.len()).sum::<usize>();
                own + 48 * rule.filters.len()
            };
            rules.map(|rule| 1 + matches(rule) + filters(rule)).sum()
        }
        Object::TcpRoute(route) => route.spec.rules.iter().map(|rule| 1 + rule.backend_refs.len()).sum(),
        Object::UdpRoute(route) => route.spec.rules.iter().map(|rule| 1 + rule.backend_refs.len()).sum(),
        Object::TlsRoute(route) => {
            let rules = route.spec.rules.iter().map(|rule| 1 + rule.backend_refs.len());
            route.spec.hostnames.len() + rules.sum::<usize>()
        }
        Object::Gateway(gateway) => {
            let listeners = gateway.spec.listeners.iter();
            listeners.map(|one| 1 + one.tls.as_ref().map_or(0, |tls| tls.certificate_refs.len())).sum()
        }
        Object::EndpointSlice(slice) => {
            let count = |list: Option<usize>| list.unwrap_or(0).max(1);
            count(slice.endpoints.as_ref().map(Vec::len)) * count(slice.ports.as_ref().map(Vec::len))
        }
        Object::ReferenceGrant(grant) => grant.spec.from.len() + grant.spec.to.len(),
        // Parsing a chain and checking its key.
        Object::Secret(_) => 100,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn route(namespace: &str, number: usize, matches: usize) -> ((Kind, ObjectKey), Object) {
        let name = format!("r{number:04}");
        let header = |n: usize| json!({"name": format!("h{n}"), "value": "x"});
        let one = json!({"headers": (0..16).map(header).collect::<Vec<_>>()});
        let rule = json!({"matches": vec![one; matches]});
        let value = json!({"metadata": {"name": name, "namespace": namespace},
            "spec": {"parentRefs": [{"name": "g"}], "rules": [rule]}});
        (
            (Kind::HttpRoute, ObjectKey::new(namespace, &*name)),
            Object::from_value(Kind::HttpRoute, value).unwrap(),
        )
    }

    fn take_batch(
        waiting: &mut BTreeMap<(Kind, ObjectKey), Object>,
        behind: &mut Option<String>,
    ) -> Vec<String> {
        let chosen = choose(waiting.iter().map(|(place, object)| (place, Some(object))), behind);
        chosen.iter().for_each(|place| drop(waiting.remove(place)));
        chosen.into_iter().map(|(_, key)| key.to_string()).collect()
    }

    #[test]
    fn a_small_edit_is_in_the_next_turn_however_much_is_waiting() {
        let mut waiting: BTreeMap<_, _> = (0..200).map(|n| route("loud", n, 127)).collect();
        let mut behind = None;
        assert!(take_batch(&mut waiting, &mut behind).len() < 12);
        for edit in 0..5 {
            waiting.extend([route("small", edit, 1)]);
            let taken = take_batch(&mut waiting, &mut behind);
            assert!(taken.contains(&format!("small/r{edit:04}")), "{taken:?}");
            assert!(taken.len() > 1 && taken.len() < 12, "and some of the rest: {taken:?}");
        }
        let mut turns = 0;
        while !waiting.is_empty() {
            assert!(!take_batch(&mut waiting, &mut behind).is_empty());
            turns += 1;
        }
        assert!(turns > 10, "{turns}");
    }

    #[test]
    fn large_ones_come_on_beside_a_stream_of_small_ones_and_one_after_the_other() {
        let mut waiting: BTreeMap<_, _> =
            ["a", "b"].iter().flat_map(|space| (0..20).map(|n| route(space, n, 127))).collect();
        let mut behind = None;
        let mut seen = Vec::new();
        for round in 0..4 {
            waiting.extend((0..1_000).map(|n| route(&format!("s{n:04}"), round, 1)));
            let taken = take_batch(&mut waiting, &mut behind);
            let large = taken.iter().find(|name| name.starts_with("a/") || name.starts_with("b/")).unwrap();
            seen.push(large.chars().next().unwrap());
        }
        assert_eq!(seen, ['a', 'b', 'a', 'b']);
    }

    #[test]
    fn one_object_goes_though_it_is_larger_than_a_turn() {
        let endpoints: Vec<_> =
            (0..1_000).map(|n| json!({"addresses": [format!("10.0.{}.{}", n / 250, n % 250)]})).collect();
        let ports: Vec<_> = (0..100).map(|n| json!({"name": format!("p{n}"), "port": 8000 + n})).collect();
        let value = json!({"metadata": {"name": "s", "namespace": "loud"}, "addressType": "IPv4", "endpoints": endpoints, "ports": ports});
        let slice = Object::from_value(Kind::EndpointSlice, value).unwrap();
        assert!(weight(&slice) > BATCH_COST);
        let mut waiting = BTreeMap::from([((Kind::EndpointSlice, ObjectKey::new("loud", "s")), slice)]);
        assert_eq!(take_batch(&mut waiting, &mut None), ["loud/s"]);
    }

    #[test]
    fn what_is_referred_to_comes_first_and_goes_last() {
        let (route, _) = route("a", 0, 1);
        let service = (Kind::Service, ObjectKey::new("a", "s"));
        assert!(rank(service.0, true) < rank(route.0, true));
        assert!(rank(service.0, false) > rank(route.0, false));
    }
}
