//! One client that wants every connection.

use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

use gateway_testkit::http::Client;
use gateway_testkit::wait;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use std::os::fd::AsRawFd;

use crate::client;
use crate::common::{HTTP, metric, metrics, with_gateway_flags};

/// A client of that loopback address.
fn client_of(address: [u8; 4]) -> Client {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::from(address), 0))).unwrap();
    let to: SocketAddrV4 = HTTP.parse().unwrap();
    connect(socket.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    Client::from(TcpStream::from(socket))
}

#[track_caller]
fn is_refused(mut client: Client) {
    let response = client.response().unwrap();
    assert_eq!((response.status, response.reason()), (503, Some("overload_client")));
    assert!(client.at_end().unwrap());
}

#[test]
fn a_client_network_has_its_part_and_others_are_served() {
    let flags = &["--workers", "1", "--max-connections-per-client", "3", "--client-prefix-ipv4", "31"];
    with_gateway_flags("clients", flags, |_, _| {
        // 127.0.0.2 and 127.0.0.3 are one network of 31 bits.
        let mut inside = [2, 3, 2].map(|last| client_of([127, 0, 0, last]));
        for client in &mut inside {
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200);
        }
        is_refused(client_of([127, 0, 0, 3]));
        assert_eq!(client_of([127, 0, 0, 4]).get("a", "/httpbin/get").unwrap().status, 200);
        assert_eq!(metric("sluice_client_refused_total", &[]), 1.0, "{}", metrics());
        assert_eq!(metric("sluice_overloaded_total", &[]), 0.0, "{}", metrics());
        drop(inside);
        wait::until("a place", || {
            let response = client_of([127, 0, 0, 2]).get("a", "/httpbin/get");
            response.ok().filter(|response| response.status == 200)
        });
    });
}

#[test]
fn behind_a_load_balancer_clients_count_as_who_they_are() {
    let flags = &[
        "--workers",
        "1",
        "--max-connections-per-client",
        "2",
        "--proxy-protocol",
        "127.0.0.1",
        "--trusted-proxies",
        "127.0.0.9",
    ];
    with_gateway_flags("announced", flags, |_, _| {
        let announce = |host: u8| {
            let mut client = client();
            client.send(format!("PROXY TCP4 192.0.2.{host} 127.0.0.1 1000 8080\r\n")).unwrap();
            client
        };
        let mut inside: Vec<Client> = [7, 7, 8, 8].map(announce).into();
        for client in &mut inside {
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200);
        }
        is_refused(announce(7));
        // Nor is a proxy that speaks for many by fields counted as one client.
        let mut proxied: Vec<Client> = (0..5).map(|_| client_of([127, 0, 0, 9])).collect();
        for client in &mut proxied {
            assert_eq!(client.get("a", "/httpbin/get").unwrap().status, 200);
        }
    });
}
