//! Assignment of addresses to Gateways. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gateway_ir::ObjectName;
use gateway_translate::{AddressWant, Assignment, Assignments};
use ipnet::IpNet;

/// The next assignments. A Gateway keeps its addresses as long as it asks for them and the pool holds them;
/// an address whose node is gone moves to another one. A Gateway that asks for any address gets one of each
/// family that the pool has, the lowest that is free; one that it names it gets if nobody else has it,
/// whoever asks first by `wants`' order. Nodes with the fewest addresses get new ones, by name among equals, and only of
/// Gateways that are served there; `nodes` must not be empty, or nothing new is given.
pub fn allocate(
    pool: &[IpNet],
    before: &Assignments,
    wants: &[AddressWant],
    nodes: &BTreeSet<String>,
) -> Assignments {
    allocate_with_keepers(pool, before, wants, nodes, nodes)
}

/// The same where nodes of `keepers` keep what they have, and those of `nodes` alone get anything new.
pub fn allocate_with_keepers(
    pool: &[IpNet],
    before: &Assignments,
    wants: &[AddressWant],
    nodes: &BTreeSet<String>,
    keepers: &BTreeSet<String>,
) -> Assignments {
    let mut round = Round::new(pool, nodes, keepers);
    // First of all what is held: what stays where it is, then what moves, to whoever has the fewest by then. Then what is
    // named, then what is left.
    for (want, moves) in
        [false, true].into_iter().flat_map(|moves| wants.iter().map(move |want| (want, moves)))
    {
        let held = before.given.get(&want.gateway).into_iter().flatten();
        let (named, free): (Vec<_>, Vec<_>) = held.partition(|one| want.fixed.contains(&one.address));
        named.into_iter().for_each(|one| round.keep(want, one, moves));
        for family in round.families() {
            let one = free.iter().find(|one| one.address.is_ipv4() == family);
            one.into_iter().filter(|_| want.free).for_each(|one| round.keep(want, one, moves));
        }
    }
    for want in wants {
        want.fixed.iter().for_each(|address| round.give_named(want, *address));
    }
    for want in wants.iter().filter(|want| want.free) {
        for family in round.families() {
            round.give_any(want, family);
        }
    }
    round.after
}

struct Round<'a> {
    pool: &'a [IpNet],
    /// Number of addresses that each node has.
    nodes: BTreeMap<&'a str, usize>,
    /// Nodes that keep what they have.
    keepers: &'a BTreeSet<String>,
    taken: BTreeSet<IpAddr>,
    after: Assignments,
}

impl<'a> Round<'a> {
    fn new(pool: &'a [IpNet], nodes: &'a BTreeSet<String>, keepers: &'a BTreeSet<String>) -> Self {
        let nodes = nodes.iter().map(|node| (node.as_str(), 0)).collect();
        Self { pool, nodes, keepers, taken: BTreeSet::new(), after: Assignments::default() }
    }

    /// The families of the pool, IPv4 (true) first.
    fn families(&self) -> Vec<bool> {
        let has = |v4: bool| self.pool.iter().any(|net| net.addr().is_ipv4() == v4);
        [true, false].into_iter().filter(|v4| has(*v4)).collect()
    }

    fn keep(&mut self, want: &AddressWant, held: &Assignment, moves: bool) {
        if self.holds(held.address) && !self.taken.contains(&held.address) && self.stays(&held.node) != moves
        {
            self.give(want, held.address, Some(&held.node));
        }
    }

    fn give_named(&mut self, want: &AddressWant, address: IpAddr) {
        // An address of no pool is the operator's to put somewhere.
        if !self.holds(address) || self.has(&want.gateway, address) {
            return;
        }
        if !self.taken.contains(&address) {
            self.give(want, address, None);
        } else if let Some(holder) = self.after.holder(address) {
            let problem = format!("{address} is Gateway {holder}'s; choose another one");
            self.after.problems.insert(want.gateway.clone(), problem);
        }
    }

    fn give_any(&mut self, want: &AddressWant, v4: bool) {
        let given = self.after.given.get(&want.gateway).into_iter().flatten();
        if given.filter(|one| !want.fixed.contains(&one.address)).any(|one| one.address.is_ipv4() == v4) {
            return;
        }
        let nets = self.pool.iter().filter(|net| net.addr().is_ipv4() == v4);
        match nets.flat_map(usable).find(|address| !self.taken.contains(address)) {
            Some(address) => self.give(want, address, None),
            None => {
                let family = if v4 { "IPv4" } else { "IPv6" };
                let held = self.taken.iter().filter(|address| address.is_ipv4() == v4).count();
                let problem = format!(
                    "the pool has no {family} address left ({held} in use); delete a Gateway, or give \
                     --address-pool another network"
                );
                self.after.problems.insert(want.gateway.clone(), problem);
            }
        }
    }

