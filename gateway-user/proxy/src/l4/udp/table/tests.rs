use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::super::model::{Model, Step, address, key};
use super::*;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8, 0..3_u8, 0..3_u8).prop_map(|(client, port, group)| Step::Client { client, port, group }),
        4 => any::<u8>().prop_map(Step::Backend),
        1 => any::<u8>().prop_map(Step::End),
        1 => (0..6_u8).prop_map(Step::Wait),
        1 => (0..4_u8).prop_map(Step::HandOver),
    ]
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

/// However many listeners it has.
#[test]
fn a_tenant_gets_its_part_of_what_another_has() {
    let mut table = FlowTable::new(FlowLimits { flows: 8, per_client: 100 });
    let now = Instant::now();
    let mut begin = |client: u8, group: u8| {
        let left = table.make_room(&group, address(client), now).ok()?;
        let id = table.insert(key(client, 1, group), group, address(client), now, ());
        table.backend_sent(id, now);
        table.client_sent(id, now);
        Some(left.map(|left| left.key.socket))
    };
    // Groups 0 and 1 are one tenant's, 2 is another's.
    (0..8).for_each(|client| assert_eq!(begin(client, client % 2), Some(None)));
    let gone: Vec<_> = (8..12).map(|client| begin(client, 2)).collect();
    assert!(gone.iter().all(|gone| gone.is_some_and(|gone| gone < Some(2))), "{gone:?}");
    assert_eq!(gone.iter().filter(|gone| **gone == Some(Some(0))).count(), 2, "of both: {gone:?}");
    assert_eq!(begin(12, 2), None, "each has half");
    assert_eq!(begin(13, 0), None);
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
