//! Datagrams: a socket to the backend for each client, epoll(7), recvmmsg(2) and sendmmsg(2). Flows are never ended.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context as _, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::SockaddrStorage;
use sluice_bench::datagrams::{Batch, To};

/// A client, and the socket for its datagrams.
struct Flow {
    client: SockaddrStorage,
    upstream: UdpSocket,
}

/// Flows by their clients, in the order in which they came.
struct Relay {
    backend: SocketAddr,
    listener: UdpSocket,
    epoll: Epoll,
    flows: Vec<Flow>,
    by_client: HashMap<SockaddrStorage, usize>,
}

/// The token of the listening socket; those of flows are their places.
const LISTENER: u64 = u64::MAX;

/// Relays until an error.
pub(crate) fn relay(listen: SocketAddr, backend: SocketAddr) -> Result<()> {
    let listener = UdpSocket::bind(listen).with_context(|| format!("--listen {listen}"))?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut relay = Relay { backend, listener, epoll, flows: Vec::new(), by_client: HashMap::new() };
    let (mut batch, mut events) = (Batch::default(), [EpollEvent::empty(); 64]);
    loop {
        let count = relay.epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in events.iter().take(count) {
            match event.data() {
                LISTENER => relay.receive_from_clients(&mut batch)?,
                place => relay.receive_from_backend(&mut batch, place as usize)?,
            }
        }
    }
}

impl Relay {
    /// Receives once, and sends runs of one client's datagrams in one call.
    fn receive_from_clients(&mut self, batch: &mut Batch) -> Result<()> {
        let count = received(batch, &self.listener)?;
        let mut next = 0;
        while next < count {
            let client = batch.sender(next).context("a datagram of nobody")?;
            let end = (next..count).find(|other| batch.sender(*other) != Some(client)).unwrap_or(count);
            let place = match self.by_client.get(&client) {
                Some(place) => *place,
                None => self.begin(client)?,
            };
            if let Some(flow) = self.flows.get(place) {
                // The kernel loses what it has no room for, as it would on the way.
                let _ = batch.send(next..end, &flow.upstream, To::Peer);
            }
            next = end;
        }
        Ok(())
    }

    fn begin(&mut self, client: SockaddrStorage) -> Result<usize> {
        let any = if self.backend.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let upstream = UdpSocket::bind(any)?;
        upstream.connect(self.backend)?;
        upstream.set_nonblocking(true)?;
        let place = self.flows.len();
        self.epoll.add(&upstream, EpollEvent::new(EpollFlags::EPOLLIN, place as u64))?;
        self.flows.push(Flow { client, upstream });
        self.by_client.insert(client, place);
        Ok(place)
    }

    fn receive_from_backend(&mut self, batch: &mut Batch, place: usize) -> Result<()> {
        let Some(flow) = self.flows.get(place) else { return Ok(()) };
        let count = received(batch, &flow.upstream)?;
        let _ = batch.send(0..count, &self.listener, To::One(flow.client));
        Ok(())
    }
}

/// Receives what there is; nothing if that is an error of ICMP or of a look too early.
fn received(batch: &mut Batch, socket: &UdpSocket) -> Result<usize> {
    match batch.receive(socket) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => Ok(0),
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use sluice_bench::datagrams::{DatagramsSpec, datagrams, serve};

    use super::*;

    #[test]
    fn each_client_gets_its_own_datagrams() {
        let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
        let backend = echo.local_addr().unwrap();
        thread::spawn(move || serve(&echo));
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        thread::spawn(move || relay(free, backend));
        let spec =
            DatagramsSpec { to: free, flows: 5, window: 3, bytes: 64, time: Duration::from_millis(300) };
        let report = datagrams(&spec, || ()).unwrap();
        assert!(report.done > 0 && report.failed == 0, "{report:?}");
    }
}
