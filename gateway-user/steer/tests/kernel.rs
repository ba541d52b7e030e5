//! Kernel steering, on the real kernel, each test in a network namespace of its own.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Workers, ask, ask_times, one_each, open, options, plan, refused, response};
use gateway_steer::{SteerOptions, Steering, SteeringMode, Verdict};
use gateway_testkit::{netns, wait};

#[test]
fn both_families_are_steered_with_nothing_listening_on_the_port() {
    netns::run("families", |inside| {
        let mut steering = open(inside, 2);
        let workers = Workers::start(one_each(&mut steering));
        refused("127.0.0.1:80");
        steering.apply(&plan(&["*:80"])).unwrap();
        for address in ["127.0.0.1:80", "127.0.0.2:80", "[::1]:80"] {
            for _ in 0..20 {
                assert_eq!(
                    ask(address).unwrap().1,
                    address.parse().unwrap(),
                    "local address as accept sees it"
                );
            }
        }
        for file in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
            let sockets = fs::read_to_string(file).unwrap();
            let listens = |line: &&str| line.contains(":0050 ") && line.contains(" 0A ");
            assert_eq!(sockets.lines().find(listens), None, "a socket listens on port 80");
        }
        let counters = steering.counters().unwrap();
        assert_eq!(counters.get(Verdict::Steered), 60);
        assert_eq!(counters.get(Verdict::Picked), 60);
        assert_eq!(counters.get(Verdict::NotOurs), 1, "the one before the bind was there");
        assert_eq!(workers.accepted().iter().sum::<u64>(), 60);
    });
}

#[test]
fn a_particular_address_is_served_alone_or_beside_every_address() {
    netns::run("exact", |inside| {
        let mut steering = open(inside, 1);
        let _workers = Workers::start(one_each(&mut steering));
        steering.apply(&plan(&["127.0.0.2:80", "[::1]:81"])).unwrap();
        assert!(ask("127.0.0.2:80").is_ok() && ask("[::1]:81").is_ok());
        for other in ["127.0.0.1:80", "[::1]:80", "127.0.0.1:81"] {
            refused(other);
        }
        // The particular address goes, every address stays: no gap.
        steering.apply(&plan(&["127.0.0.2:80", "*:80"])).unwrap();
        steering.apply(&plan(&["*:80"])).unwrap();
        assert!(ask("127.0.0.2:80").is_ok() && ask("[::1]:80").is_ok());
        refused("[::1]:81");
    });
}

#[test]
fn a_broken_exact_entry_shadows_every_address_and_is_counted() {
    netns::run("broken", |inside| {
        let mut steering = open(inside, 1);
        let _workers = Workers::start(one_each(&mut steering));
        steering.apply(&plan(&["127.0.0.2:80", "*:80"])).unwrap();
        let pin = inside.bpffs().join("sluice/v3/test/BINDS");
        let data = aya::maps::MapData::from_pin(pin).unwrap();
        let mut binds: aya::maps::HashMap<_, [u8; 20], u32> =
            aya::maps::Map::HashMap(data).try_into().unwrap();
        let exact = binds.keys().map(Result::unwrap).find(|key| key[12..16] == [127, 0, 0, 2]).unwrap();
        binds.insert(exact, 77, 0).unwrap();
        refused("127.0.0.2:80");
        assert!(ask("127.0.0.1:80").is_ok());
        assert_eq!(steering.counters().unwrap().get(Verdict::Broken), 1);
    });
}

#[test]
fn of_two_gateways_with_one_port_the_first_serves_it() {
    netns::run("two", |inside| {
        let mut first = open(inside, 1);
        let named = SteerOptions { instance: "second".into(), ..options(inside, 2) };
        let mut second = Steering::open(SteeringMode::Ebpf, named).unwrap();
        let workers = Workers::start(one_each(&mut first));
        let others = Workers::start(one_each(&mut second));
        first.apply(&plan(&["*:80"])).unwrap();
        second.apply(&plan(&["*:80", "*:81"])).unwrap();
        ask_times(10, "127.0.0.1:80");
        ask_times(10, "127.0.0.1:81");
        assert_eq!(workers.accepted(), [10]);
        assert_eq!(others.accepted().iter().sum::<u64>(), 10);
        let counters = second.counters().unwrap();
        assert_eq!((counters.get(Verdict::Taken), counters.get(Verdict::Broken)), (10, 0));
        drop(first);
        ask_times(10, "127.0.0.1:80");
        assert_eq!(workers.accepted(), [10], "the second takes over where the first left");
    });
}

