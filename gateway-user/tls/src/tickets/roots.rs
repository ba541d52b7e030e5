//! Secrets from which those of Gateways are derived.

use std::io;

use serde::{Deserialize, Serialize};

use super::key::{OPENS, TicketSecret};

/// Age in seconds at which a secret gets a successor.
pub(super) const SEALS: u64 = 6 * 60 * 60;

/// A process's own secrets, newest first: of a controller for all nodes, or of a node that has no controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRoots(Vec<TicketSecret>);

impl TicketRoots {
    /// A first random one; `now` in seconds since 1970.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn new(now: u64) -> io::Result<Self> {
        Ok(Self(vec![TicketSecret::random(now)?]))
    }

    /// The time in seconds since 1970 at which the newest one gets a successor.
    pub fn next_turn(&self) -> u64 {
        self.0.first().map_or(0, |newest| newest.made.saturating_add(SEALS))
    }

    /// Makes another one if it is time, and forgets those that are a day old. True if there is a new one.
    pub fn turn(&mut self, now: u64) -> bool {
        self.0.retain(|secret| secret.age(now) < OPENS);
        if now < self.next_turn() {
            return false;
        }
        // Without randomness the newest one serves on.
        let Ok(secret) = TicketSecret::random(now) else { return false };
        self.0.insert(0, secret);
        true
    }

    /// The secrets of one Gateway, newest first. They tell nothing of another Gateway's.
    pub fn of_gateway(&self, gateway: &str) -> Vec<TicketSecret> {
        self.0.iter().filter_map(|root| root.derive(&[b"gateway ", gateway.as_bytes()])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_seals_for_six_hours_and_opens_for_a_day() {
        let mut roots = TicketRoots::new(1000).unwrap();
        let first = roots.of_gateway("a/b");
        assert_eq!((first.len(), first[0].made), (1, 1000));
        assert!(!roots.turn(1000 + SEALS - 1));
        assert!(roots.turn(1000 + SEALS));
        let both = roots.of_gateway("a/b");
        assert_eq!((both.len(), both[0].made, &both[1]), (2, 1000 + SEALS, &first[0]));
        assert_ne!(roots.of_gateway("a/c")[1].bytes, first[0].bytes);
        for turn in 2..9 {
            assert!(roots.turn(1000 + turn * SEALS));
        }
        let made: Vec<_> = roots.of_gateway("a/b").iter().map(|secret| secret.made).collect();
        assert_eq!(made, [8, 7, 6, 5].map(|turn| 1000 + turn * SEALS));
    }

    /// A process that slept for days has nothing left and goes on.
    #[test]
    fn roots_that_are_all_too_old_are_replaced() {
        let mut roots = TicketRoots::new(0).unwrap();
        assert!(roots.turn(10 * OPENS));
        assert_eq!(roots.of_gateway("a/b").len(), 1);
        assert_eq!(roots.next_turn(), 10 * OPENS + SEALS);
    }
}
