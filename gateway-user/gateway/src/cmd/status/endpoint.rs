//! Requests to the running process, over its socket or its address.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use crate::admin::{Sockets, socket_path};
use crate::cmd::local_http::{self, Response};
use crate::flags::Settings;
use crate::state_dir;

/// Limit for each step of the running process's response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Address of the running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// The socket in its state directory.
    Socket(PathBuf),
    /// Its `--admin-address`.
    Address(SocketAddr),
}

impl Endpoint {
    /// The address if one is given, else the state directory's socket.
    ///
    /// # Errors
    /// The directory's path is too long for a socket, or a stranger has the directory.
    pub(super) fn of(settings: &Settings) -> anyhow::Result<Self> {
        match settings.admin_address.0 {
            Some(address) => Ok(Self::Address(reachable(address))),
            None => {
                let dir = state_dir::resolve(&settings.state_dir)?;
                Sockets::check(&dir)?;
                Ok(Self::Socket(socket_path(&dir)))
            }
        }
    }

    /// Advice when no process responds.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::Address(address) => {
                format!("no Sluice responds on {address}; is one running, and is this its --admin-address?")
            }
            Self::Socket(path) => {
                let (dir, uid) = (path.parent().unwrap_or(path), rustix::process::geteuid());
                let elsewhere = match uid.is_root() || dir.exists() {
                    true => "",
                    false => "; one that root has started without that flag: sudo sluice status",
                };
                format!(
                    "{}: no Sluice responds there to uid {}; is one running, and is this its --state-dir? Only root and the \
                     user that it runs as may ask: sudo sluice status --state-dir {}{elsewhere}",
                    path.display(),
                    uid.as_raw(),
                    dir.display()
                )
            }
        }
    }

    /// The body of the response to one `GET`.
    ///
    /// # Errors
    /// No process listens there, it does not respond in time, or the status of its response is not 200.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<String> {
        match self {
            Self::Address(address) => {
                let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                get(stream, &address.to_string(), path)
            }
            Self::Socket(socket) => {
                let stream = UnixStream::connect(socket)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                get(stream, "localhost", path)
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// A server on the unspecified address is reached on loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        std::net::IpAddr::V4(_) => ([127, 0, 0, 1], address.port()).into(),
        std::net::IpAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}

fn get(stream: impl Read + Write, host: &str, path: &str) -> anyhow::Result<String> {
    let Response { status, body } = local_http::get(stream, host, path)?;
    if status != 200 {
        bail!("it responds {status}: {}", body.lines().next().unwrap_or_default());
    }
    Ok(body)
}
