//! Listening sockets, with the options that must be set before bind(2).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use gateway_ir::BindAddress;
use nix::sys::stat::fstat;
use nix::unistd::{Uid, fchown, setfsuid};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A listening socket in the `SO_REUSEPORT` group of its address and port; port 0 lets the kernel
/// choose one that nobody has. [`BindAddress::Any`] is one dual-stack socket, or an IPv4 one where the
/// kernel has no IPv6.
pub(crate) fn listen(address: BindAddress, port: u16, backlog: u32) -> io::Result<TcpListener> {
    let socket = bind(address, port)?;
    start(&socket, backlog)?;
    Ok(socket)
}

/// The same before listen(2): it has its place, and nothing can arrive at it.
pub(crate) fn bind(address: BindAddress, port: u16) -> io::Result<TcpListener> {
    bind_as(address, port, None)
}

/// The same for a user of that number: the sockets of a group must have one owner when they are bound.
pub(crate) fn bind_as(address: BindAddress, port: u16, uid: Option<u32>) -> io::Result<TcpListener> {
    let bound = |ip| {
        let socket = tcp(ip)?;
        socket.set_reuse_address(true)?; // connections of a former process in TIME_WAIT must not keep the port
        open(socket, ip, port, uid)
    };
    of_every_family(address, bound).map(TcpListener::from)
}

/// A UDP socket in the `SO_REUSEPORT` group of one address and port.
pub(crate) fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    bind_udp_as(BindAddress::Ip(address.ip()), address.port(), None).map(UdpSocket::from)
}

/// The same for a user of that number. Without SO_REUSEADDR, by which others of its kind could be bound beside it, whoever's
/// they are, and take its datagrams (socket(7)).
pub(crate) fn bind_udp_as(address: BindAddress, port: u16, uid: Option<u32>) -> io::Result<OwnedFd> {
    let udp = |ip| Socket::new(Domain::for_address(SocketAddr::new(ip, 0)), Type::DGRAM, Some(Protocol::UDP));
    of_every_family(address, |ip| open(udp(ip)?, ip, port, uid)).map(OwnedFd::from)
}

/// Makes a socket for an address; for every address one of both families, or of IPv4 where the kernel has no
/// IPv6.
fn of_every_family<T>(address: BindAddress, make: impl Fn(IpAddr) -> io::Result<T>) -> io::Result<T> {
    let ip = match address {
        BindAddress::Any => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        BindAddress::Ip(ip) => ip,
    };
    match make(ip) {
        Err(e) if ip.is_unspecified() && ip.is_ipv6() && e.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            make(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
        }
        done => done,
    }
}

fn open(socket: Socket, ip: IpAddr, port: u16, uid: Option<u32>) -> io::Result<Socket> {
    if ip.is_ipv6() {
        socket.set_only_v6(!ip.is_unspecified())?;
    }
    socket.set_reuse_port(true)?;
    uid.map_or(Ok(()), |uid| give(&socket, uid))?;
    socket.bind(&SocketAddr::new(ip, port).into())?;
    Ok(socket)
}

/// A socket that is bound to an address and port, and beside which no other can be, whatever its options:
/// connections that are under way or in TIME_WAIT alone may have the port. [`BindAddress::Any`] is one
/// dual-stack socket, or an IPv4 one where the kernel has no IPv6.
pub(crate) fn hold(address: BindAddress, port: u16) -> io::Result<TcpListener> {
    hold_as(address, port, None)
}

/// The same for a user of that number.
pub(crate) fn hold_as(address: BindAddress, port: u16, uid: Option<u32>) -> io::Result<TcpListener> {
    of_every_family(address, |ip| hold_at(ip, port, uid))
}

fn hold_at(ip: IpAddr, port: u16, uid: Option<u32>) -> io::Result<TcpListener> {
    let open = |reuse| -> io::Result<TcpListener> {
        let socket = tcp(ip)?;
        if ip.is_ipv6() {
            socket.set_only_v6(!ip.is_unspecified())?;
        }
        socket.set_reuse_address(reuse)?;
        uid.map_or(Ok(()), |uid| give(&socket, uid))?;
        socket.bind(&SocketAddr::new(ip, port).into())?;
        Ok(socket.into())
    };
    match open(false) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
        done => return done,
    }
    // Connections that were steered have the port as their own, and go on after a restart or in TIME_WAIT.
    // Their sockets have SO_REUSEADDR, so one that has it too may be bound beside them. The kernel remembers
    // of a port that all its sockets have it and then lets everybody in who has it (`fastreuse`,
    // inet_csk_get_port()), until one without it was bound: to an address of nobody, for a moment. It need
    // not succeed, since listen(2) looks again.
    let nobodys = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 254, 83, 76)), port);
    drop(tcp(nobodys.ip()).and_then(|socket| socket.bind(&nobodys.into())));
    let socket = open(true)?;
    seal(&socket)?;
    Ok(socket)
}

