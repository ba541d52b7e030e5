//! Datagrams: sockets that are read and written after readiness, several datagrams in a call, on both drivers alike.
//!
//! A flow holds a socket and nothing else: all sockets of a worker are in one [`ReadySet`], which is one operation of its
//! driver, and share one [`Batch`] of buffers.

mod batch;
mod ready;
#[cfg(test)]
mod tests;

use std::io;
use std::mem::size_of;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt::UdpGroSegment,
};

pub use batch::{Batch, Sent};
pub use ready::{Interest, Ready, ReadySet};

/// Makes a bound socket ready for [`Batch::receive`]: it never waits, and the kernel may join datagrams of one sender (UDP_GRO).
///
/// # Errors
/// The system refuses.
pub fn prepare_datagrams(socket: &UdpSocket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    join_datagrams(socket);
    Ok(())
}

/// A socket that exchanges datagrams with one peer, and hears of ICMP errors that its datagrams cause (udp(7)).
///
/// # Errors
/// No descriptor or port is left, or there is no route to the peer.
pub fn connected(peer: SocketAddr) -> io::Result<UdpSocket> {
    let family = if peer.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let made: OwnedFd = socket(family, SockType::Datagram, flags, None)?;
    connect(made.as_raw_fd(), &SockaddrStorage::from(peer))?;
    let made = UdpSocket::from(made);
    join_datagrams(&made);
    Ok(made)
}

/// Has new datagrams go to the other sockets of the address and port, while this one can still send from there: a socket that
/// is connected gets those of its peer alone, which is itself here. What it has queued stays.
///
/// # Errors
/// The system refuses.
pub fn stop_receiving(socket: &UdpSocket) -> io::Result<()> {
    socket.connect(socket.local_addr()?)
}

/// The kernel's number of a socket, the same for every descriptor of it and in every process, and never another socket's
/// (SO_COOKIE, socket(7)).
///
/// # Errors
/// The descriptor is no socket's, or the kernel is older than 4.12.
pub fn socket_cookie(socket: &impl AsFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: both pointers are to memory of this frame that outlives the call, and the length is that of the number.
    let done = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            ptr::from_mut(&mut cookie).cast(),
            &raw mut length,
        )
    };
    if done == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

/// Without it datagrams come one by one, on kernels before 5.0.
fn join_datagrams(socket: &UdpSocket) {
    let _ = setsockopt(socket, UdpGroSegment, &true);
}
