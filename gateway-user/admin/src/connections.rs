//! The connections of one server, and the one that makes room when there are too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::Limits;
use crate::activity::Activity;
use crate::counters::{ClosedReason, ServerCounters};

/// Milliseconds without a byte taken after which a response may make room for another client.
const STALLED: u64 = 1000;

/// The client of a connection, as far as fairness goes: an IPv4 address, an IPv6 network of 64 bits, or a
/// user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ClientKey {
    Address(IpAddr),
    User(u32),
}

impl ClientKey {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
            v4 => v4,
        })
    }
}

/// A connection, as it is compared when room is needed.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    client: ClientKey,
    responding: bool,
    phase_age: u64,
    stalled_for: u64,
}

#[derive(Debug)]
struct Connection {
    client: ClientKey,
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// All open connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Vec<Connection>,
}

/// The place of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Free,
    /// This connection goes.
    Instead(usize),
    None,
}

impl Connections {
    /// Makes room for a connection of `client`; false if there is none.
    pub(crate) fn make_room(&mut self, client: ClientKey, limit: usize, counters: &ServerCounters) -> bool {
        self.forget_ended();
        let candidate = |connection: &Connection| Candidate {
            client: connection.client,
            responding: connection.activity.is_responding(),
            phase_age: connection.activity.phase_age(),
            stalled_for: connection.activity.stalled_for(),
        };
        let candidates: Vec<_> = self.open.iter().map(candidate).collect();
        match room(&candidates, client, limit) {
            Room::Free => true,
            Room::Instead(at) => {
                counters.count(ClosedReason::Evicted);
                self.open.swap_remove(at).task.abort();
                true
            }
            Room::None => {
                counters.count(ClosedReason::Full);
                false
            }
        }
    }

    pub(crate) fn add(&mut self, client: ClientKey, activity: Arc<Activity>, task: AbortHandle) {
        self.open.push(Connection { client, activity, task });
    }

    /// Ends connections whose time is over.
    pub(crate) fn sweep(&mut self, limits: &Limits, counters: &ServerCounters) {
        self.forget_ended();
        self.open.retain(|connection| {
            let overdue = connection.activity.is_overdue(limits);
            if overdue {
                counters.count(ClosedReason::Timeout);
                connection.task.abort();
            }
            !overdue
        });
        counters.set_connections(self.open.len());
    }

    /// Ends connections that are kept alive between two requests.
    pub(crate) fn end_idle(&mut self) {
        self.forget_ended();
        self.open.retain(|connection| {
            let idle = connection.activity.is_idle();
            if idle {
                connection.task.abort();
            }
            !idle
        });
    }

    fn forget_ended(&mut self) {
        self.open.retain(|connection| !connection.task.is_finished());
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

/// The client with the most connections gives one up, so that a crowd of one client takes no other client's
/// place: first the one that has waited longest for a request, then a stalled response. Between clients with
/// equally many, responses that go on are not cut for a newcomer.
fn room(open: &[Candidate], newcomer: ClientKey, limit: usize) -> Room {
    if open.len() < limit {
        return Room::Free;
    }
    let mut counts = HashMap::from([(newcomer, 1_usize)]);
    for candidate in open {
        *counts.entry(candidate.client).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let heaviest = || {
        let of_heaviest =
            move |(_, candidate): &(usize, &Candidate)| counts.get(&candidate.client) == Some(&most);
        open.iter().enumerate().filter(of_heaviest)
    };
    let own = open.iter().filter(|candidate| candidate.client == newcomer).count() + 1;
    let candidates: Vec<(usize, &Candidate)> = heaviest().collect();
    let waiting = candidates.iter().filter(|(_, candidate)| !candidate.responding);
    if let Some((at, _)) = waiting.max_by_key(|(_, candidate)| candidate.phase_age) {
        return Room::Instead(*at);
    }
    let stalled = candidates.iter().max_by_key(|(_, candidate)| candidate.stalled_for);
    match stalled {
        Some((at, candidate)) if candidate.stalled_for >= STALLED || own < most => Room::Instead(*at),
        _ => Room::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(client: u32, responding: bool, phase_age: u64, stalled_for: u64) -> Candidate {
        Candidate { client: ClientKey::User(client), responding, phase_age, stalled_for }
    }

    #[test]
    fn a_crowd_of_one_client_makes_room_for_others_and_not_the_other_way_round() {
        let crowd: Vec<_> = (0..4).map(|age| candidate(1, true, age, age)).collect();
        assert_eq!(room(&crowd, ClientKey::User(2), 4), Room::Instead(3), "the least recent progress");
        assert_eq!(room(&crowd, ClientKey::User(1), 4), Room::None, "its own responses go on");
        let with_scraper = [&crowd[..3], &[candidate(2, false, 999_999, 999_999)]].concat();
        assert_eq!(
            room(&with_scraper, ClientKey::User(1), 4),
            Room::None,
            "a lone idle client keeps its place"
        );
        assert_eq!(room(&with_scraper, ClientKey::User(3), 4), Room::Instead(2));
        assert_eq!(room(&with_scraper, ClientKey::User(3), 5), Room::Free);
    }

    #[test]
    fn idle_connections_go_before_stalled_ones_and_those_before_none() {
        let mut open = vec![
            candidate(1, true, 9000, 5000),
            candidate(1, false, 10, 10),
            candidate(1, false, 20, 20),
            candidate(1, true, 1, 0),
        ];
        assert_eq!(room(&open, ClientKey::User(1), 4), Room::Instead(2), "the oldest idle one");
        open.truncate(1);
        open.push(candidate(1, true, 1, 0));
        assert_eq!(room(&open, ClientKey::User(1), 2), Room::Instead(0), "a stalled response");
    }

    #[test]
    fn clients_with_one_connection_each_share_by_age() {
        let open = [candidate(1, false, 5, 5), candidate(2, false, 7, 7)];
        assert_eq!(room(&open, ClientKey::User(3), 2), Room::Instead(1));
        let busy = [candidate(1, true, 5, 5), candidate(2, true, 7, 7)];
        assert_eq!(room(&busy, ClientKey::User(3), 2), Room::None);
    }

    #[test]
    fn ipv6_clients_are_counted_by_network() {
        let key = |text: &str| ClientKey::of(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    }
}
