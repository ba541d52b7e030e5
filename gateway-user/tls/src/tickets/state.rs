//! All keys of a process.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::key::{OPENS, Ring, TICKET_LIFETIME, TicketSecret};
use super::roots::TicketRoots;

/// Keys that a Gateway may be given at most, with those of before: of a day and a few controllers.
const GIVEN_MAX: usize = 16;

/// Secrets, and the keys made of them.
pub(super) struct State {
    roots: TicketRoots,
    /// By Gateway, newest first.
    given: HashMap<Box<str>, Vec<TicketSecret>>,
    /// By Gateway, made when they are first used.
    rings: HashMap<Box<str>, Arc<Ring>>,
}

/// The form in which keys go to the next process.
#[derive(Serialize, Deserialize)]
struct Exported {
    roots: TicketRoots,
    given: HashMap<Box<str>, Vec<TicketSecret>>,
}

impl State {
    pub(super) fn new(roots: TicketRoots) -> Self {
        Self { roots, given: HashMap::new(), rings: HashMap::new() }
    }

    /// A Gateway's keys for this moment.
    pub(super) fn ring(&mut self, gateway: &str, now: u64) -> Option<Arc<Ring>> {
        if let Some(ring) = self.rings.get(gateway).filter(|ring| ring.is_good(now)) {
            return Some(Arc::clone(ring));
        }
        if self.roots.turn(now) {
            // Gateways that are no more lose theirs here.
            self.rings.clear();
        }
        let own = self.roots.of_gateway(gateway);
        let given = self.given.get(gateway).map(Vec::as_slice).unwrap_or_default();
        let given = given.iter().filter(|secret| secret.age(now) < OPENS);
        // Controllers that are away give no new ones. Those of before serve for as long as a ticket may be kept: all nodes
        // still have them.
        let newest = given.clone().next().filter(|newest| newest.age(now) < u64::from(TICKET_LIFETIME));
        let ring = match newest {
            Some(newest) => Ring::new(given.chain(&own), newest.made + u64::from(TICKET_LIFETIME)),
            None => Ring::new(own.iter().chain(given), self.roots.next_turn().max(now + 1)),
        };
        let ring = Arc::new(ring);
        self.rings.insert(gateway.into(), Arc::clone(&ring));
        Some(ring)
    }

    pub(super) fn give(&mut self, gateway: &str, secrets: &[TicketSecret], now: u64) {
        let known = self.given.entry(gateway.into()).or_default();
        let before = std::mem::take(known).into_iter().filter(|one| !secrets.contains(one));
        *known = secrets.iter().cloned().chain(before).filter(|one| one.age(now) < OPENS).collect();
        known.truncate(GIVEN_MAX);
        self.rings.remove(gateway);
    }

    pub(super) fn keep_given(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.given.retain(|gateway, _| is_kept(gateway));
        self.rings.retain(|gateway, _| is_kept(gateway));
    }

    pub(super) fn export(&self) -> Vec<u8> {
        let exported = Exported { roots: self.roots.clone(), given: self.given.clone() };
        // Texts and numbers, which JSON has a form for.
        serde_json::to_vec(&exported).unwrap_or_default()
    }

