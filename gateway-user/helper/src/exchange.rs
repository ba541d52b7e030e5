//! A greeting, and a request with its reply, over one connection.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use rustix::net::SocketAddrUnix;

use crate::packets::{self, PacketSocket};
use crate::policy::Policy;
use crate::reply::Reply;
use crate::request::Request;
use crate::wire::MAX_PACKET;

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

/// Connects and greets.
pub(crate) fn greet(path: &Path) -> io::Result<(PacketSocket, Policy)> {
    let channel = connect(path)?;
    let (peer, own) = (channel.peer()?, geteuid().as_raw());
    if peer != 0 && peer != own {
        return Err(refused(format!(
            "uid {peer} listens there, which is neither root nor this process's user"
        )));
    }
    match exchange(&channel, Request::hello(), 0)? {
        (Reply::Welcome(policy), _) => Ok((channel, policy)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not say what it serves")),
    }
}

/// Sends a request and waits for its reply; older ones are passed over.
pub(crate) fn exchange(
    channel: &PacketSocket,
    request: Request,
    number: u32,
) -> io::Result<(Reply, Vec<OwnedFd>)> {
    channel.send(&request.encode(number), &[]).map_err(closed)?;
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
