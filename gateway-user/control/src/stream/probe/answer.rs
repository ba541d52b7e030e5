//! The answers of a node to probes of others.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{LENGTH, response};

/// Responses in a second; a controller needs some in a minute.
const MAX_RESPONSES: u32 = 200;
/// Pause after an error of the socket.
const BIND_INTERVAL: Duration = Duration::from_secs(1);
/// Failures that nothing is said of: the process before has the address for so long in a hot restart.
const QUIET_FAILURES: u32 = 10;

/// The answers of a node to what others ask.
#[derive(Clone)]
pub struct ProbeAnswers {
    /// Address and port to answer at.
    pub address: SocketAddr,
    /// True as long as the node serves clients: a process that hangs must not be reached.
    pub serves: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// A datagram as it arrived: its bytes, its sender, and the address that it was sent to.
struct Arrived {
    room: [u8; LENGTH + 1],
    length: usize,
    from: SockaddrStorage,
    to: Option<To>,
}

/// An address of this host, as the kernel names it.
#[derive(Clone, Copy)]
enum To {
    Four(in_pktinfo),
    Six(in6_pktinfo),
}

/// Answers others for as long as it is polled.
pub(in crate::stream) async fn answer(answers: ProbeAnswers) {
    let (mut said, mut failed) = (String::new(), 0);
    loop {
        let error = match bind(answers.address) {
            Ok(socket) => {
                info!(address = %answers.address, "probes of other nodes are answered");
                (said, failed) = (String::new(), 0);
                answer_at(&socket, &*answers.serves).await
            }
            Err(error) => error,
        };
        let text = format!("--probe-address {}: {error}", answers.address);
        failed += 1;
        let waits = error.kind() == io::ErrorKind::AddrInUse && failed < QUIET_FAILURES;
        if text != said && !waits {
            warn!("{text}; until it works, other nodes cannot tell that this one serves");
            said = text;
        }
        sleep(BIND_INTERVAL).await;
    }
}

/// A socket that tells to which address of the host each datagram was sent.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match StdUdpSocket::bind(address) {
        // A host without IPv6.
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() => {
            let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            StdUdpSocket::bind(four).map_err(|_| error)
        }
        bound => bound,
    }?;
    match socket.local_addr()? {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

async fn answer_at(socket: &UdpSocket, serves: &(dyn Fn() -> bool + Send + Sync)) -> io::Error {
    let mut allowance = (Instant::now(), MAX_RESPONSES);
    loop {
        let arrived = match socket.async_io(Interest::READABLE, || receive(socket)).await {
            Ok(arrived) => arrived,
            Err(error) => return error,
        };
        let now = Instant::now();
        if now - allowance.0 > Duration::from_secs(1) {
            allowance = (now, MAX_RESPONSES);
        }
        let Some(response) = response(arrived.room.get(..arrived.length).unwrap_or_default()) else {
            continue;
        };
        if allowance.1 > 0 && serves() {
            allowance.1 -= 1;
            send(socket, &response, &arrived);
        }
    }
}

fn receive(socket: &UdpSocket) -> io::Result<Arrived> {
    let mut room = [0; LENGTH + 1];
    let mut space = nix::cmsg_space!(in6_pktinfo, in_pktinfo);
    let (length, from, to) = {
        let mut parts = [IoSliceMut::new(&mut room)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let to = message.cmsgs()?.find_map(|one| match one {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(To::Four(info)),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(To::Six(info)),
            _ => None,
        });
        (message.bytes, message.address, to)
    };
    let from = from.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Arrived { room, length, from, to })
}

/// Responds from the address that was asked, which a firewall before the other node may insist on.
fn send(socket: &UdpSocket, response: &[u8; LENGTH], to: &Arrived) {
    let parts = [IoSlice::new(response)];
    // By which interface is for the routes to say.
    let four = |info: in_pktinfo| in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: info.ipi_addr, ..info };
    let six = |info: in6_pktinfo| in6_pktinfo { ipi6_ifindex: 0, ..info };
    let (fd, flags, from) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT, Some(&to.from));
    // Who has no way back does not count this node as reached.
    let _ = match to.to {
        Some(To::Four(info)) => {
            sendmsg(fd, &parts, &[ControlMessage::Ipv4PacketInfo(&four(info))], flags, from)
        }
        Some(To::Six(info)) => {
            sendmsg(fd, &parts, &[ControlMessage::Ipv6PacketInfo(&six(info))], flags, from)
        }
        None => sendmsg(fd, &parts, &[], flags, from),
    };
}

#[cfg(test)]
mod tests {
    use super::super::{QUESTION, RESPONSE, datagram};
    use super::*;

    /// A socket asks one of many addresses, and hears from that.
    #[tokio::test]
    async fn a_response_comes_from_the_address_that_was_asked() {
        for address in ["0.0.0.0:0", "[::]:0"] {
            let bound = bind(address.parse().unwrap()).unwrap();
            let port = bound.local_addr().unwrap().port();
            let answering = tokio::spawn(async move { answer_at(&bound, &|| true).await });
            let asking = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let asked: SocketAddr = ([127, 0, 0, 9], port).into();
            asking.send_to(&datagram(QUESTION, 7, [1; 16]), asked).await.unwrap();
            let mut room = [0; 100];
            assert_eq!(asking.recv_from(&mut room).await.unwrap(), (LENGTH, asked));
            assert_eq!(room[..LENGTH], datagram(RESPONSE, 7, [1; 16]));
            answering.abort();
        }
    }

    /// A flood gets so many responses and no more.
    #[tokio::test(start_paused = true)]
    async fn a_flood_is_not_answered() {
        let bound = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let asked = bound.local_addr().unwrap();
        let answering = tokio::spawn(async move { answer_at(&bound, &|| true).await });
        let asking = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (mut room, mut responses) = ([0; 100], 0);
        for _ in 0..2 * MAX_RESPONSES {
            asking.send_to(&datagram(QUESTION, 7, [1; 16]), asked).await.unwrap();
            tokio::task::yield_now().await;
            while asking.try_recv_from(&mut room).is_ok() {
                responses += 1;
            }
        }
        // All that was sent has been looked at once this one has.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        while asking.try_recv_from(&mut room).is_ok() {
            responses += 1;
        }
        assert_eq!(responses, MAX_RESPONSES);
        answering.abort();
    }
}
