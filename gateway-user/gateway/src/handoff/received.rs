//! Descriptors of a hot restart, each held against what it is said to be.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use gateway_steer::Inherited;
use tracing::warn;

use super::message::Item;
use super::tickets;

/// Descriptors that were received.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) lock: Option<File>,
    pub(crate) takeover: Option<OwnedFd>,
    pub(crate) admin: Vec<TcpListener>,
    pub(crate) steering: Inherited,
    /// Keys of session tickets, as they were exported.
    pub(crate) tickets: Option<Vec<u8>>,
}

impl Received {
    /// Takes one, if it is what it is said to be.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn add(&mut self, item: Item, descriptor: OwnedFd) -> io::Result<()> {
        match item {
            Item::Lock => self.lock = Some(File::from(descriptor)),
            Item::Takeover => self.takeover = Some(descriptor),
            Item::Admin { address } => self.admin.push(listening(descriptor, Some(address))?),
            Item::Worker { .. } => self.steering.workers.push(listening(descriptor, None)?),
            Item::Bind { address, .. } => self.steering.binds.push(listening(descriptor, Some(address))?),
            Item::Placeholder { address } => self.steering.placeholders.push(bound(descriptor, address)?),
            Item::Datagrams { address, .. } => {
                self.steering.datagrams.push(receiving(descriptor, address)?);
            }
            // Without them clients make a full handshake: no reason not to take over.
            Item::Tickets => match tickets::read(descriptor) {
                Ok(exported) => self.tickets = Some(exported),
                Err(error) => warn!("TLS sessions of before are not resumed: {error}"),
            },
            Item::Unknown => drop(descriptor),
        }
        Ok(())
    }

    /// The old process sends sockets of one kind and address in the order of slots; what is stable here keeps
    /// it.
    pub(super) fn sort(&mut self) {
        self.admin.sort_by_key(|socket| socket.local_addr().ok());
    }

    /// The received socket with this address, if there is one.
    pub(crate) fn take_admin(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.admin.iter().position(|socket| socket.local_addr().ok() == Some(address))?;
        Some(self.admin.swap_remove(at))
    }

    /// The received socket of every address with this port and family, if there is one: while it is open,
    /// no socket can be bound to one address of that port.
    pub(crate) fn take_admin_of_every_address(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.admin.iter().position(|socket| {
            socket.local_addr().is_ok_and(|bound| {
                bound.ip().is_unspecified()
                    && bound.port() == address.port()
                    && bound.is_ipv4() == address.is_ipv4()
            })
        })?;
        Some(self.admin.swap_remove(at))
    }
}

/// A TCP socket that listens, and where it is said to.
fn listening(descriptor: OwnedFd, said: Option<SocketAddr>) -> io::Result<TcpListener> {
    if !rustix::net::sockopt::socket_acceptconn(&descriptor)? {
        return Err(io::Error::other("it sent a descriptor that is no listening socket"));
    }
    let socket = TcpListener::from(descriptor);
    if let Some(said) = said {
        must_be_at(socket.local_addr()?, said)?;
    }
    Ok(socket)
}

/// A TCP socket that is bound to an address and does not listen.
fn bound(descriptor: OwnedFd, said: SocketAddr) -> io::Result<TcpListener> {
    if rustix::net::sockopt::socket_acceptconn(&descriptor)? {
        return Err(io::Error::other("it sent a listening socket for one that only holds a port"));
    }
    let socket = TcpListener::from(descriptor);
    must_be_at(socket.local_addr()?, said)?;
    Ok(socket)
}

/// A UDP socket that is bound to an address.
fn receiving(descriptor: OwnedFd, said: SocketAddr) -> io::Result<UdpSocket> {
    if rustix::net::sockopt::socket_type(&descriptor)? != rustix::net::SocketType::DGRAM {
        return Err(io::Error::other("it sent a descriptor that is no socket for datagrams"));
    }
    let socket = UdpSocket::from(descriptor);
    must_be_at(socket.local_addr()?, said)?;
    Ok(socket)
}

fn must_be_at(address: SocketAddr, said: SocketAddr) -> io::Result<()> {
    if address == said {
        return Ok(());
    }
    Err(io::Error::other(format!("it sent a socket of {address} for another address")))
}
