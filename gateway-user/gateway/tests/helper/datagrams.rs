//! UDP port 53 under a process that holds nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use gateway_testkit::wait;

use crate::common::Running;
use crate::udp;

/// Datagrams and connections to port 53 are served.
pub(crate) fn are_served(running: &Running) {
    udp::start_servers();
    running.config.write("udp.yaml", &udp::resources("team2")).unwrap();
    let to: SocketAddr = ([127, 0, 0, 1], 53).into();
    let client = udp::client(to);
    wait::until("the UDP listener", || udp::ask(&client, b"x").ok());
    assert_eq!(udp::ask(&client, b"again").unwrap(), b"again");
    udp::digs();
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(b"over TCP").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"over TCP");
}