#[test]
fn binds_come_and_go_under_traffic_to_another_without_a_failure() {
    netns::run("churn", |inside| {
        let mut steering = open(inside, 2);
        let _workers = Workers::start(one_each(&mut steering));
        steering.apply(&plan(&["*:80"])).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let client = thread::spawn({
            let done = Arc::clone(&done);
            move || {
                let mut asked = 0;
                while !done.load(Ordering::Relaxed) || asked < 100 {
                    ask("127.0.0.1:80").unwrap();
                    asked += 1;
                }
                asked
            }
        });
        for round in 0..50 {
            let other = format!("*:{}", 9000 + round);
            let applied = steering.apply(&plan(&["*:80", &other])).unwrap();
            assert_eq!(applied.added.len(), 1);
            ask(&format!("127.0.0.1:{}", 9000 + round)).unwrap();
            let applied = steering.apply(&plan(&["*:80"])).unwrap();
            assert_eq!(applied.removed.len(), 1);
            refused(&format!("127.0.0.1:{}", 9000 + round));
        }
        done.store(true, Ordering::Relaxed);
        let asked: u64 = client.join().unwrap();
        assert_eq!(steering.counters().unwrap().get(Verdict::Steered), asked + 50);
    });
}

#[test]
fn what_is_queued_when_a_bind_goes_is_served() {
    netns::run("queued", |inside| {
        let mut steering = open(inside, 1);
        steering.apply(&plan(&["*:80"])).unwrap();
        let queued: Vec<_> = (0..20).map(|_| TcpStream::connect("127.0.0.1:80").unwrap()).collect();
        steering.apply(&plan(&[])).unwrap();
        refused("127.0.0.1:80");
        let _workers = Workers::start(one_each(&mut steering));
        for stream in queued {
            assert_eq!(response(stream).unwrap().1.port(), 80);
        }
    });
}

#[test]
fn the_less_loaded_worker_gets_the_connection() {
    netns::run("gauge", |inside| {
        let mut steering = open(inside, 2);
        let (busy, idle) = (steering.gauge(0).unwrap(), steering.gauge(1).unwrap());
        assert!(steering.gauge(2).is_err());
        let workers = Workers::start(one_each(&mut steering));
        steering.apply(&plan(&["*:80"])).unwrap();
        busy.set(1000);
        ask_times(50, "127.0.0.1:80");
        assert_eq!(workers.accepted(), [0, 50]);
        idle.set(2000);
        ask_times(50, "[::1]:80");
        assert_eq!(workers.accepted(), [50, 50]);
        // Nobody says anything: what the program gave away since counts, and keeps the burst even.
        busy.set(0);
        idle.set(0);
        ask_times(100, "127.0.0.1:80");
        assert_eq!(workers.accepted(), [100, 100]);
        drop(busy);
        ask_times(10, "127.0.0.1:80");
        assert_eq!(workers.accepted(), [100, 110], "a dropped gauge takes its worker out of the choice");
    });
}

#[test]
fn an_empty_slot_is_passed_over_and_can_be_refilled() {
    netns::run("empty", |inside| {
        let mut steering = open(inside, 3);
        let mut sockets = one_each(&mut steering);
        sockets[0].clear(); // sk_lookup must not depend on the first slot
        steering.apply(&plan(&["*:80"])).unwrap();
        let gauge = steering.gauge(1).unwrap();
        gauge.set(5);
        steering.gauge(2).unwrap().set(5);
        let workers = Workers::start(sockets);
        for _ in 0..60 {
            assert_ne!(ask("127.0.0.1:80").unwrap().0, 0);
        }
        let counters = steering.counters().unwrap();
        assert!(counters.get(Verdict::PickedOther) > 0, "slot 0 looked idle, so it was chosen at times");
        assert_eq!(counters.get(Verdict::Picked) + counters.get(Verdict::PickedOther), 60);
        drop(workers);
        refused("127.0.0.1:80");
        assert!(steering.counters().unwrap().get(Verdict::NoWorker) > 0);

        let again = steering.refill(2).unwrap().remove(0);
        let _workers = Workers::start(vec![vec![], vec![], vec![again]]);
        assert_eq!(ask("[::1]:80").unwrap().0, 2);
        assert!(steering.refill(3).is_err());
    });
}

#[test]
fn connections_not_yet_accepted_move_when_their_socket_closes() {
    netns::run("migrate", |inside| {
        let mut steering = open(inside, 2);
        let mut sockets = one_each(&mut steering);
        steering.apply(&plan(&["*:80"])).unwrap();
        let clients: Vec<_> = (0..100)
            .map(|n| TcpStream::connect(if n % 2 == 0 { "127.0.0.1:80" } else { "[::1]:80" }).unwrap())
            .collect();
        sockets[0].clear();
        let moved = wait::until("half of them to move", || {
            let moved = steering.counters().unwrap().get(Verdict::Migrated);
            (moved == 50).then_some(moved)
        });
        assert_eq!(migrated(), moved, "the kernel agrees (TcpExtTCPMigrateReqSuccess)");
        let workers = Workers::start(sockets);
        for client in clients {
            assert_eq!(response(client).unwrap().0, 1);
        }
        assert_eq!(workers.accepted(), [0, 100]);
        assert_eq!(steering.counters().unwrap().get(Verdict::MigrateFailed), 0);
    });
}

/// `TCPMigrateReqSuccess` of this network namespace.
fn migrated() -> u64 {
    let netstat = fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut pairs = names.split(' ').zip(values.split(' '));
    pairs.find(|(name, _)| *name == "TCPMigrateReqSuccess").unwrap().1.parse().unwrap()
}