    pub(super) fn import(&mut self, exported: &[u8], now: u64) -> io::Result<()> {
        let Exported { roots, given } = serde_json::from_slice(exported).map_err(io::Error::other)?;
        self.roots = roots;
        for (gateway, secrets) in given {
            // What a controller has given this process already is newer.
            let newer = self.given.remove(&gateway).unwrap_or_default();
            self.give(&gateway, &secrets, now);
            self.give(&gateway, &newer, now);
        }
        self.rings.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::roots::SEALS;
    use super::*;

    const GATEWAY: &str = "edge/shop";
    const SCOPE: [u8; 32] = [7; 32];

    fn state(now: u64) -> State {
        State::new(TicketRoots::new(now).unwrap())
    }

    fn seal(state: &mut State, now: u64) -> Vec<u8> {
        state.ring(GATEWAY, now).unwrap().seal(&SCOPE, b"session").unwrap()
    }

    fn opens(state: &mut State, ticket: &[u8], now: u64) -> bool {
        state.ring(GATEWAY, now).unwrap().open(&SCOPE, ticket).as_deref() == Some(b"session")
    }

    #[test]
    fn a_ticket_is_of_one_gateway_and_one_scope_and_is_whole() {
        let mut state = state(0);
        let ticket = seal(&mut state, 1);
        assert!(opens(&mut state, &ticket, 2));
        let ring = state.ring(GATEWAY, 2).unwrap();
        assert_eq!(ring.open(&[8; 32], &ticket), None);
        assert_eq!(state.ring("edge/other", 2).unwrap().open(&SCOPE, &ticket), None);
        for length in 0..ticket.len() {
            assert_eq!(ring.open(&SCOPE, &ticket[..length]), None, "{length}");
            let mut other = ticket.clone();
            other[length] ^= 1;
            assert_eq!(ring.open(&SCOPE, &other), None, "{length}");
        }
        assert_ne!(seal(&mut state, 2), ticket, "each has a nonce of its own");
    }

    #[test]
    fn own_keys_change_every_six_hours_and_open_for_a_day() {
        let mut state = state(0);
        let first = seal(&mut state, 1);
        let later = seal(&mut state, SEALS);
        assert_ne!(first[..16], later[..16]);
        assert!(opens(&mut state, &first, OPENS - 1));
        assert!(opens(&mut state, &later, OPENS + SEALS - 1));
        assert!(!opens(&mut state, &first, OPENS + SEALS - 1));
    }

    /// Two nodes that one controller gives keys open each other's tickets; one with keys of its own does not.
    #[test]
    fn nodes_of_one_controller_open_each_others_tickets() {
        let controller = TicketRoots::new(100).unwrap();
        let (mut one, mut other, mut alone) = (state(0), state(50), state(0));
        for node in [&mut one, &mut other] {
            seal(node, 90);
            node.give(GATEWAY, &controller.of_gateway(GATEWAY), 100);
        }
        let ticket = seal(&mut one, 101);
        assert!(opens(&mut other, &ticket, 102));
        assert!(!opens(&mut alone, &ticket, 102));
    }

    /// A new leader has keys of its own; tickets of the one before are still taken, everywhere.
    #[test]
    fn the_keys_of_a_leader_that_is_gone_open_on() {
        let (before, after) = (TicketRoots::new(100).unwrap(), TicketRoots::new(200).unwrap());
        let mut node = state(0);
        node.give(GATEWAY, &before.of_gateway(GATEWAY), 100);
        let ticket = seal(&mut node, 101);
        node.give(GATEWAY, &after.of_gateway(GATEWAY), 200);
        assert!(opens(&mut node, &ticket, 201));
        assert_ne!(seal(&mut node, 201)[..16], ticket[..16]);
        for made in 201..250 {
            node.give(GATEWAY, &TicketRoots::new(made).unwrap().of_gateway(GATEWAY), made);
        }
        assert_eq!(node.given[GATEWAY].len(), GIVEN_MAX);
        node.keep_given(|_| false);
        assert!(!opens(&mut node, &ticket, 260));
    }

    /// Without a controller a node seals with what it was given for half a day, and with keys of its own then.
    #[test]
    fn controllers_may_be_away() {
        let controller = TicketRoots::new(0).unwrap();
        let (mut one, mut other) = (state(0), state(0));
        for node in [&mut one, &mut other] {
            node.give(GATEWAY, &controller.of_gateway(GATEWAY), 0);
        }
        let late = u64::from(TICKET_LIFETIME) - 1;
        let ticket = seal(&mut one, late);
        assert!(opens(&mut other, &ticket, late));
        let own = seal(&mut one, late + 1);
        assert!(opens(&mut one, &own, late + 1) && !opens(&mut other, &own, late + 1));
        assert!(opens(&mut one, &ticket, OPENS - 1));
    }

    #[test]
    fn a_process_that_takes_over_opens_all_that_the_one_before_sealed() {
        let mut old = state(0);
        let own = seal(&mut old, 1);
        old.give(GATEWAY, &TicketRoots::new(2).unwrap().of_gateway(GATEWAY), 2);
        let given = seal(&mut old, 3);
        let mut new = state(4);
        new.give(GATEWAY, &TicketRoots::new(5).unwrap().of_gateway(GATEWAY), 5);
        let newest = seal(&mut new, 6);
        new.import(&old.export(), 6).unwrap();
        for ticket in [&own, &given, &newest] {
            assert!(opens(&mut new, ticket, 7));
        }
        assert_eq!(seal(&mut new, 7)[..16], newest[..16], "what its controller gave it last");
        assert!(new.import(b"{}", 7).is_err());
        assert!(opens(&mut new, &own, 8), "as it was");
    }

    #[test]
    fn a_clock_that_is_set_back_spoils_nothing() {
        let mut state = state(1_000_000);
        let ticket = seal(&mut state, 1_000_000);
        assert!(opens(&mut state, &ticket, 10));
        let early = seal(&mut state, 10);
        assert!(opens(&mut state, &early, 1_000_001));
    }
}