    fn give(&mut self, want: &AddressWant, address: IpAddr, node: Option<&str>) {
        let may = |node: &str| want.nodes.as_ref().is_none_or(|nodes| nodes.contains(node));
        let open = || self.nodes.iter().filter(|(name, _)| may(name));
        let fewest = || open().min_by_key(|(name, count)| (**count, **name)).map(|(name, _)| *name);
        let stays = node.filter(|node| may(node) && self.stays(node));
        let node = match stays.or_else(fewest) {
            Some(node) => node,
            // Nobody else may have it, so it stays for when its node is back.
            None => match node.filter(|node| want.nodes.is_some() && may(node)) {
                Some(node) => node,
                None => return self.miss(want),
            },
        };
        if let Some(count) = self.nodes.get_mut(node) {
            *count += 1;
        }
        self.taken.insert(address);
        let given = self.after.given.entry(want.gateway.clone()).or_default();
        given.push(Assignment { address, node: node.to_owned() });
        given.sort();
    }

    /// True if a node keeps what it has.
    fn stays(&self, node: &str) -> bool {
        self.nodes.contains_key(node) || self.keepers.contains(node)
    }

    /// Notes that no node which a Gateway is served on is there.
    fn miss(&mut self, want: &AddressWant) {
        if want.nodes.is_some() {
            let problem = "no node that the Gateway is served on is there; start one, label another one, or edit \
                           spec.nodes of its GatewayConfig";
            self.after.problems.insert(want.gateway.clone(), problem.to_owned());
        }
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.pool.iter().any(|net| net.contains(&address))
    }

    fn has(&self, gateway: &ObjectName, address: IpAddr) -> bool {
        self.after.given.get(gateway).into_iter().flatten().any(|one| one.address == address)
    }
}

