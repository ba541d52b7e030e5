//! Ports and networks that the kernel programs never steer, whatever the map of binds holds.
#![allow(missing_docs)]

mod common;

use std::net::TcpListener;

use aya::maps::{Array, HashMap, Map, MapData};
use common::{Workers, ask, one_each, open, options, plan, refused};
use gateway_common::{IPPROTO_TCP, STATE_SERVE, SteerKey};
use gateway_steer::{SteerOptions, Steering, SteeringMode, Verdict};
use gateway_testkit::netns::{self, Inside};

/// Writes an entry by hand, as a defect of ours or somebody with the map's descriptor would.
fn enter(inside: &Inside, key: SteerKey) {
    let data = MapData::from_pin(inside.bpffs().join("sluice/v3/test/BINDS")).unwrap();
    let mut binds: HashMap<_, [u8; 20], u32> = Map::HashMap(data).try_into().unwrap();
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&key.addr_be);
    bytes[16..18].copy_from_slice(&key.port.to_ne_bytes());
    bytes[18] = key.protocol;
    binds.insert(bytes, STATE_SERVE, 0).unwrap();
}

#[test]
fn an_entry_for_a_reserved_port_takes_nothing_from_who_serves_it() {
    netns::run("guard", |inside| {
        let mut steering = open(inside, 1);
        let workers = Workers::start(one_each(&mut steering));
        let sshd = TcpListener::bind("[::]:22").unwrap();
        let _sshd = Workers::start(vec![vec![], vec![sshd]]);
        enter(inside, SteerKey::any(22, IPPROTO_TCP));
        enter(inside, SteerKey::exact([127, 0, 0, 1].into(), 22, IPPROTO_TCP));
        enter(inside, SteerKey::exact([127, 0, 0, 1].into(), 6443, IPPROTO_TCP));
        enter(inside, SteerKey::any(23, IPPROTO_TCP));
        for address in ["127.0.0.1:22", "[::1]:22", "127.0.0.2:22"] {
            assert_eq!(ask(address).unwrap().0, 1, "{address}: its own server responds");
        }
        refused("127.0.0.1:6443");
        assert_eq!(workers.accepted(), [0]);
        assert_eq!(ask("127.0.0.1:23").unwrap().0, 0, "entries by hand work where no port is reserved");
        let counters = steering.counters().unwrap();
        assert_eq!((counters.get(Verdict::Reserved), counters.get(Verdict::Steered)), (4, 1));
    });
}

#[test]
fn addresses_of_the_pool_are_exempt() {
    netns::run("guard-pool", |inside| {
        let pool = vec!["127.0.0.8/30".parse().unwrap(), "2001:db8::/64".parse().unwrap()];
        let options = SteerOptions { pool, ..options(inside, 1) };
        let mut steering = Steering::open(SteeringMode::Ebpf, options).unwrap();
        let _workers = Workers::start(one_each(&mut steering));
        let wanted = plan(&["127.0.0.9:22"]);
        assert_eq!(steering.check(&wanted), []);
        steering.apply(&wanted).unwrap();
        assert!(ask("127.0.0.9:22").is_ok());
        enter(inside, SteerKey::any(22, IPPROTO_TCP));
        assert!(ask("127.0.0.11:22").is_ok(), "the last of the network");
        for other in ["127.0.0.7:22", "127.0.0.12:22", "[::1]:22"] {
            refused(other);
        }
        assert!(steering.counters().unwrap().get(Verdict::Reserved) >= 3);
    });
}

#[test]
fn what_is_reserved_is_frozen() {
    netns::run("guard-frozen", |inside| {
        let _steering = open(inside, 1);
        let program =
            aya::programs::ProgramInfo::from_pin(inside.bpffs().join("sluice/v3/test/sluice_lookup"))
                .unwrap();
        let ids = program.map_ids().unwrap().unwrap();
        let maps = ids.into_iter().map(|id| MapData::from_id(id).unwrap());
        let data =
            maps.filter(|map| map.info().unwrap().name_as_str() == Some(".rodata")).collect::<Vec<_>>();
        assert_eq!(data.len(), 1, "the program reads one map of read-only data");
        let size = data[0].info().unwrap().value_size();
        assert_eq!(size as usize, size_of::<gateway_common::SteerGuard>());
        for data in data {
            let mut array: Array<_, [u8; size_of::<gateway_common::SteerGuard>()]> =
                Map::Array(data).try_into().unwrap();
            let before = array.get(&0, 0).unwrap();
            assert_eq!(before[2] & 0x40, 0x40, "bit 22");
            let error = array.set(0, [0; size_of::<gateway_common::SteerGuard>()], 0).unwrap_err();
            assert!(
                format!("{error:?}").contains("PermissionDenied")
                    || format!("{error:?}").contains("code: 1,"),
                "{error:?}"
            );
            assert_eq!(array.get(&0, 0).unwrap(), before);
        }
    });
}

#[test]
fn more_networks_than_the_program_looks_at_are_an_error() {
    let pool = (0..65).map(|n| format!("10.{n}.0.0/24").parse().unwrap()).collect::<Vec<_>>();
    let mut options = SteerOptions { pool, ..SteerOptions::new(1, "a") };
    let error = Steering::open(SteeringMode::Ebpf, options.clone()).unwrap_err();
    assert!(error.to_string().contains("address-pool"), "{error}");
    // Neighbours count as one.
    options.pool = (0..128).map(|n| format!("10.0.{n}.0/24").parse().unwrap()).collect();
    options.workers = 0;
    let error = Steering::open(SteeringMode::Ebpf, options).unwrap_err();
    assert!(error.to_string().contains("workers"), "{error}");
}
