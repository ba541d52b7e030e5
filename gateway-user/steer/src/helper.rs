//! Operations that take a right, and the process that does them for one without any.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use gateway_ir::BindAddress;

use crate::{PinState, sockets};

/// Another process, with rights that this one has not. It decides by its own settings what it does.
pub trait Helper: fmt::Debug + Send + Sync {
    /// A TCP socket that is bound and does not listen yet.
    ///
    /// # Errors
    /// The helper is away, does not serve the port, or the system refuses.
    fn bind(&self, way: BindWay, address: BindAddress, port: u16) -> io::Result<OwnedFd>;

    /// A UDP socket in the `SO_REUSEPORT` group of its address and port.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    fn bind_udp(&self, address: BindAddress, port: u16) -> io::Result<OwnedFd>;

    /// Programs that are loaded for so many workers and not attached yet. There are none beside these for
    /// this process until [`detach`](Self::detach).
    ///
    /// # Errors
    /// The helper is away, or the kernel refuses; one line for people.
    fn load(&self, workers: u32) -> Result<LentDescriptors, String>;

    /// Attaches what was loaded. The link keeps it attached, also without the helper.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn attach(&self) -> Result<(OwnedFd, PinState), String>;

    /// Takes the programs off and removes their pins, and closes the stand-by. Without the helper the end of the link does
    /// the first.
    fn detach(&self);

    /// Has the helper keep a stand-by for what `link` keeps attached, in place of one that it keeps: a listening socket in
    /// the group of the workers' on `port`, with room for `backlog` connections, which `enter` puts where connections are
    /// sent while no worker has a socket. Should this process end without [`detach`](Self::detach), the helper keeps
    /// stand-by and programs for the next one, also if another helper has loaded them. What fails is logged: all else
    /// works.
    fn stand_by(&self, link: &OwnedFd, port: u16, backlog: u32, enter: EnterStandBy<'_>);

    /// Ends what [`stand_by`](Self::stand_by) began: connections that no worker takes are refused from now on.
    fn dismiss(&self);

    /// The stand-by of a process that has ended without a word, where connections wait for this one.
    fn orphan(&self) -> Option<TcpListener>;

    /// This process serves: the helper takes off what it has kept of processes that have ended. What waits at their
    /// stand-by moves to this one's workers, if they are of its group.
    fn relieve(&self);
}

/// Puts a stand-by into the map of sockets; an error is one line for people.
pub type EnterStandBy<'a> = &'a mut dyn FnMut(&TcpListener) -> Result<(), String>;

/// Use of a bound socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindWay {
    /// In the `SO_REUSEPORT` group of its address and port, to listen on.
    Shared,
    /// Alone on its address and port, to keep others from it.
    Held,
}

/// Descriptors of loaded programs, by which a process without any right steers.
#[derive(Debug)]
pub struct LentDescriptors {
    /// Map of binds, to write.
    pub binds: OwnedFd,
    /// Map of the workers' sockets, to write.
    pub sockets: OwnedFd,
    /// Map of load gauges, to map into memory.
    pub loads: OwnedFd,
    /// Map of verdicts, to read; where nothing can be pinned the kernel gives only one to write as well.
    pub verdicts: OwnedFd,
    /// The program that chooses among workers, for groups of sockets made later.
    pub chooser: OwnedFd,
}

/// Ways to the sockets of privileged ports.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    helper: Option<Arc<dyn Helper>>,
    /// Lowest port that this process may bind itself, also once it has given up its rights if it has a helper.
    own_lowest: u16,
}

impl Ports {
    pub(crate) fn new(helper: Option<Arc<dyn Helper>>) -> Self {
        let own_lowest = match helper {
            Some(_) => sockets::lowest_unprivileged_port(),
            None => sockets::lowest_port(),
        };
        Self { helper, own_lowest }
    }

    /// Lowest port that can be bound at all; 0 when all can be.
    pub(crate) fn lowest(&self) -> u16 {
        if self.helper.is_some() { 0 } else { self.own_lowest }
    }

    /// The port that is bound when `port` is asked for: the same, or one that is higher by `offset`.
    pub(crate) fn bound(&self, port: u16, offset: Option<u16>) -> Result<u16, String> {
        let lowest = self.lowest();
        if port >= lowest {
            return Ok(port);
        }
        let higher = offset.and_then(|offset| port.checked_add(offset)).filter(|p| *p >= lowest);
        higher.ok_or_else(|| {
            format!("port {port} needs CAP_NET_BIND_SERVICE; give the right, or set --unprivileged-offset")
        })
    }

    /// A socket of the group of its address and port, before listen(2).
    pub(crate) fn bind(&self, address: BindAddress, port: u16) -> io::Result<TcpListener> {
        match self.helper_for(port) {
            Some(helper) => helper.bind(BindWay::Shared, address, port).map(TcpListener::from),
            None => sockets::bind(address, port),
        }
    }

    /// A socket beside which no other can be bound.
    pub(crate) fn hold(&self, address: BindAddress, port: u16) -> io::Result<TcpListener> {
        match self.helper_for(port) {
            Some(helper) => helper.bind(BindWay::Held, address, port).map(TcpListener::from),
            None => sockets::hold(address, port),
        }
    }

    /// A UDP socket of the group of its address and port.
    pub(crate) fn bind_udp(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        match self.helper_for(address.port()) {
            Some(helper) => {
                helper.bind_udp(BindAddress::Ip(address.ip()), address.port()).map(UdpSocket::from)
            }
            None => sockets::bind_udp(address),
        }
    }

    fn helper_for(&self, port: u16) -> Option<&dyn Helper> {
        self.helper.as_deref().filter(|_| port < self.own_lowest)
    }
}

/// A bound TCP socket of `uid`, for another process.
///
/// # Errors
/// The system refuses.
pub fn bind_for(uid: u32, way: BindWay, address: BindAddress, port: u16) -> io::Result<OwnedFd> {
    let socket = match way {
        BindWay::Shared => sockets::bind_as(address, port, Some(uid))?,
        BindWay::Held => sockets::hold_as(address, port, Some(uid))?,
    };
    Ok(socket.into())
}

/// A bound UDP socket of `uid` in the `SO_REUSEPORT` group of its address and port, for another process.
///
/// # Errors
/// The system refuses.
pub fn bind_udp_for(uid: u32, address: BindAddress, port: u16) -> io::Result<OwnedFd> {
    sockets::bind_udp_as(address, port, Some(uid))
}