/// The addresses of a network that a host can have: neither IPv4's own and broadcast address, nor the one
/// that every router of an IPv6 network has (RFC 4291, section 2.6.1).
fn usable(net: &IpNet) -> impl Iterator<Item = IpAddr> + use<> {
    let anycast = Some(net.network()).filter(|ip| ip.is_ipv6() && net.prefix_len() < 127);
    net.hosts().filter(move |address| Some(*address) != anycast)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(name: &str, fixed: &[&str], free: bool) -> AddressWant {
        AddressWant {
            gateway: ObjectName::new("edge", name),
            created: None,
            fixed: fixed.iter().map(|ip| ip.parse().unwrap()).collect(),
            free,
            nodes: None,
        }
    }

    fn pool(nets: &[&str]) -> Vec<IpNet> {
        nets.iter().map(|net| net.parse().unwrap()).collect()
    }

    fn nodes(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn shown(assignments: &Assignments) -> Vec<String> {
        let all =
            assignments.given.iter().flat_map(|(gateway, all)| all.iter().map(move |one| (gateway, one)));
        all.map(|(gateway, one)| format!("{} {} {}", gateway.name, one.address, one.node)).collect()
    }

    #[test]
    fn a_gateway_gets_the_lowest_free_address_of_each_family_and_keeps_it() {
        let (pool, one) = (pool(&["10.0.0.0/29", "fd00::/125"]), nodes(&["n"]));
        let first =
            allocate(&pool, &Assignments::default(), &[want("a", &[], true), want("b", &[], true)], &one);
        assert_eq!(shown(&first), ["a 10.0.0.1 n", "a fd00::1 n", "b 10.0.0.2 n", "b fd00::2 n"]);
        // Whatever comes and goes around it, and in whatever order: b keeps its own.
        let next = allocate(&pool, &first, &[want("c", &[], true), want("b", &[], true)], &one);
        assert_eq!(shown(&next), ["b 10.0.0.2 n", "b fd00::2 n", "c 10.0.0.1 n", "c fd00::1 n"]);
    }

    #[test]
    fn a_named_address_is_given_to_one() {
        let (pool, one) = (pool(&["10.0.0.0/29"]), nodes(&["n"]));
        let wants = [want("a", &["10.0.0.3", "192.0.2.1"], false), want("b", &["10.0.0.3"], false)];
        let given = allocate(&pool, &Assignments::default(), &wants, &one);
        assert_eq!(shown(&given), ["a 10.0.0.3 n"], "of no pool: not ours to give");
        let problem = &given.problems[&ObjectName::new("edge", "b")];
        assert_eq!(problem, "10.0.0.3 is Gateway edge/a's; choose another one");
        let any = [
            want("c", &[], true),
            want("d", &[], true),
            want("e", &[], true),
            want("a", &["10.0.0.3"], false),
        ];
        let next = allocate(&pool, &given, &any, &one);
        assert_eq!(shown(&next), ["a 10.0.0.3 n", "c 10.0.0.1 n", "d 10.0.0.2 n", "e 10.0.0.4 n"]);
    }

    #[test]
    fn a_pool_that_is_used_up_says_so_and_takes_nothing_from_anybody() {
        let (pool, one) = (pool(&["10.0.0.0/30"]), nodes(&["n"]));
        let wants = ["a", "b", "c"].map(|name| want(name, &[], true));
        let given = allocate(&pool, &Assignments::default(), &wants, &one);
        assert_eq!(shown(&given), ["a 10.0.0.1 n", "b 10.0.0.2 n"]);
        let problem = &given.problems[&ObjectName::new("edge", "c")];
        assert!(problem.contains("no IPv4 address left (2 in use)") && problem.contains("--address-pool"));
        let next = allocate(&pool, &given, &wants[1..], &one);
        assert_eq!(
            (shown(&next), next.problems.len()),
            (vec!["b 10.0.0.2 n".into(), "c 10.0.0.1 n".into()], 0)
        );
    }

    #[test]
    fn addresses_are_spread_and_move_when_their_node_is_gone() {
        let pool = pool(&["10.0.0.0/28"]);
        let wants = ["a", "b", "c"].map(|name| want(name, &[], true));
        let first = allocate(&pool, &Assignments::default(), &wants, &nodes(&["n", "m"]));
        assert_eq!(shown(&first), ["a 10.0.0.1 m", "b 10.0.0.2 n", "c 10.0.0.3 m"]);
        let next = allocate(&pool, &first, &wants, &nodes(&["n", "o"]));
        assert_eq!(
            shown(&next),
            ["a 10.0.0.1 o", "b 10.0.0.2 n", "c 10.0.0.3 n"],
            "n has b, and o has none yet"
        );
    }

    #[test]
    fn a_node_that_keeps_its_addresses_gets_no_other() {
        let pool = pool(&["10.0.0.0/28"]);
        let wants = ["a", "b", "c"].map(|name| want(name, &[], true));
        let first = allocate(&pool, &Assignments::default(), &wants[..2], &nodes(&["n", "m"]));
        assert_eq!(shown(&first), ["a 10.0.0.1 m", "b 10.0.0.2 n"]);
        let both = nodes(&["m", "n"]);
        let next = allocate_with_keepers(&pool, &first, &wants, &nodes(&["n"]), &both);
        assert_eq!(shown(&next), ["a 10.0.0.1 m", "b 10.0.0.2 n", "c 10.0.0.3 n"]);
        // With nobody to give to, all is kept and nothing given.
        let none = allocate_with_keepers(&pool, &first, &wants, &nodes(&[]), &both);
        assert_eq!(shown(&none), ["a 10.0.0.1 m", "b 10.0.0.2 n"]);
        let moved = allocate_with_keepers(&pool, &next, &wants, &nodes(&["n"]), &nodes(&["n"]));
        assert_eq!(shown(&moved), ["a 10.0.0.1 n", "b 10.0.0.2 n", "c 10.0.0.3 n"]);
    }

    #[test]
    fn a_gateway_has_addresses_only_on_nodes_that_serve_it() {
        let pool = pool(&["10.0.0.0/28"]);
        let wants = |allowed: &[&str]| {
            [AddressWant { nodes: Some(nodes(allowed)), ..want("a", &[], true) }, want("b", &[], true)]
        };
        let first = allocate(&pool, &Assignments::default(), &wants(&["m"]), &nodes(&["m", "n"]));
        assert_eq!(shown(&first), ["a 10.0.0.1 m", "b 10.0.0.2 n"]);
        let alone = allocate(&pool, &first, &wants(&["m"]), &nodes(&["n"]));
        assert_eq!(shown(&alone), ["a 10.0.0.1 m", "b 10.0.0.2 n"], "m may be back in a moment");
        let moved = allocate(&pool, &first, &wants(&["n"]), &nodes(&["m", "n"]));
        assert_eq!(shown(&moved), ["a 10.0.0.1 n", "b 10.0.0.2 n"]);
        let nowhere = allocate(&pool, &first, &wants(&[]), &nodes(&["m", "n"]));
        assert_eq!(shown(&nowhere), ["b 10.0.0.2 n"]);
        assert!(nowhere.problems[&ObjectName::new("edge", "a")].contains("spec.nodes of its GatewayConfig"));
    }

    #[test]
    fn an_address_that_left_the_pool_is_replaced() {
        let wants = [want("a", &[], true)];
        let first = allocate(&pool(&["10.0.0.0/29"]), &Assignments::default(), &wants, &nodes(&["n"]));
        let next = allocate(&pool(&["10.1.0.0/29"]), &first, &wants, &nodes(&["n"]));
        assert_eq!(shown(&next), ["a 10.1.0.1 n"]);
    }

    /// Whatever is asked for, no address is given twice.
    #[test]
    fn no_two_gateways_share_an_address() {
        let (pool, nodes) = (pool(&["10.0.0.0/28"]), nodes(&["n", "m"]));
        let mut before = Assignments::default();
        let mut seed = 7_u64;
        for _ in 0..300 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let wants: Vec<_> = (0..12)
                .filter(|bit| seed >> (20 + bit) & 1 == 1)
                .map(|n| {
                    let fixed = format!("10.0.0.{}", (seed >> (33 + n)) & 15);
                    if n % 3 == 0 {
                        want(&n.to_string(), &[&fixed], false)
                    } else {
                        want(&n.to_string(), &[], true)
                    }
                })
                .collect();
            before = allocate(&pool, &before, &wants, &nodes);
            let all: Vec<_> = before.given.values().flatten().map(|one| one.address).collect();
            assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "{before:?}");
        }
    }
}
