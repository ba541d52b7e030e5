//! Messages with descriptors over a Unix socket of packets (unix(7), `SOCK_SEQPACKET` and `SCM_RIGHTS`).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use gateway_helper::packets::{self, PacketSocket};
use nix::unistd::geteuid;
use rustix::net::{Shutdown, SocketAddrUnix, SocketFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most descriptors in one packet; the kernel takes 253 (`SCM_MAX_FD`).
pub(super) const MAX_DESCRIPTORS: usize = 128;
/// Largest packet, in bytes. An item is below 100 bytes of JSON.
const MAX_PACKET_BYTES: usize = 64 * 1024;

/// One end of a connection between old and new process. Both are root or the user that root becomes.
#[derive(Debug)]
pub(super) struct Channel(PacketSocket);

/// Listens at `path` for packets (unix(7), SOCK_SEQPACKET), with mode 0600.
///
/// # Errors
/// Something is at the path, or the system gives no socket.
pub(super) fn listen(path: &Path) -> io::Result<OwnedFd> {
    let socket = packets::socket()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Before listen(2): nobody else can have connected meanwhile.
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    rustix::net::listen(&socket, 16)?;
    Ok(socket)
}

impl Channel {
    /// Connects to the old process that listens at `path`. The peer may be `other` as well, the user that
    /// this process becomes later.
    ///
    /// # Errors
    /// No process listens there, or one of another user does (`PermissionDenied`).
    pub(super) fn connect(path: &Path, other: Option<u32>) -> io::Result<Self> {
        let socket = packets::socket()?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Self::between_us(socket, other)
    }

    /// Takes the next connection. The peer may be `owner` as well, the user whose the state directory is: only
    /// root gives it away, and does so for a process that has a helper and is never root.
    ///
    /// # Errors
    /// There is none to be had, or it is another user's (`PermissionDenied`).
    pub(super) fn accept(listener: BorrowedFd<'_>, owner: Option<u32>) -> io::Result<Self> {
        Self::between_us(rustix::net::accept_with(listener, SocketFlags::CLOEXEC)?, owner)
    }

    /// Refuses a stranger. Descriptors to sockets are rights, and what a stranger sends must not be served.
    /// Root is none: a process that starts connects before it changes users, and a listener counts as whoever
    /// called listen(2) first.
    fn between_us(socket: OwnedFd, other: Option<u32>) -> io::Result<Self> {
        let socket = PacketSocket::new(socket, MAX_DESCRIPTORS)?;
        let peer = socket.peer()?;
        if !is_trusted_peer(peer, geteuid().as_raw(), other) {
            let reason = format!("the other side runs as uid {peer}, this one as {}", geteuid());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        Ok(Self(socket))
    }

    /// True if root is at the other end.
    pub(super) fn peer_is_root(&self) -> bool {
        self.0.peer().is_ok_and(|peer| peer == 0)
    }

    /// Sends a message with descriptors, at most [`MAX_DESCRIPTORS`].
    ///
    /// # Errors
    /// The other side has closed, or makes no room within 5 s; the message is too large.
    pub(super) fn send(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.0.send(&serde_json::to_vec(message)?, descriptors)
    }

    /// The next message with its descriptors.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other side has closed, `TimedOut` after `limit`, `InvalidData` for text that
    /// is no such message or was cut.
    pub(super) fn receive<M: DeserializeOwned>(&self, limit: Duration) -> io::Result<(M, Vec<OwnedFd>)> {
        let mut text = vec![0; MAX_PACKET_BYTES];
        let (length, descriptors) = self.0.receive(&mut text, Some(limit))?;
        let message = serde_json::from_slice(text.get(..length).unwrap_or_default());
        let message = message
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("unknown message: {e}")))?;
        Ok((message, descriptors))
    }

    /// True if the other side has closed its end, or nobody has it any more.
    pub(super) fn has_ended(&self) -> bool {
        self.0.has_ended_within(Duration::ZERO)
    }

    /// Lets the other side send no more; what it has sent can still be received.
    pub(super) fn shut_down_receive(&self) {
        let _ = rustix::net::shutdown(&self.0, Shutdown::Read);
    }
}

/// True if a peer is root, the user of this process, or the one that it becomes.
fn is_trusted_peer(peer: u32, own: u32, other: Option<u32>) -> bool {
    peer == 0 || peer == own || other == Some(peer)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsFd as _;

    use gateway_testkit::scratch::Scratch;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn descriptors_arrive_with_their_message_and_the_end_is_told_from_silence() {
        let dir = Scratch::new("channel").unwrap();
        let path = dir.join("s");
        let listener = listen(&path).unwrap();
        let near = Channel::connect(&path, None).unwrap();
        let far = Channel::accept(listener.as_fd(), None).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        near.send(&"here", &[socket.as_fd(), socket.as_fd()]).unwrap();
        let (text, descriptors): (String, _) = far.receive(LIMIT).unwrap();
        assert_eq!((text.as_str(), descriptors.len()), ("here", 2));
        let same = TcpListener::from(descriptors.into_iter().next().unwrap());
        assert_eq!(same.local_addr().unwrap(), socket.local_addr().unwrap());
        let kind = |limit| far.receive::<String>(limit).unwrap_err().kind();
        assert_eq!(kind(Duration::from_millis(5)), io::ErrorKind::TimedOut);
        near.send(&7, &[]).unwrap();
        assert_eq!(kind(LIMIT), io::ErrorKind::InvalidData);
        near.send(&"last", &[]).unwrap();
        assert!(!far.has_ended());
        drop(near);
        assert!(far.has_ended(), "though something is left to be received");
        assert_eq!(far.receive::<String>(LIMIT).unwrap().0, "last");
        assert_eq!(kind(LIMIT), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn root_and_ones_own_user_are_no_strangers() {
        for (peer, own, other) in
            [(0, 0, None), (0, 65_532, None), (65_532, 65_532, None), (65_532, 0, Some(65_532))]
        {
            assert!(is_trusted_peer(peer, own, other), "{peer} {own} {other:?}");
        }
        for (peer, own, other) in
            [(1000, 0, None), (1000, 65_532, None), (65_532, 0, None), (1000, 0, Some(65_532))]
        {
            assert!(!is_trusted_peer(peer, own, other), "{peer} {own} {other:?}");
        }
    }

    #[test]
    fn what_was_sent_before_the_hearing_ended_is_still_heard() {
        let dir = Scratch::new("channel").unwrap();
        let listener = listen(&dir.join("s")).unwrap();
        let near = Channel::connect(&dir.join("s"), None).unwrap();
        let far = Channel::accept(listener.as_fd(), None).unwrap();
        near.send(&"ready", &[]).unwrap();
        far.shut_down_receive();
        assert!(near.send(&"too late", &[]).is_err());
        assert_eq!(far.receive::<String>(LIMIT).unwrap().0, "ready");
    }
}
