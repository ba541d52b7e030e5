//! Descriptor counts and limits. Each case has a process of its own: others would open and close beside it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    future::Future,
    net::{SocketAddr, TcpListener, TcpStream},
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use common::{child::in_a_process_of_its_own, loopback, on_every_driver, std_pair, until};
use gateway_io::{Listener, Stream, connect, is_out_of_descriptors, pause, sleep, spawn};
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, socket},
};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn two_and_a_half_thousand_streams_closed_in_flight_leave_nothing() {
    in_a_process_of_its_own("two_and_a_half_thousand_streams_closed_in_flight_leave_nothing", || {
        on_every_driver(|_| async {
            pause().await;
            let before = open_descriptors();
            for round in 0..2500 {
                let (ours, peer) = std_pair();
                let mut ours = Stream::from_std(ours).unwrap();
                {
                    let mut wait = pin!(ours.recv.recv());
                    assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                }
                if round % 3 == 0 {
                    pause().await;
                }
                if round % 2 == 0 {
                    drop(peer);
                    drop(ours);
                } else {
                    drop(ours);
                    drop(peer);
                }
            }
            until("all are closed", || open_descriptors() == before).await;
        });
    });
}

/// A listener whose queue is full: further connects wait for a response that never comes.
fn deaf_listener() -> (std::os::fd::OwnedFd, SocketAddr, Vec<TcpStream>) {
    let deaf = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(std::os::fd::AsRawFd::as_raw_fd(&deaf), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    listen(&deaf, Backlog::new(0).unwrap()).unwrap();
    let deaf = TcpListener::from(deaf);
    let address = deaf.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        filling.push(stream);
        assert!(filling.len() < 10, "the queue takes no end of connections");
    }
    (deaf.into(), address, filling)
}

#[test]
fn timed_out_connects_leave_nothing() {
    in_a_process_of_its_own("timed_out_connects_leave_nothing", || {
        on_every_driver(|_| async {
            let (_deaf, address, _filling) = deaf_listener();
            pause().await;
            let before = open_descriptors();
            for _ in 0..5 {
                let (done, mut ended) = gateway_io::mailbox::<std::io::ErrorKind>();
                for _ in 0..100 {
                    let done = done.clone();
                    spawn(async move {
                        let error = connect(address, Duration::from_millis(5)).await.unwrap_err();
                        done.send(error.kind()).unwrap();
                    });
                }
                drop(done);
                let mut count = 0;
                while let Some(kind) = ended.recv().await {
                    assert_eq!(kind, std::io::ErrorKind::TimedOut);
                    count += 1;
                }
                assert_eq!(count, 100);
            }
            until("all are closed", || open_descriptors() == before).await;
        });
    });
}

/// EMFILE is told, the connection stays queued, and it is served once there is room.
#[test]
fn running_out_of_descriptors_loses_no_connection() {
    in_a_process_of_its_own("running_out_of_descriptors_loses_no_connection", || {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 200, hard).unwrap();
        on_every_driver(|_| async {
            let socket = loopback();
            let address = socket.local_addr().unwrap();
            let mut listener = Listener::from_std(socket).unwrap();
            let client = TcpStream::connect(address).unwrap();
            let mut hoard = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                hoard.push(file);
            }
            for _ in 0..3 {
                let error = listener.accept().await.unwrap_err();
                assert!(is_out_of_descriptors(&error), "{error}");
                let error = connect(address, Duration::from_secs(1)).await.unwrap_err();
                assert!(is_out_of_descriptors(&error), "{error}");
                sleep(Duration::from_millis(1)).await;
            }
            hoard.clear();
            assert_eq!(listener.accept().await.unwrap().peer, client.local_addr().unwrap());
        });
    });
}
