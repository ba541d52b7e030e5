//! TCP streams: two halves that can be borrowed at once, each owning its operation in flight.

mod close;
mod connect;
mod layer;
#[cfg(test)]
mod model_tests;
mod pump;
mod recv;
mod send;
mod socket;
mod splice;
mod state;

use std::{collections::VecDeque, io, net::SocketAddr, os::fd::AsRawFd};

use nix::sys::socket::SockaddrStorage;

pub use connect::connect;
pub use layer::{Layer, Opened};
pub use recv::{Recv, RecvHalf, RecvUnlessQuiet};
pub use send::{Flush, SendAll, SendHalf};
pub use splice::{PIPES_MAX, Pipe, Spliced};

use crate::{chunk::Chunk, driver::Driver, runtime::worker};
use layer::Layered;
use socket::split;
use state::StreamState;

/// A TCP connection. Both halves may be moved apart; the socket is closed when both are dropped, promptly
/// also when operations are in flight.
#[derive(Debug)]
pub struct Stream {
    /// The receiving half.
    pub recv: RecvHalf,
    /// The sending half.
    pub send: SendHalf,
}

impl Stream {
    /// Takes over a connected socket. Call it on the worker that is to serve it.
    ///
    /// # Errors
    /// The thread runs no worker, or the descriptor cannot be registered.
    pub fn from_std(socket: std::net::TcpStream) -> io::Result<Stream> {
        // epoll needs non-blocking sockets; a ring waits by itself.
        if worker()?.driver == Driver::Epoll {
            socket.set_nonblocking(true)?;
        }
        Stream::from_prepared(monoio::net::TcpStream::from_std(socket)?)
    }

    pub(crate) fn from_prepared(tcp: monoio::net::TcpStream) -> io::Result<Stream> {
        let worker = worker()?;
        let link = StreamState::new(tcp.as_raw_fd(), &worker.timers);
        let (recv, send) = split(tcp);
        let recv = RecvHalf::new(&link, recv, worker.quiet_after);
        let send = SendHalf::new(&link, send);
        Ok(Stream { recv, send })
    }

    /// From now on the halves carry what `layer` opens and seals. What was received before is the caller's to
    /// give to it, which has `opened` of it; what was queued before goes out as it is. The first layer stays.
    pub fn set_layer(&mut self, layer: Box<dyn Layer>, opened: VecDeque<Chunk>) {
        let _ = self.recv.link().layer.set(Box::new(Layered::new(layer, opened)));
    }

    /// True if there is a layer, whose end must be said before the connection's.
    #[must_use]
    pub fn is_layered(&self) -> bool {
        self.recv.link().layer.get().is_some()
    }

    /// The peer's address, v4-mapped addresses as IPv4.
    ///
    /// # Errors
    /// The peer has gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let address: SockaddrStorage = nix::sys::socket::getpeername(self.recv.link().fd())?;
        canonical(&address)
    }

    /// The local address, v4-mapped addresses as IPv4.
    ///
    /// # Errors
    /// The system call fails.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let address: SockaddrStorage = nix::sys::socket::getsockname(self.recv.link().fd())?;
        canonical(&address)
    }
}

fn canonical(address: &SockaddrStorage) -> io::Result<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
    let v6 = address.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port())));
    v4.or(v6).map(normalise).ok_or_else(|| io::Error::other("not an IP socket"))
}

/// The same address with `::ffff:a.b.c.d` written as `a.b.c.d`, so that one listener has one form.
pub(crate) fn normalise(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