/// From now on no socket can be bound beside this one.
pub(crate) fn seal(socket: &TcpListener) -> io::Result<()> {
    SockRef::from(socket).set_reuse_address(false)
}

/// From now on sockets with `SO_REUSEADDR` can be bound beside this one.
pub(crate) fn share(socket: &TcpListener) -> io::Result<()> {
    SockRef::from(socket).set_reuse_address(true)
}

/// Has a bound socket listen.
pub(crate) fn start(socket: &TcpListener, backlog: u32) -> io::Result<()> {
    SockRef::from(socket).listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

fn tcp(ip: IpAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(SocketAddr::new(ip, 0)), Type::STREAM, Some(Protocol::TCP))
}

/// True if `ip` can be bound in this network namespace: an address of an interface, a local route, or any
/// address with `ip_nonlocal_bind`.
pub(crate) fn is_local(ip: IpAddr) -> io::Result<()> {
    tcp(ip)?.bind(&SocketAddr::new(ip, 0).into())
}

/// The lowest port that this process may bind: 0 with CAP_NET_BIND_SERVICE in the owner of the network
/// namespace, else `net.ipv4.ip_unprivileged_port_start`. The right is tried rather than read, since user
/// namespaces bend its rules.
pub(crate) fn lowest_port() -> u16 {
    let start = lowest_unprivileged_port();
    let Some(privileged) = start.checked_sub(1).filter(|port| *port > 0) else {
        return 0;
    };
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    match tcp(any).and_then(|s| s.bind(&SocketAddr::new(any, privileged).into())) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => start,
        _ => 0,
    }
}

/// The lowest port that a process without CAP_NET_BIND_SERVICE may bind.
pub(crate) fn lowest_unprivileged_port() -> u16 {
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok();
    start.and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

/// The user that a socket belongs to. Sockets of one `SO_REUSEPORT` group must share theirs
/// (inet_bind_conflict in net/ipv4/inet_connection_sock.c): bind(2) gives `EADDRINUSE` otherwise.
pub(crate) fn owner(socket: &impl AsFd) -> io::Result<u32> {
    Ok(fstat(socket)?.st_uid)
}

/// Makes the socket `uid`'s. Changing the owner of its inode changes that of the socket (sockfs_setattr in
/// net/socket.c).
///
/// # Errors
/// It belongs to somebody else and this thread lacks CAP_CHOWN.
pub(crate) fn give(socket: &impl AsFd, uid: u32) -> io::Result<()> {
    if owner(socket)? != uid {
        fchown(socket, Some(Uid::from_raw(uid)), None)?;
    }
    Ok(())
}

/// Runs `make` so that the sockets it makes belong to the owner of `like`, if this thread may do that
/// (CAP_SETUID): a new socket takes the thread's file system user (sock_alloc).
pub(crate) fn as_owner_of<T>(like: &impl AsFd, make: impl FnOnce() -> T) -> io::Result<T> {
    /// Puts the thread's own user back, also when a panic comes through.
    struct RestoreUser(Uid);
    impl Drop for RestoreUser {
        fn drop(&mut self) {
            setfsuid(self.0);
        }
    }
    let _back = RestoreUser(setfsuid(Uid::from_raw(owner(like)?)));
    Ok(make())
}

/// The socket's inode, by which `/proc` names it.
pub(crate) fn inode(socket: &impl AsFd) -> io::Result<u64> {
    Ok(fstat(socket)?.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: BindAddress = BindAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    /// A user that no system has.
    const UID: u32 = 54_321;

    #[test]
    fn a_group_has_one_owner_who_can_be_changed_and_joined() {
        if !nix::unistd::geteuid().is_root() {
            return; // CAP_CHOWN and CAP_SETUID
        }
        let first = listen(ANY, 0, 1).unwrap();
        let port = first.local_addr().unwrap().port();
        drop(listen(ANY, port, 1).unwrap());
        give(&first, UID).unwrap();
        assert_eq!(owner(&first).unwrap(), UID);
        // The kernel remembers the user of a port's first bind and lets that one in (`fastuid`,
        // sk_reuseport_match()), so that root is no judge here.
        let strangers = listen(ANY, 0, 1).unwrap();
        give(&strangers, UID + 1).unwrap();
        let joined = as_owner_of(&strangers, || listen(ANY, port, 1)).unwrap();
        assert_eq!(joined.unwrap_err().kind(), io::ErrorKind::AddrInUse, "it is another user");
        let second = as_owner_of(&first, || listen(ANY, port, 1)).unwrap().unwrap();
        assert_eq!(owner(&second).unwrap(), UID);
        assert_eq!(owner(&listen(ANY, 0, 1).unwrap()).unwrap(), 0, "the thread is itself again");
    }
}
