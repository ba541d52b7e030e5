//! Listening sockets, and the clients that each of them takes.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use ipnet::IpNet;

use crate::connections::ClientKey;

/// A socket that listens, with the clients that may speak to it.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp {
        /// The socket; it may be bound to more addresses than are served.
        socket: TcpListener,
        /// The one address that is served, where the socket is bound to every address.
        only: Option<IpAddr>,
        /// Networks of the clients; `None` is any. IPv4-mapped addresses count as IPv4.
        clients: Option<Vec<IpNet>>,
    },
    /// A Unix socket for root and the user that the process runs as.
    Unix(UnixListener),
}

/// The same in a runtime.
#[derive(Debug)]
pub(crate) enum RuntimeListener {
    Tcp { socket: tokio::net::TcpListener, only: Option<IpAddr>, clients: Option<Vec<IpNet>> },
    Unix(tokio::net::UnixListener),
}

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp {
        stream: tokio::net::TcpStream,
        client: ClientKey,
        local: Option<IpAddr>,
    },
    Unix {
        stream: tokio::net::UnixStream,
        client: ClientKey,
    },
    /// Closed before a byte was read.
    Refused,
}

impl Listener {
    /// Joins the runtime of the calling thread.
    ///
    /// # Errors
    /// The runtime cannot watch the socket.
    pub(crate) fn into_runtime(self) -> io::Result<RuntimeListener> {
        Ok(match self {
            Self::Tcp { socket, only, clients } => {
                socket.set_nonblocking(true)?;
                RuntimeListener::Tcp { socket: tokio::net::TcpListener::from_std(socket)?, only, clients }
            }
            Self::Unix(socket) => {
                socket.set_nonblocking(true)?;
                RuntimeListener::Unix(tokio::net::UnixListener::from_std(socket)?)
            }
        })
    }
}

impl RuntimeListener {
    /// The next connection.
    ///
    /// # Errors
    /// Those of accept(2), EMFILE and ENFILE among them.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp { socket, only, clients } => {
                let (stream, peer) = socket.accept().await?;
                let local = stream.local_addr().ok();
                if !admits(peer, local, *only, clients.as_deref()) {
                    return Ok(Accepted::Refused);
                }
                // Small responses must not wait for acknowledgements of others (RFC 896).
                let _ = stream.set_nodelay(true);
                let client = ClientKey::of(peer.ip());
                Ok(Accepted::Tcp { stream, client, local: local.map(|local| local.ip()) })
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                let uid = stream.peer_cred()?.uid();
                let own = rustix::process::geteuid().as_raw();
                if uid != 0 && uid != own {
                    refuse(&stream, uid, own);
                    return Ok(Accepted::Refused);
                }
                Ok(Accepted::Unix { stream, client: ClientKey::User(uid) })
            }
        }
    }
}

fn admits(
    peer: SocketAddr,
    local: Option<SocketAddr>,
    only: Option<IpAddr>,
    clients: Option<&[IpNet]>,
) -> bool {
    let peer = peer.ip().to_canonical();
    let here =
        only.is_none_or(|only| local.is_some_and(|local| local.ip().to_canonical() == only.to_canonical()));
    here && clients.is_none_or(|networks| networks.iter().any(|network| network.contains(&peer)))
}

/// Says why, without a wait: the socket's buffer is empty and takes it whole.
fn refuse(stream: &tokio::net::UnixStream, uid: u32, own: u32) {
    let why = format!("uid {uid} may not use this socket: only root and uid {own} may\n");
    let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close";
    let _ = stream.try_write(format!("{head}\r\nContent-Length: {}\r\n\r\n{why}", why.len()).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_by_network_and_by_the_address_that_they_dialled() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let nets: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let from = |peer: &str| admits(at(peer), None, None, Some(&nets));
        assert!(from("10.1.2.3:4") && from("[::ffff:10.1.2.3]:4") && from("[fd00::1]:4"));
        assert!(!from("192.0.2.1:4") && !from("[::1]:4"));
        assert!(!admits(at("127.0.0.1:4"), None, None, Some(&[])), "no network, no client");
        let only = Some("127.0.0.1".parse().unwrap());
        let to = |local: &str| admits(at("192.0.2.1:4"), Some(at(local)), only, None);
        assert!(to("127.0.0.1:1") && to("[::ffff:127.0.0.1]:1") && !to("192.0.2.7:1"));
    }
}
