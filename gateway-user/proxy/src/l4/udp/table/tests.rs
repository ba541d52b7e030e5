use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

/// A step of a random history.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A datagram of a client's port.
    Client { client: u8, port: u8, group: u8 },
    /// One of the backend of the flow that began so manieth.
    Backend(u8),
    /// The end of that flow.
    End(u8),
    /// Time goes on, and idle flows end.
    Wait(u8),
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

fn address(client: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, client).into()
}

fn key(client: u8, port: u8, group: u8) -> FlowKey {
    FlowKey { client: SocketAddr::new(address(client), u16::from(port)), socket: usize::from(group) }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8, 0..3_u8, 0..3_u8).prop_map(|(client, port, group)| Step::Client { client, port, group }),
        4 => any::<u8>().prop_map(Step::Backend),
        1 => any::<u8>().prop_map(Step::End),
        1 => (0..6_u8).prop_map(Step::Wait),
    ]
}

/// The history of a table, beside a list of what should be in it.
struct Model {
    table: FlowTable<u8, u64>,
    known: Vec<Known>,
    begun: Instant,
    time: u64,
}

impl Model {
    fn new() -> Self {
        Self { table: FlowTable::new(LIMITS), known: Vec::new(), begun: Instant::now(), time: 0 }
    }

    fn now(&self) -> Instant {
        self.begun + Duration::from_secs(self.time)
    }

    fn step(&mut self, step: Step) {
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
        }
        assert_eq!(self.table.len(), self.known.len());
        for one in &self.known {
            assert_eq!(self.table.find(&one.key), Some(one.id));
            assert_eq!(FlowId::of_token(one.id.token()), one.id);
        }
    }

    fn at(&self, number: u8) -> Option<usize> {
        (!self.known.is_empty()).then(|| usize::from(number) % self.known.len())
    }

    fn forget(&mut self, left: &Left<u64>) -> Known {
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

proptest! {
    #[test]
    fn a_table_is_what_a_list_of_its_flows_would_be(steps in prop::collection::vec(step(), 1..200)) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
        }
    }
}

/// A table of one group with so many places, and flows whose clients are there.
fn established(flows: usize, count: u8) -> (FlowTable<u8, ()>, Vec<FlowId>) {
    let mut table = FlowTable::new(FlowLimits { flows, per_client: 100 });
    let now = Instant::now();
    let insert = |client: u8| {
        let id = table.insert(key(client, 1, 0), 0, address(client), now, ());
        assert!(table.backend_sent(id, now));
        table.client_sent(id, now);
        id
    };
    let ids = (0..count).map(insert).collect();
    (table, ids)
}

#[test]
fn made_up_sources_cost_clients_that_are_there_nothing() {
    let (mut table, ids) = established(64, 32);
    let now = Instant::now();
    for source in 0..100_000_u32 {
        let ip = IpAddr::from(Ipv4Addr::from(0x0a00_0000 + source));
        let key = FlowKey { client: SocketAddr::new(ip, 7), socket: 0 };
        table.make_room(&0, ip, now).unwrap();
        let id = table.insert(key, 0, ip, now, ());
        // Backends that respond to each of them tell nothing about who is there.
        if source % 2 == 0 {
            table.backend_sent(id, now);
        }
        assert!(table.len() <= 64);
    }
    assert!(ids.iter().all(|id| table.get(*id).is_some()));
}

#[test]
fn a_group_gets_its_part_of_what_another_has() {
    let (mut table, _) = established(8, 8);
    let now = Instant::now();
    let mut begun = 0;
    while let Ok(left) = table.make_room(&1, address(200 + begun), now) {
        assert!(left.is_some_and(|left| left.key.socket == 0));
        table.insert(key(200 + begun, 1, 1), 1, address(200 + begun), now, ());
        begun += 1;
        if begun == 4 {
            break;
        }
    }
    assert_eq!(begun, 4, "half of all places");
    // From then on its own flows, which nobody has confirmed, give way to each other.
    let left = table.make_room(&1, address(250), now).unwrap().unwrap();
    assert_eq!((left.key.socket, left.key.client.ip()), (1, address(200)));
}

#[test]
fn a_place_that_is_used_anew_is_another_flow() {
    let (mut table, ids) = established(4, 1);
    let old = ids[0];
    table.remove(old).unwrap();
    let new = table.insert(key(9, 9, 0), 0, address(9), Instant::now(), ());
    assert_eq!(new.index, old.index);
    assert!(table.get(old).is_none() && table.get(new).is_some() && old.token() != new.token());
}

#[test]
fn the_most_certain_flows_are_removed_first_in_the_order_of_their_use() {
    let mut table = FlowTable::new(FlowLimits { flows: 100, per_client: 100 });
    let begun = Instant::now();
    let at = |second| begun + Duration::from_secs(second);
    let mut begin = |client: u8, class: Class, second| {
        let id = table.insert(key(client, 1, 0), 0, address(client), at(second), client);
        if class > Class::Unreplied {
            table.backend_sent(id, at(second));
        }
        if class > Class::Replied {
            table.client_sent(id, at(second));
        }
    };
    begin(1, Class::Confirmed, 1);
    begin(2, Class::Unreplied, 9);
    begin(3, Class::Confirmed, 3);
    begin(4, Class::Replied, 8);
    begin(5, Class::Confirmed, 2);
    begin(6, Class::Confirmed, 7);
    let mut removed = |most| {
        let left = table.remove_most_certain(most, |client| *client != 6);
        left.into_iter().map(|left| left.flow).collect::<Vec<_>>()
    };
    assert_eq!(removed(2), [5, 3]);
    assert_eq!(removed(2), [1, 4]);
    assert_eq!(removed(9), [2]);
    assert!(removed(9).is_empty(), "it is not meant");
    assert_eq!(table.len(), 1);
}
