//! A greeting, and a request with its reply, over one connection.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use rustix::net::SocketAddrUnix;

use crate::packets::{self, PacketSocket};
use crate::policy::Policy;
use crate::reply::Reply;
use crate::request::Request;
use crate::wire::{MAX_PACKET, OLDEST_PROTOCOL, PROTOCOL};

/// Most descriptors beside one packet.
pub(crate) const MAX_DESCRIPTORS: usize = 8;

/// Limit for a reply. One that comes later is passed over.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to the helper that listens at `path`.
pub(crate) fn connect(path: &Path) -> io::Result<PacketSocket> {
    let socket = packets::socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    PacketSocket::new(socket, MAX_DESCRIPTORS)
}

/// A helper that welcomes this process.
#[derive(Debug)]
pub(crate) struct Welcomed {
    pub(crate) channel: PacketSocket,
    pub(crate) policy: Policy,
    /// Version of the messages that it speaks.
    pub(crate) protocol: u16,
}

/// Connects and greets, in the words of an older version if the helper does not know ours.
pub(crate) fn greet(path: &Path) -> io::Result<Welcomed> {
    match greet_as(path, PROTOCOL) {
        // It closes the connection to whoever speaks another version.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => greet_as(path, OLDEST_PROTOCOL),
        greeted => greeted,
    }
}

fn greet_as(path: &Path, protocol: u16) -> io::Result<Welcomed> {
    let channel = connect(path)?;
    let (peer, own) = (channel.peer()?, geteuid().as_raw());
    if peer != 0 && peer != own {
        return Err(refused(format!(
            "uid {peer} listens there, which is neither root nor this process's user"
        )));
    }
    match exchange(&channel, Request::Hello { protocol }, &[], 0)? {
        (Reply::Welcome(policy), _) => Ok(Welcomed { channel, policy, protocol }),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not say what it serves")),
    }
}

/// Sends a request and waits for its reply; older ones are passed over.
pub(crate) fn exchange(
    channel: &PacketSocket,
    request: Request,
    descriptors: &[BorrowedFd<'_>],
    number: u32,
) -> io::Result<(Reply, Vec<OwnedFd>)> {
    channel.send(&request.encode(number), descriptors).map_err(closed)?;
    let until = Instant::now() + REPLY_TIMEOUT;
    let mut room = vec![0; MAX_PACKET + 1];
    loop {
        let (length, descriptors) = channel
            .receive(&mut room, Some(until.saturating_duration_since(Instant::now())))
            .map_err(closed)?;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let (replied, reply) = Reply::decode(room.get(..length).unwrap_or_default()).map_err(invalid)?;
        if replied == number {
            return Ok((reply, descriptors));
        }
    }
}

/// The end of the connection by one name: it may show in any of three ways.
fn closed(error: io::Error) -> io::Error {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionReset | UnexpectedEof => {
            io::Error::new(ConnectionReset, "the helper has closed the connection; its log says why")
        }
        _ => error,
    }
}

/// True if nobody listens there yet, or any more.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// An error for what the other side may not, or will not.
pub(crate) fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::thread;

    use gateway_testkit::scratch::Scratch;
    use rustix::net::SocketFlags;

    use super::*;

    /// A helper that closes the connection to whoever speaks another version; says which ones it heard.
    fn helper_of(version: u16, listener: &OwnedFd) -> Vec<u16> {
        let mut heard = Vec::new();
        loop {
            let socket = rustix::net::accept_with(listener.as_fd(), SocketFlags::CLOEXEC).unwrap();
            let channel = PacketSocket::new(socket, MAX_DESCRIPTORS).unwrap();
            let mut room = [0; 64];
            let (length, _) = channel.receive(&mut room, None).unwrap();
            let Ok((0, Request::Hello { protocol })) = Request::decode(&room[..length]) else {
                panic!("no greeting")
            };
            heard.push(protocol);
            if protocol == version {
                channel.send(&Reply::Welcome(Policy::default()).encode(0), &[]).unwrap();
                return heard;
            }
        }
    }

    #[test]
    fn a_helper_of_an_older_version_is_spoken_to_in_its_words() {
        for (version, expected) in
            [(PROTOCOL, vec![PROTOCOL]), (OLDEST_PROTOCOL, vec![PROTOCOL, OLDEST_PROTOCOL])]
        {
            let dir = Scratch::new("helper-version").unwrap();
            let listener = packets::socket().unwrap();
            rustix::net::bind(&listener, &SocketAddrUnix::new(dir.join("s")).unwrap()).unwrap();
            rustix::net::listen(&listener, 4).unwrap();
            let helper = thread::spawn(move || helper_of(version, &listener));
            assert_eq!(greet(&dir.join("s")).unwrap().protocol, version);
            assert_eq!(helper.join().unwrap(), expected);
        }
    }
}
