//! Packets with descriptors over a Unix socket (unix(7), `SOCK_SEQPACKET` and `SCM_RIGHTS`): for the helper's messages,
//! and for those of a hot restart.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg,
};

/// Limit for the other side to make room for a packet.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// A socket that is neither bound nor connected yet.
///
/// # Errors
/// The system gives none.
pub fn socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// One end of a connection.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    most: usize,
}

impl PacketSocket {
    /// An end that is connected, with at most so many descriptors beside a packet; the kernel takes 253 (`SCM_MAX_FD`). The
    /// other side has 5 s to make room for what is sent.
    ///
    /// # Errors
    /// The socket takes no limit.
    pub fn new(socket: OwnedFd, most: usize) -> io::Result<Self> {
        set_socket_timeout(&socket, Timeout::Send, Some(SEND_TIMEOUT))?;
        Ok(Self { socket, most })
    }

    /// The user at the other end: who connected, or who has called listen(2).
    ///
    /// # Errors
    /// The system does not say.
    pub fn peer(&self) -> io::Result<u32> {
        Ok(getsockopt(&self.socket, sockopt::PeerCredentials)?.uid())
    }

    /// Room for the descriptors of one packet.
    fn space(&self) -> Vec<MaybeUninit<u8>> {
        vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(self.most))]
    }

    /// Sends a packet with descriptors, no more than one may have.
    ///
    /// # Errors
    /// The other side has closed, or makes no room within 5 s; the packet is too large.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = self.space();
        let mut beside = SendAncillaryBuffer::new(&mut space);
        // The space may have room for one more, to be aligned.
        let fit = descriptors.len() <= self.most;
        if !fit || !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next packet, in `room`, with its descriptors; `TimedOut` after `limit`, if there is one.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other side has closed, `InvalidData` for a packet that was cut: longer than the room, with
    /// more descriptors than one may have, or than this process may still have.
    pub fn receive(&self, room: &mut [u8], limit: Option<Duration>) -> io::Result<(usize, Vec<OwnedFd>)> {
        let limit = limit.map(|limit| limit.max(Duration::from_millis(1)));
        set_socket_timeout(&self.socket, Timeout::Recv, limit)?;
        let mut space = self.space();
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(room)];
            match recvmsg(&self.socket, &mut parts, &mut beside, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                other => break other?,
            }
        };
        let mut descriptors = Vec::new();
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let is_cut = received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
        if is_cut || descriptors.len() > self.most {
            let why = "a message was cut: too long, or no descriptor is left";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok((received.bytes, descriptors))
    }

    /// True once the other side has closed its end, or nobody has it any more; waits for it up to `limit`.
    pub fn has_ended_within(&self, limit: Duration) -> bool {
        let mut look = [PollFd::new(&self.socket, PollFlags::empty())];
        let limit = Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        // An error of poll(2) says nothing about the other side.
        poll(&mut look, Some(&limit)).is_ok()
            && look.iter().any(|end| end.revents().intersects(PollFlags::HUP | PollFlags::ERR))
    }

    /// Another descriptor of this end.
    ///
    /// # Errors
    /// The system gives none.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, most: self.most })
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::socketpair;

    use super::*;

    const MOST: usize = 3;

    fn pair() -> (PacketSocket, PacketSocket) {
        let flags = SocketFlags::CLOEXEC;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        (PacketSocket::new(near, 2 * MOST).unwrap(), PacketSocket::new(far, MOST).unwrap())
    }

    #[test]
    fn a_packet_has_its_own_descriptors_and_one_that_is_cut_is_refused() {
        let (near, far) = pair();
        let mut room = [0; 8];
        let other = socket().unwrap();
        near.send(b"one", &[other.as_fd(); MOST]).unwrap();
        near.send(b"two", &[]).unwrap();
        let (length, descriptors) = far.receive(&mut room, None).unwrap();
        assert_eq!((&room[..length], descriptors.len()), (&b"one"[..], MOST));
        let (length, descriptors) = far.receive(&mut room, None).unwrap();
        assert_eq!((&room[..length], descriptors.len()), (&b"two"[..], 0));
        assert!(far.send(b"three", &[other.as_fd(); MOST + 1]).is_err());
        let cut: [(&[u8], usize); 2] = [(b"longer than the room", 1), (b"four", MOST + 1)];
        for (bytes, descriptors) in cut {
            near.send(bytes, &vec![other.as_fd(); descriptors]).unwrap();
            assert_eq!(far.receive(&mut room, None).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let limit = Some(Duration::from_millis(5));
        assert_eq!(far.receive(&mut room, limit).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(!far.has_ended_within(Duration::ZERO));
        drop(near);
        assert!(far.has_ended_within(Duration::from_secs(5)));
        assert_eq!(far.receive(&mut room, None).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
