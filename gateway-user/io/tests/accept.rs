//! Accepting: addresses, dropped accepts, closing without losing what is queued.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    future::Future,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    pin::pin,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use common::{WAIT_TIMEOUT, loopback, on_every_driver, until};
use gateway_io::{Accepted, Chunk, Listener, pause, spawn};

fn respond(accepted: Accepted) {
    spawn(async move {
        let mut stream = accepted.stream;
        let mut hello = Chunk::take();
        hello.extend_from_slice(b"hello").unwrap();
        let _ = stream.send.send_all(hello).await;
    });
}

fn is_served(mut client: &TcpStream) -> bool {
    let mut hello = [0; 5];
    client.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
    client.read_exact(&mut hello).is_ok() && &hello == b"hello"
}

#[test]
fn a_v4_client_of_a_dual_stack_socket_has_v4_addresses() {
    on_every_driver(|_| async {
        let socket = TcpListener::bind("[::]:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let mut listener = Listener::from_std(socket).unwrap();
        // Not the address it is bound to: what the client chose.
        let client = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 9), port)).unwrap();
        let accepted = listener.accept().await.unwrap();
        assert_eq!(accepted.local, SocketAddr::from(([127, 0, 0, 9], port)));
        assert_eq!(accepted.peer, client.local_addr().unwrap());
        assert_eq!(accepted.stream.peer_addr().unwrap(), accepted.peer);
        assert_eq!(accepted.stream.local_addr().unwrap(), accepted.local);
        let client = TcpStream::connect(("::1", port)).unwrap();
        let accepted = listener.accept().await.unwrap();
        assert_eq!(accepted.local, SocketAddr::new("::1".parse().unwrap(), port));
        assert_eq!(accepted.peer, client.local_addr().unwrap());
    });
}

/// With the runtime's own accept on io_uring every one of these rounds leaks a descriptor and
/// hangs its client.
#[test]
fn a_dropped_accept_loses_no_connection() {
    on_every_driver(|_| async {
        let socket = loopback();
        let address = socket.local_addr().unwrap();
        let mut listener = Listener::from_std(socket).unwrap();
        for round in 0..500 {
            let client = {
                let mut accept = pin!(listener.accept());
                assert!(accept.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                if round % 2 == 0 {
                    pause().await;
                }
                let client = TcpStream::connect(address).unwrap();
                if round % 3 == 0 {
                    pause().await;
                }
                client
            };
            let accepted = listener.accept().await.unwrap();
            assert_eq!(accepted.peer, client.local_addr().unwrap());
        }
    });
}

#[test]
fn a_burst_is_accepted_to_the_last_connection() {
    on_every_driver(|_| async {
        let socket = loopback();
        let address = socket.local_addr().unwrap();
        let mut listener = Listener::from_std(socket).unwrap();
        let clients = thread::spawn(move || {
            let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
            clients.iter().filter(|client| is_served(client)).count()
        });
        for _ in 0..100 {
            respond(listener.accept().await.unwrap());
        }
        until("every response", || clients.is_finished()).await;
        assert_eq!(clients.join().unwrap(), 100);
    });
}

/// Every client that was connected when close was called is served; the port refuses afterwards.
#[test]
fn close_gives_back_all_that_is_queued() {
    on_every_driver(|_| async {
        for waiting in [false, true] {
            let socket = loopback();
            let address = socket.local_addr().unwrap();
            let mut listener = Listener::from_std(socket).unwrap();
            if waiting {
                // Its readiness operation is with the kernel.
                let mut accept = pin!(listener.accept());
                assert!(accept.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                pause().await;
            }
            let clients: Vec<_> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
            let queued = listener.close().await;
            assert_eq!(queued.len(), 60);
            queued.into_iter().for_each(respond);
            let served = thread::spawn(move || clients.iter().filter(|client| is_served(client)).count());
            until("every response", || served.is_finished()).await;
            assert_eq!(served.join().unwrap(), 60);
            let error = TcpStream::connect(address).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
    });
}

/// The socket's port is not shared: a second bind fails (the runtime's own bind would set
/// SO_REUSEPORT unasked).
#[test]
fn taking_a_socket_over_does_not_share_its_port() {
    on_every_driver(|_| async {
        let socket = loopback();
        let address = socket.local_addr().unwrap();
        let _listener = Listener::from_std(socket).unwrap();
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn small_answers_are_sent_at_once_and_descriptors_are_not_inherited() {
    on_every_driver(|_| async {
        let socket = loopback();
        let address = socket.local_addr().unwrap();
        let mut listener = Listener::from_std(socket).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        let mut accepted = listener.accept().await.unwrap();
        client.write_all(b"x").unwrap();
        assert_eq!(accepted.stream.recv.recv().await.unwrap().unwrap().as_slice(), b"x");
        let inherited = std::process::Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
        let inherited = String::from_utf8(inherited.stdout).unwrap();
        assert!(!inherited.contains("socket:"), "{inherited}");
        accepted.stream.set_nodelay(true).unwrap();
    });
}

#[test]
fn an_accept_deadline_passes_and_the_listener_goes_on() {
    on_every_driver(|_| async {
        let socket = loopback();
        let address = socket.local_addr().unwrap();
        let mut listener = Listener::from_std(socket).unwrap();
        listener.set_deadline(Some(Duration::from_millis(5)));
        assert_eq!(listener.accept().await.unwrap_err().kind(), ErrorKind::TimedOut);
        let client = TcpStream::connect(address).unwrap();
        respond(listener.accept().await.unwrap());
        let served = thread::spawn(move || is_served(&client));
        until("the response", || served.is_finished()).await;
        assert!(served.join().unwrap());
    });
}
