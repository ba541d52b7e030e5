//! Clients and backends that speak UDP, with the words of tests.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;

use gateway_testkit::wait::WAIT_TIMEOUT;

/// A client with a port of its own.
pub(crate) struct Client {
    socket: UdpSocket,
}

impl Client {
    pub(crate) fn of(gateway: SocketAddr) -> Self {
        let any = if gateway.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(gateway).unwrap();
        socket.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
        Self { socket }
    }

    pub(crate) fn send(&self, data: &[u8]) {
        self.socket.send(data).unwrap();
    }

    /// The next datagram; the test fails if none comes.
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut room = vec![0; 65_536];
        let length = self.socket.recv(&mut room).expect("a datagram from the gateway");
        room.truncate(length);
        room
    }

    pub(crate) fn ask(&self, data: &[u8]) -> Vec<u8> {
        self.send(data);
        self.receive()
    }

    /// True if a datagram waits.
    pub(crate) fn has_something(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let found = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false).unwrap();
        found.is_ok()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }
}

/// A server that responds to each datagram by what `respond` makes of it and of its sender, until the test ends.
pub(crate) fn server(
    mut respond: impl FnMut(&[u8], SocketAddr) -> Vec<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut room = vec![0; 65_536];
        while let Ok((length, from)) = receive(&socket, &mut room) {
            for data in respond(&room[..length], from) {
                socket.send_to(&data, from).unwrap();
            }
        }
    });
    address
}

/// A port that refuses says so to the socket that sends, which is no end of the test.
fn receive(socket: &UdpSocket, room: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    loop {
        match socket.recv_from(room) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            done => return done,
        }
    }
}

pub(crate) fn echo() -> SocketAddr {
    server(|data, _| vec![data.to_vec()])
}

/// A server that responds with its name and the sender's port.
pub(crate) fn named(name: &'static str) -> SocketAddr {
    server(move |_, from| vec![format!("{name} {}", from.port()).into_bytes()])
}
