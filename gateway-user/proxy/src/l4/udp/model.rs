//! A list of flows beside the table: whatever happens, the table holds what the list does, and the right ones give way. For tests
//! of random histories, and for the fuzz target `udp_flows`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::table::{Class, FlowId, FlowKey, FlowLimits, FlowTable, Holder, Left, NoRoom, SILENT_AFTER};

/// A step of a random history.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A datagram of a client's port.
    Client { client: u8, port: u8, group: u8 },
    /// One of the backend of the flow that began so manieth.
    Backend(u8),
    /// The end of that flow.
    End(u8),
    /// Time goes on, and idle flows end.
    Wait(u8),
    /// So many flows are handed over.
    HandOver(u8),
}

/// A flow of the model.
#[derive(Clone, Debug)]
struct Known {
    id: FlowId,
    key: FlowKey,
    group: u8,
    class: Class,
    used: u64,
}

const LIMITS: FlowLimits = FlowLimits { flows: 6, per_client: 3 };
const IDLE: u64 = 10;

/// Two groups of each tenant.
impl Holder for u8 {
    type Tenant = u8;

    fn tenant(&self) -> u8 {
        self / 2
    }
}

pub(super) fn address(client: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, client).into()
}

pub(super) fn key(client: u8, port: u8, group: u8) -> FlowKey {
    FlowKey { client: SocketAddr::new(address(client), u16::from(port)), socket: usize::from(group) }
}

/// The history of a table, beside a list of what should be in it.
pub(crate) struct Model {
    table: FlowTable<u8, u64>,
    known: Vec<Known>,
    begun: Instant,
    time: u64,
}

impl Model {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { table: FlowTable::new(LIMITS), known: Vec::new(), begun: Instant::now(), time: 0 }
    }

    fn now(&self) -> Instant {
        self.begun + Duration::from_secs(self.time)
    }

    /// Takes a step; panics where the table is not what it should be.
    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Client { client, port, group } => self.client(client, key(client, port, group), group),
            Step::Backend(number) => {
                let (now, time) = (self.now(), self.time);
                let Some(at) = self.at(number) else { return };
                let one = &mut self.known[at];
                let is_first = one.class == Class::Unreplied;
                one.class = one.class.max(Class::Replied);
                one.used = time;
                assert_eq!(self.table.backend_sent(one.id, now), is_first);
            }
            Step::End(number) => {
                let Some(at) = self.at(number) else { return };
                let one = self.known.remove(at);
                assert_eq!(self.table.remove(one.id).map(|left| left.key), Some(one.key));
                assert_eq!(self.table.remove(one.id), None, "it is gone");
            }
            Step::Wait(time) => {
                self.time += u64::from(time);
                while let Some(left) = self.table.expire(self.now(), Duration::from_secs(IDLE)) {
                    let one = self.forget(&left);
                    assert!(one.used + IDLE <= self.time, "{left:?} is not idle");
                }
                assert!(self.known.iter().all(|one| one.used + IDLE > self.time), "an idle flow stays");
            }
            Step::HandOver(most) => self.hand_over(usize::from(most)),
        }
        assert_eq!(self.table.len(), self.known.len());
        for one in &self.known {
            assert_eq!(self.table.find(&one.key), Some(one.id));
            assert_eq!(FlowId::of_token(one.id.token()), one.id);
        }
    }

    fn hand_over(&mut self, most: usize) {
        let left = self.table.remove_most_certain(most, |_| true);
        assert_eq!(left.len(), most.min(self.known.len()));
        assert!(left.is_sorted_by_key(|left| left.used), "in the order of their use");
        let gone: Vec<Known> = left.iter().map(|left| self.forget(left)).collect();
        let rank = |one: &Known| (one.class, one.used);
        let least = gone.iter().map(rank).min();
        assert!(self.known.iter().all(|one| least.is_none_or(|least| rank(one) <= least)), "{gone:?}");
    }

    fn at(&self, number: u8) -> Option<usize> {
        (!self.known.is_empty()).then(|| usize::from(number) % self.known.len())
    }

    fn forget(&mut self, left: &Left<u64>) -> Known {
        // A test's own judgement, as the assertions are: the table let go of a flow that it never had.
        let at = self.known.iter().position(|one| one.key == left.key).expect("a flow that is known");
        let one = self.known.remove(at);
        assert_eq!(one.class, left.class);
        one
    }

    fn client(&mut self, client: u8, key: FlowKey, group: u8) {
        let now = self.now();
        if let Some(one) = self.known.iter_mut().find(|one| one.key == key) {
            self.table.client_sent(one.id, now);
            if one.class == Class::Replied {
                one.class = Class::Confirmed;
            }
            one.used = self.time;
            return;
        }
        let of_client = |one: &Known| one.key.client.ip() == address(client);
        let before = self.known.clone();
        let holds = before.iter().filter(|one| of_client(one)).count();
        match self.table.make_room(&group, address(client), now) {
            Ok(None) => assert!(holds < LIMITS.per_client && before.len() < LIMITS.flows),
            Ok(Some(left)) => {
                let one = self.forget(&left);
                let rivals: Vec<_> = match holds >= LIMITS.per_client {
                    true => before.iter().filter(|one| of_client(one)).collect(),
                    false => before.iter().filter(|other| other.group == one.group).collect(),
                };
                assert!(holds >= LIMITS.per_client || before.len() >= LIMITS.flows, "there was room");
                let is_less = |other: &&Known| match holds >= LIMITS.per_client {
                    true => one.class < Class::Confirmed || other.class == Class::Confirmed,
                    false => one.class <= other.class,
                };
                assert!(rivals.iter().all(is_less), "{one:?} of {rivals:?}");
                let is_silent = one.used + SILENT_AFTER.as_secs() <= self.time;
                let holder = one.class == Class::Confirmed && one.group == group && !is_silent;
                assert!(!holder, "a client that is there");
                let of_tenant = |of: u8| before.iter().filter(|one| one.group.tenant() == of).count();
                let (theirs, own) = (of_tenant(one.group.tenant()), of_tenant(group.tenant()));
                assert!(
                    holds >= LIMITS.per_client || one.group == group || theirs >= own,
                    "a smaller tenant"
                );
            }
            Err(NoRoom::Client) => {
                assert!(holds >= LIMITS.per_client);
                assert!(before.iter().filter(|one| of_client(one)).all(|one| one.class == Class::Confirmed));
                return;
            }
            Err(NoRoom::Table) => {
                assert!(before.len() >= LIMITS.flows);
                let own = before.iter().filter(|one| one.group == group);
                assert!(own.clone().all(|one| one.class == Class::Confirmed));
                return;
            }
        }
        let id = self.table.insert(key, group, address(client), now, self.time);
        let (class, used) = (Class::Unreplied, self.time);
        self.known.push(Known { id, key, group, class, used });
    }
}
