//! The way to a controller: a socket of this machine, or TLS to an address that leads to one of several.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Limits for a connection to one address, and for its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest token that is sent: those of Kubernetes have one or two thousand bytes.
const MAX_TOKEN: usize = 16 << 10;

/// A controller's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControllerAddress {
    /// Its Unix socket: the kernel says who this is.
    Local(PathBuf),
    /// Somewhere in a network.
    Network(NetworkAddress),
}

/// A controller in a network, and what this node needs to trust it and be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkAddress {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The file of the authorities that sign controllers' certificates.
    pub authorities: PathBuf,
    /// The file of the token that says which node this is. It and the other are read for each connection.
    pub token: PathBuf,
}

impl fmt::Display for ControllerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Network(NetworkAddress { host, port, .. }) if host.contains(':') => {
                write!(f, "[{host}]:{port}")
            }
            Self::Network(NetworkAddress { host, port, .. }) => write!(f, "{host}:{port}"),
        }
    }
}

/// A stream of bytes to a controller.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection, and what proves this node's name over it.
pub(super) struct Connected {
    pub(super) stream: Box<dyn Stream>,
    pub(super) token: String,
}

impl ControllerAddress {
    /// Connects; to `leader`, if one was named by another controller.
    ///
    /// # Errors
    /// A file cannot be used, nobody is there, or it is no controller that this node trusts.
    pub(super) async fn connect(&self, leader: Option<SocketAddr>) -> io::Result<Connected> {
        match self {
            Self::Local(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| hinted(path, error))?;
                Ok(Connected { stream: Box::new(stream), token: String::new() })
            }
            Self::Network(network) => network.connect(leader).await,
        }
    }
}

impl NetworkAddress {
    async fn connect(&self, leader: Option<SocketAddr>) -> io::Result<Connected> {
        let about = |path: &PathBuf, why: &dyn fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
        };
        let authorities =
            std::fs::read(&self.authorities).map_err(|error| about(&self.authorities, &error))?;
        let config =
            gateway_tls::stream_client(&authorities).map_err(|error| about(&self.authorities, &error))?;
        let token = std::fs::read_to_string(&self.token).map_err(|error| about(&self.token, &error))?;
        let token = token.trim().to_owned();
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Err(about(&self.token, &"no token in it"));
        }
        let stream = match leader {
            Some(leader) => connect(leader).await?,
            None => self.any().await?,
        };
        // Small frames, each of which somebody waits for.
        let _ = stream.set_nodelay(true);
        let handshake = TlsConnector::from(config).connect(gateway_tls::stream_name(), stream);
        let stream = timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(Connected { stream: Box::new(stream), token })
    }

    /// Connects to one of the addresses behind the name, in an order by chance. The error is a refusal only if all refuse.
    async fn any(&self) -> io::Result<TcpStream> {
        let found = lookup_host((self.host.as_str(), self.port)).await;
        let mut addresses: Vec<SocketAddr> =
            found.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.host)))?.collect();
        fastrand::shuffle(&mut addresses);
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", self.host));
        for address in addresses {
            match connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = weightier(last, error),
            }
        }
        Err(last)
    }
}

/// The error that says more of two addresses: of one that refuses nobody need be waited for, of others that is not known.
fn weightier(one: io::Error, other: io::Error) -> io::Error {
    let known = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
    if known.contains(&one.kind()) { other } else { one }
}

/// The error of a socket's path, with the likely slip: a controller in a network has a port.
fn hinted(path: &Path, error: io::Error) -> io::Error {
    let is_bare = path.components().count() == 1 && path.is_relative();
    if !is_bare || error.kind() != io::ErrorKind::NotFound {
        return error;
    }
    let text = format!(
        "{error}: no such socket here; a controller in a network needs its port, as in {}:15010",
        path.display()
    );
    io::Error::new(error.kind(), text)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    connected
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_refuses_only_if_all_of_its_addresses_do() {
        use io::ErrorKind::{ConnectionRefused, NotFound, TimedOut};
        let of = |kinds: &[io::ErrorKind]| {
            kinds.iter().map(|kind| (*kind).into()).fold(io::Error::from(NotFound), weightier).kind()
        };
        assert_eq!(of(&[]), NotFound);
        assert_eq!(of(&[ConnectionRefused, ConnectionRefused]), ConnectionRefused);
        assert_eq!(of(&[ConnectionRefused, TimedOut]), TimedOut);
        assert_eq!(of(&[TimedOut, ConnectionRefused]), TimedOut);
    }

    #[tokio::test]
    async fn a_name_without_a_port_is_told_from_a_socket_that_is_not_there() {
        let error = async |path: &str| {
            let address = ControllerAddress::Local(path.into());
            address.connect(None).await.map(drop).unwrap_err().to_string()
        };
        assert!(error("sluice-controller").await.contains("its port, as in sluice-controller:15010"));
        assert!(!error("/nowhere/nodes.sock").await.contains("port"));
    }
}
