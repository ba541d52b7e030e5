//! DroppedCapabilities the right to use BPF, or without wanting it.
#![allow(missing_docs)]

mod common;

use std::net::TcpStream;

use caps::{CapSet, Capability};
use common::{Workers, ask, ask_times, options, plan, refused};
use gateway_steer::{
    Counters, RejectionReason, SteerError, SteerOptions, SteerPlan, Steering, SteeringMode, SteeringPath,
};
use gateway_testkit::netns::{self, Inside};

/// Rights that the calling thread alone goes without until this is dropped; unmounting at the end
/// needs them back.
struct DroppedCapabilities(&'static [Capability]);

fn without(rights: &'static [Capability]) -> DroppedCapabilities {
    for right in rights {
        caps::drop(None, CapSet::Effective, *right).unwrap();
    }
    DroppedCapabilities(rights)
}

impl Drop for DroppedCapabilities {
    fn drop(&mut self) {
        for right in self.0 {
            caps::raise(None, CapSet::Effective, *right).unwrap();
        }
    }
}

fn reuseport(inside: &Inside, workers: usize) -> Steering {
    Steering::open(SteeringMode::ReusePort, options(inside, workers)).unwrap()
}

/// The publisher's steps for a plan, all at once.
fn publish(steering: &mut Steering, plan: &SteerPlan) -> Workers {
    assert_eq!(steering.check(plan), []);
    let prepared = steering.prepare(plan);
    assert_eq!(prepared.refused, []);
    steering.apply(plan).unwrap();
    Workers::start(prepared.listeners)
}

#[test]
fn auto_falls_back_and_says_why_while_ebpf_refuses() {
    netns::run("no-bpf", |inside| {
        // Kernel features are probed once in a process, and must not be by this thread without rights.
        drop(Steering::open(SteeringMode::Ebpf, options(inside, 1)).unwrap());
        let _without = without(&[Capability::CAP_BPF, Capability::CAP_SYS_ADMIN]);
        let error = Steering::open(SteeringMode::Ebpf, options(inside, 2)).unwrap_err();
        assert!(matches!(error, SteerError::Unavailable { .. }));
        assert!(error.to_string().contains("CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"), "{error}");

        let mut steering = Steering::open(SteeringMode::Auto, options(inside, 2)).unwrap();
        assert!(steering.path().to_string().contains("CAP_BPF"), "{}", steering.path());
        assert_eq!((steering.path().name(), steering.path().unprivileged_offset()), ("reuseport", None));
        assert!(steering.worker_listeners().is_empty());
        let _workers = publish(&mut steering, &plan(&["*:80"]));
        assert!(ask("127.0.0.1:80").is_ok() && ask("[::1]:80").is_ok());
        assert!(!inside.bpffs().join("sluice").exists(), "nothing is left of the attempt");
    });
}

#[test]
fn sockets_serve_binds_on_every_worker() {
    netns::run("reuseport", |inside| {
        let mut steering = reuseport(inside, 2);
        let workers = publish(&mut steering, &plan(&["*:80", "127.0.0.2:80", "[::1]:81"]));
        ask_times(200, "127.0.0.1:80");
        assert!(workers.accepted().iter().all(|n| *n > 0), "the kernel's hash uses both");
        for address in ["127.0.0.2:80", "[::1]:80", "[::1]:81"] {
            assert_eq!(ask(address).unwrap().1, address.parse().unwrap());
        }
        refused("127.0.0.1:81");
        steering.gauge(0).unwrap().set(3); // nobody reads it, and workers need not know
        assert_eq!(steering.counters().unwrap(), Counters::default());
    });
}

/// Sockets of the only worker, and connections that wait in them.
#[test]
fn a_queue_outlives_its_worker_unless_its_bind_goes() {
    netns::run("reuseport-refill", |inside| {
        let mut steering = reuseport(inside, 1);
        let both = plan(&["*:80", "*:81"]);
        drop(steering.prepare(&both).listeners);
        steering.apply(&both).unwrap();
        let waiting = TcpStream::connect("127.0.0.1:80").unwrap();
        let again = steering.refill(0).unwrap();
        assert_eq!(again.len(), 2);
        let (accepted, peer) =
            again.iter().find(|s| s.local_addr().unwrap().port() == 80).unwrap().accept().unwrap();
        assert_eq!(peer.port(), waiting.local_addr().unwrap().port());
        drop((accepted, again));
        // The workers are told to close what they have: then nothing may be left open.
        let next = plan(&["*:80"]);
        assert_eq!(steering.retiring(&next).len(), 1);
        refused("127.0.0.1:81");
        assert_eq!(steering.apply(&next).unwrap().removed.len(), 1);
        // Given up before it was live: nobody accepts there.
        drop(steering.prepare(&both).listeners);
        steering.abandon();
        refused("127.0.0.1:81");
        steering.release();
        refused("127.0.0.1:80");
        assert!(steering.refill(1).is_err(), "there is one worker");
    });
}

#[test]
fn only_new_binds_get_sockets_and_gone_ones_are_named() {
    netns::run("reuseport-diff", |inside| {
        let mut steering = reuseport(inside, 2);
        let _workers = publish(&mut steering, &plan(&["*:80", "127.0.0.1:81"]));
        let next = plan(&["*:80", "*:82"]);
        assert_eq!(steering.check(&next), [], "our own socket on port 80 is not foreign");
        let prepared = steering.prepare(&next);
        assert_eq!(prepared.listeners.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(steering.retiring(&next), ["127.0.0.1:81".parse().unwrap()]);
        // An abort drops the sockets; the same plan can be prepared again.
        drop(prepared);
        let prepared = steering.prepare(&next);
        let applied = steering.apply(&next).unwrap();
        assert_eq!(
            (applied.added, applied.removed),
            (
                plan(&["*:82"]).binds.into_iter().collect(),
                plan(&["127.0.0.1:81"]).binds.into_iter().collect()
            )
        );
        assert_eq!(steering.retiring(&next), []);
        let _more = Workers::start(prepared.listeners);
        assert!(ask("127.0.0.1:82").is_ok());
    });
}

#[test]
fn privileged_ports_move_up_where_the_right_is_missing() {
    netns::run("offset", |inside| {
        let _without = without(&[Capability::CAP_NET_BIND_SERVICE]);
        let mut steering = reuseport(inside, 1);
        assert_eq!(steering.path().unprivileged_offset(), Some(8000));
        assert!(steering.path().to_string().contains("8000 higher"), "{}", steering.path());
        let clash = steering.check(&plan(&["*:80", "*:8080"]));
        assert_eq!(
            clash.iter().map(|r| (r.bind.port, r.reason)).collect::<Vec<_>>(),
            [(80, RejectionReason::OffsetClash)]
        );
        let workers = publish(&mut steering, &plan(&["*:80", "*:9000"]));
        assert_eq!(ask("127.0.0.1:8080").unwrap().1.port(), 8080);
        assert!(ask("127.0.0.1:9000").is_ok());
        refused("127.0.0.1:80");
        drop(workers);

        let options = SteerOptions { unprivileged_offset: None, ..options(inside, 1) };
        let steering = Steering::open(SteeringMode::ReusePort, options).unwrap();
        let rejections = steering.check(&plan(&["*:80"]));
        assert_eq!(rejections.len(), 1);
        assert!(rejections[0].message.contains("CAP_NET_BIND_SERVICE"), "{}", rejections[0].message);
    });
}

#[test]
fn a_port_of_a_bind_lost_to_a_race_is_refused_alone() {
    netns::run("race", |inside| {
        let mut steering = reuseport(inside, 2);
        let next = plan(&["*:80", "*:81"]);
        assert_eq!(steering.check(&next), []);
        let _thief = std::net::TcpListener::bind("127.0.0.1:80").unwrap();
        let prepared = steering.prepare(&next);
        assert_eq!(
            prepared.refused.iter().map(|r| (r.bind.port, r.reason)).collect::<Vec<_>>(),
            [(80, RejectionReason::InUse)]
        );
        assert_eq!(prepared.listeners.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
        let applied = steering.apply(&next).unwrap();
        assert_eq!(applied.added, plan(&["*:81"]).binds.into_iter().collect::<Vec<_>>());
    });
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    for (options, name) in [
        (SteerOptions::new(0, "a"), "workers"),
        (SteerOptions::new(257, "a"), "workers"),
        (SteerOptions::new(1, ""), "instance"),
        (SteerOptions::new(1, "a/../b"), "instance"),
        (SteerOptions::new(1, "a.b"), "instance"),
    ] {
        let error = Steering::open(SteeringMode::ReusePort, options).unwrap_err();
        assert!(matches!(error, SteerError::Option { option, .. } if option == name), "{error}");
    }
}

#[test]
fn the_road_asked_for_is_the_road_taken() {
    netns::run("backend", |inside| {
        let steering = reuseport(inside, 1);
        assert!(matches!(steering.path(), SteeringPath::ReusePort { reason, .. } if reason == "asked for"));
        let steering = Steering::open(SteeringMode::Auto, options(inside, 1)).unwrap();
        assert!(matches!(steering.path(), SteeringPath::Ebpf { .. }), "{}", steering.path());
    });
}
