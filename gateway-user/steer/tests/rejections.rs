//! Ports that must not be taken from whoever has them.
#![allow(missing_docs)]

mod common;

use std::net::TcpListener;

use common::{Workers, ask, one_each, open, options, plan};
use gateway_steer::{RejectionReason, SteerOptions, Steering, SteeringMode};
use gateway_testkit::netns;

#[test]
fn foreign_listeners_keep_their_ports_on_either_road() {
    netns::run("foreign", |inside| {
        let _one = TcpListener::bind("127.0.0.1:8081").unwrap();
        let _every = TcpListener::bind("[::]:8082").unwrap();
        for mode in [SteeringMode::Ebpf, SteeringMode::ReusePort] {
            let mut steering = Steering::open(mode, options(inside, 2)).unwrap();
            let _sockets = steering.worker_listeners();
            let rejections = steering.check(&plan(&["*:8081", "127.0.0.2:8081", "127.0.0.1:8082", "*:8083"]));
            let refused: Vec<_> = rejections.iter().map(|r| (r.bind.to_string(), r.reason)).collect();
            assert_eq!(
                refused,
                [
                    ("*:8081".to_owned(), RejectionReason::InUse),
                    ("127.0.0.1:8082".to_owned(), RejectionReason::InUse)
                ],
                "{mode:?}"
            );
            assert!(rejections[0].message.contains("listens on 127.0.0.1:8081"), "{}", rejections[0].message);
            assert!(rejections[0].message.contains("this process itself"), "{}", rejections[0].message);
        }
    });
}

#[test]
fn a_later_listener_does_not_take_a_steered_port() {
    netns::run("later", |inside| {
        // Without placeholders, which would not let it bind.
        let options = SteerOptions { placeholders: 0, ..options(inside, 1) };
        let mut steering = Steering::open(SteeringMode::Ebpf, options).unwrap();
        let _workers = Workers::start(one_each(&mut steering));
        let live = plan(&["*:8081", "127.0.0.1:8082"]);
        assert_eq!(steering.check(&live), []);
        steering.apply(&live).unwrap();
        let _later = TcpListener::bind("127.0.0.1:8081").unwrap();
        let _beside = TcpListener::bind("127.0.0.2:8082").unwrap();
        assert_eq!(steering.check(&live), []);
        assert_eq!(ask("127.0.0.1:8081").unwrap().0, 0);
        let wider = steering.check(&plan(&["*:8081", "127.0.0.1:8082", "*:8082"]));
        assert_eq!(wider.iter().map(|r| r.bind.to_string()).collect::<Vec<_>>(), ["*:8082"]);
    });
}

#[test]
fn another_process_is_named() {
    netns::run("named", |inside| {
        let held = TcpListener::bind("127.0.0.1:8081").unwrap();
        // A child that inherits the socket on its standard input, while this process lets go of it.
        let child = std::process::Command::new("sleep")
            .arg("60")
            .stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(held)))
            .spawn()
            .unwrap();
        let child = KillOnDrop(child);
        let rejections = open(inside, 1).check(&plan(&["*:8081"]));
        let expected = format!("sleep (pid {})", child.0.id());
        assert!(rejections[0].message.contains(&expected), "{}", rejections[0].message);
    });
}

/// Kills its child when dropped. The testkit's guard sets standard input, which carries the socket here.
struct KillOnDrop(std::process::Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn reserved_ports_are_the_operators_to_give() {
    netns::run("reserved", |inside| {
        let steering = open(inside, 1);
        let rejections = steering.check(&plan(&["*:22", "127.0.0.1:6443", "*:10250", "*:80"]));
        let ports: Vec<_> = rejections.iter().map(|r| (r.bind.port, r.reason)).collect();
        assert_eq!(
            ports.iter().filter(|(_, reason)| *reason == RejectionReason::Reserved).count(),
            3,
            "{rejections:?}"
        );
        assert!(rejections.iter().all(|r| r.message.contains("--reserved-ports")));
        drop(steering);
        let options = SteerOptions { reserved_ports: [80].into(), ..options(inside, 1) };
        let steering = Steering::open(SteeringMode::Ebpf, options).unwrap();
        let rejections = steering.check(&plan(&["*:22", "*:80"]));
        assert_eq!(rejections.iter().map(|r| r.bind.port).collect::<Vec<_>>(), [80]);
    });
}

#[test]
fn the_workers_own_port_is_not_to_be_had() {
    netns::run("internal", |inside| {
        let steering = open(inside, 1);
        let port = steering.path().internal_port().unwrap();
        let rejections = steering.check(&plan(&[&format!("*:{port}")]));
        assert_eq!(rejections.iter().map(|r| r.reason).collect::<Vec<_>>(), [RejectionReason::InternalPort]);
    });
}
