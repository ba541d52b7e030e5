use std::net::UdpSocket;
use std::time::Duration;

use crate::{Driver, RuntimeOptions, run, sleep};

use super::*;

fn pair() -> (UdpSocket, UdpSocket) {
    let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let (one, other) = (socket(), socket());
    prepare_datagrams(&other).unwrap();
    (one, other)
}

/// Receives until so many datagrams have come; loopback delivers before send(2) returns.
fn received(batch: &mut Batch, socket: &UdpSocket) -> Vec<(u64, u64)> {
    let count = batch.receive(socket).unwrap();
    (0..count).map(|index| batch.extent(index)).collect()
}

#[test]
fn datagrams_keep_their_bounds_and_their_senders() {
    let (client, gateway) = pair();
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = gateway.local_addr().unwrap();
    let long = vec![7; 60_000];
    for data in [&b"one"[..], b"", &long] {
        client.send_to(data, to).unwrap();
    }
    let mut batch = Batch::default();
    assert_eq!(received(&mut batch, &gateway), [(1, 3), (1, 0), (1, 60_000)]);
    assert_eq!(batch.sender(0), client.local_addr().ok());
    let upstream = connected(target.local_addr().unwrap()).unwrap();
    let sent = batch.send(0..3, &upstream, None);
    assert!((sent.datagrams, sent.bytes, sent.lost) == (3, 60_003, 0) && sent.error.is_none(), "{sent:?}");
    let mut room = vec![0; 65_536];
    for data in [&b"one"[..], b"", &long] {
        let (length, from) = target.recv_from(&mut room).unwrap();
        assert_eq!(&room[..length], data);
        assert_eq!(Some(from), upstream.local_addr().ok());
    }
    let sent = batch.send(0..1, &gateway, Some(client.local_addr().unwrap()));
    assert_eq!(sent.datagrams, 1);
    let (_, from) = client.recv_from(&mut room).unwrap();
    assert_eq!(from, to, "from where the client sent to");
}

/// A run of datagrams comes to the other side one by one, also where the kernel joined it on its way.
#[test]
fn runs_of_datagrams_are_cut_again() {
    let (_, gateway) = pair();
    let client = connected(gateway.local_addr().unwrap()).unwrap();
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    let upstream = connected(target.local_addr().unwrap()).unwrap();
    setsockopt(&client, nix::sys::socket::sockopt::UdpGsoSegment, &1000).unwrap();
    client.send(&[9; 4_500]).unwrap();
    let mut batch = Batch::default();
    let came = received(&mut batch, &gateway);
    assert_eq!(came.iter().map(|(datagrams, _)| datagrams).sum::<u64>(), 5, "{came:?}");
    let sent = batch.send(0..came.len(), &upstream, None);
    assert_eq!((sent.datagrams, sent.bytes, sent.lost), (5, 4_500, 0));
    let mut room = vec![0; 65_536];
    let lengths: Vec<usize> = (0..5).map(|_| target.recv(&mut room).unwrap()).collect();
    assert_eq!(lengths, [1000, 1000, 1000, 1000, 500]);
}

#[test]
fn a_refusal_is_told_to_the_connected_socket() {
    let (client, gateway) = pair();
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let upstream = connected(gone.local_addr().unwrap()).unwrap();
    drop(gone);
    client.send_to(b"x", gateway.local_addr().unwrap()).unwrap();
    let mut batch = Batch::default();
    batch.receive(&gateway).unwrap();
    assert_eq!(batch.send(0..1, &upstream, None).lost, 0);
    let refused = Batch::default().receive(&upstream).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_socket_that_stops_receiving_sends_on_and_leaves_new_datagrams_to_others() {
    let group = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket
    };
    let (old, new) = (group(), group());
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    old.bind(&any.into()).unwrap();
    let address = old.local_addr().unwrap();
    new.bind(&address).unwrap();
    let (old, new): (UdpSocket, UdpSocket) = (old.into(), new.into());
    stop_receiving(&old).unwrap();
    prepare_datagrams(&old).unwrap();
    let mut room = [0; 8];
    for _ in 0..32 {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"new", new.local_addr().unwrap()).unwrap();
        let (_, from) = new.recv_from(&mut room).unwrap();
        old.send_to(b"reply", from).unwrap();
        let (_, from) = client.recv_from(&mut room).unwrap();
        assert_eq!(Some(from), address.as_socket());
    }
    assert_eq!(old.recv(&mut room).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_socket_has_one_number_and_leaves_a_set_though_it_stays_open() {
    let body = || async {
        let (client, gateway) = pair();
        let copy = gateway.try_clone().unwrap();
        let number = socket_cookie(&gateway).unwrap();
        assert_eq!(socket_cookie(&copy).unwrap(), number);
        assert_ne!(socket_cookie(&client).unwrap(), number);
        let mut set = ReadySet::new().unwrap();
        set.interest().add(&gateway, 7).unwrap();
        client.send_to(b"x", gateway.local_addr().unwrap()).unwrap();
        let mut found = Vec::new();
        set.interest().remove(&gateway);
        drop(gateway);
        set.look(&mut found).unwrap();
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(Batch::default().receive(&copy).unwrap(), 1);
        set.interest().remove(&copy);
    };
    run(&RuntimeOptions::new(Driver::Epoll), body).unwrap();
}

#[test]
fn a_worker_waits_for_many_sockets_at_once() {
    for driver in [Driver::Epoll, Driver::UringDefer] {
        let body = || async {
            let (client, gateway) = pair();
            let (_, quiet) = pair();
            let to = gateway.local_addr().unwrap();
            let mut set = ReadySet::new().unwrap();
            set.interest().add(&gateway, 7).unwrap();
            set.interest().add(&quiet, 8).unwrap();
            let (mut batch, mut found) = (Batch::default(), Vec::new());
            for _ in 0..3 {
                set.look(&mut found).unwrap();
                assert!(found.is_empty(), "{found:?}");
                let sender = client.try_clone().unwrap();
                crate::spawn(async move {
                    sleep(Duration::from_millis(20)).await;
                    sender.send_to(b"x", to).unwrap();
                });
                set.ready().await.unwrap();
                set.look(&mut found).unwrap();
                assert_eq!(found, [7]);
                assert_eq!(batch.receive(&gateway).unwrap(), 1);
            }
            drop(gateway);
            set.look(&mut found).unwrap();
            assert!(found.is_empty(), "who is closed is gone");
        };
        let options = RuntimeOptions { ring_entries: 256, ..RuntimeOptions::new(driver) };
        match run(&options, body) {
            Ok(()) => {}
            // A kernel without such rings.
            Err(error) => assert!(driver != Driver::Epoll, "{error}"),
        }
    }
}
