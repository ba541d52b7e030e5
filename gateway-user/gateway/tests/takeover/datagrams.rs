//! Datagrams over hot restarts: those on their way are served by the process that leaves, all others by the next one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use gateway_testkit::wait;

use crate::line::{ended_well, with_line};
use crate::udp;

fn are_all_answered(label: &str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        udp::start_servers();
        line.running.config.write("udp.yaml", &udp::resources("team2")).unwrap();
        let to: SocketAddr = ([127, 0, 0, 1], 53).into();
        let first = udp::client(to);
        wait::until("the listener", || udp::ask(&first, b"x").ok());
        let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let asking = |_| {
            let (done, count) = (Arc::clone(&done), Arc::clone(&count));
            thread::spawn(move || {
                let client = udp::client(to);
                while !done.load(Ordering::Relaxed) {
                    let number = count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                    // Some by one flow after the other, as resolvers ask.
                    let other = udp::client(to);
                    assert_eq!(udp::ask(&other, &number).expect("a response to a new flow"), number);
                    assert_eq!(udp::ask(&client, &number).expect("a response"), number);
                }
            })
        };
        let clients: Vec<_> = (0..4).map(asking).collect();
        let more = || {
            let before = count.load(Ordering::Relaxed);
            wait::until("more of them", || (count.load(Ordering::Relaxed) > before + 200).then_some(()));
        };
        for _ in 0..3 {
            more();
            let old = line.begin_upgrade(flags);
            more();
            ended_well(old);
        }
        done.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn of_sockets_beside_kernel_programs() {
    are_all_answered("take-udp-e", &["--steering", "ebpf", "--io", "uring", "--ring-entries", "256"]);
}

#[test]
fn of_sockets_alone() {
    are_all_answered("take-udp-r", &["--steering", "reuseport", "--io", "epoll"]);
}
