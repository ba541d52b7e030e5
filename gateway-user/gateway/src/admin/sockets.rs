//! The sockets of the three servers: bound before anything else starts, served once this process is the one,
//! handed over.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use gateway_admin::{Hosts, Listener, Server, UnixSocket, check_length};
use ipnet::IpNet;
use tracing::{info, warn};

use super::servers::{ADMIN, HEALTH, METRICS};
use super::{Shared, dump, logging, metrics, ready, status};
use crate::flags::{Auto, Listen, Settings};
use crate::handoff::Received;

/// The admin socket's name in the state directory, without `.sock`.
const NAME: &str = "admin";
/// TCP port of metrics with `--metrics-address auto`.
const METRICS_PORT: u16 = 19001;

/// The admin socket of the process that serves a state directory.
pub(crate) fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join(format!("{NAME}.sock"))
}

/// Sockets of the three servers; those with an address are bound before anything else starts, so that a busy
/// port is found at once.
#[derive(Debug)]
pub(crate) struct Sockets {
    health: Option<Bound>,
    metrics: Option<Bound>,
    admin: Option<Bound>,
    admin_socket: Option<(UnixSocket, UnixListener)>,
    metrics_clients: Option<Vec<IpNet>>,
}

/// A socket for one address.
#[derive(Debug)]
struct Bound {
    socket: TcpListener,
    /// The address, where the socket is one for every address that the process before had.
    only: Option<IpAddr>,
}

/// The running servers.
#[derive(Debug)]
pub(crate) struct Servers {
    /// For a process that takes over.
    sockets: Vec<TcpListener>,
    /// Those on an address.
    on_addresses: Vec<Server>,
    admin_socket: Option<(UnixSocket, Server)>,
}

impl Sockets {
    /// Finds what can be found before a process that serves is disturbed.
    ///
    /// # Errors
    /// The state directory's path is too long for a socket in it.
    pub(crate) fn check(dir: &Path) -> anyhow::Result<()> {
        check_length(&socket_path(dir))
            .with_context(|| format!("--state-dir {}: choose a directory with a shorter path", dir.display()))
    }

    /// Binds those with an address, unless they were received from the process that is taken over from.
    ///
    /// # Errors
    /// An address is not free; names its setting.
    pub(crate) fn bind(settings: &Settings, cluster: bool, received: &mut Received) -> anyhow::Result<Self> {
        let mut bind = |setting, address: Listen| bind(setting, address, received);
        Ok(Self {
            health: bind("health-address", settings.health_address)?,
            metrics: bind("metrics-address", metrics_address(settings, cluster))?,
            admin: bind("admin-address", settings.admin_address)?,
            admin_socket: None,
            metrics_clients: settings.metrics_clients.0.clone(),
        })
    }

    /// Opens the socket in the state directory, in place of that of the process before. Being unable to is no
    /// reason not to serve.
    pub(crate) fn open_admin_socket(&mut self, state_dir: &Path) {
        if self.admin_socket.is_some() {
            return;
        }
        match UnixSocket::bind(state_dir, NAME) {
            Ok(socket) => self.admin_socket = Some(socket),
            Err(error) => {
                let path = socket_path(state_dir);
                warn!(
                    "{}: cannot listen there, so `sluice status` finds no process: {error}",
                    path.display()
                );
            }
        }
    }

    /// Serves on them, each on a thread of its own.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn serve(self, shared: &Shared) -> anyhow::Result<Servers> {
        let counters = &shared.counters;
        let mut servers = Servers { sockets: Vec::new(), on_addresses: Vec::new(), admin_socket: None };
        if let Some(health) = self.health {
            let router = ready::router(shared.readiness.clone());
            let listener = servers.keep("health", health, None)?;
            let server =
                Server::start("health", listener, router, Hosts::Any, HEALTH, counters.health.clone())?;
            servers.on_addresses.push(server);
        }
        if let Some(metrics) = self.metrics {
            let listener = servers.keep("metrics", metrics, self.metrics_clients)?;
            let router = metrics::router(shared.clone());
            let server =
                Server::start("metrics", listener, router, Hosts::Any, METRICS, counters.metrics.clone())?;
            servers.on_addresses.push(server);
        }
        if let Some(admin) = self.admin {
            let address = admin.socket.local_addr()?;
            warn!(
                %address,
                "--admin-address: anyone who reaches it reads the whole configuration and sets the log filter; the socket in \
                 --state-dir serves root and this process's user alone"
            );
            let listener = servers.keep("admin", admin, None)?;
            let server = Server::start(
                "admin",
                listener,
                admin_router(shared),
                Hosts::Own,
                ADMIN,
                counters.admin.clone(),
            )?;
            servers.on_addresses.push(server);
        }
        if let Some((socket, listener)) = self.admin_socket {
            info!(path = %socket.path().display(), "admin is served");
            let (listener, router) = (Listener::Unix(listener), admin_router(shared));
            let server =
                Server::start("admin-socket", listener, router, Hosts::Any, ADMIN, counters.admin.clone())?;
            servers.admin_socket = Some((socket, server));
        }
        Ok(servers)
    }
}

fn admin_router(shared: &Shared) -> Router {
    let router = dump::router(shared.clone()).merge(status::router(shared.clone()));
    router.merge(logging::router(shared.log_control.clone()))
}

/// Scrapers come from elsewhere in a cluster; on a node by itself, who may read metrics is for somebody to
/// say.
pub(crate) fn metrics_address(settings: &Settings, cluster: bool) -> Listen {
    match settings.metrics_address {
        Auto::Set(address) => address,
        Auto::Auto => {
            let address = if cluster { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
            Listen(Some((address, METRICS_PORT).into()))
        }
    }
}

impl Servers {
    /// Keeps a duplicate for a process that takes over.
    fn keep(&mut self, what: &str, bound: Bound, clients: Option<Vec<IpNet>>) -> io::Result<Listener> {
        let Bound { socket, only } = bound;
        let mut address = socket.local_addr()?;
        if let Some(only) = only {
            address.set_ip(only);
        }
        info!(%address, "{what} is served");
        self.sockets.push(socket.try_clone()?);
        Ok(Listener::Tcp { socket, only, clients })
    }

    /// Duplicates of the listening sockets that have an address.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn sockets(&self) -> io::Result<Vec<TcpListener>> {
        self.sockets.iter().map(TcpListener::try_clone).collect()
    }

    /// Another process serves: nothing more is accepted on addresses, and responses under way are finished.
    /// The admin socket leads to that process as soon as it has opened its own, if it does; else to nobody.
    pub(crate) fn hand_over(&mut self, opens_admin_socket: bool) {
        self.sockets.clear();
        self.on_addresses.clear();
        if let Some((socket, _)) = &mut self.admin_socket {
            if opens_admin_socket { socket.leave() } else { socket.remove() }
        }
    }
}

fn bind(setting: &str, address: Listen, received: &mut Received) -> anyhow::Result<Option<Bound>> {
    let Some(address) = address.0 else { return Ok(None) };
    if let Some(socket) = received.take_admin(address) {
        return Ok(Some(Bound { socket, only: None }));
    }
    match TcpListener::bind(address) {
        Ok(socket) => Ok(Some(Bound { socket, only: None })),
        Err(error) => match in_use(&error, address, received) {
            Some(socket) => Ok(Some(Bound { socket, only: Some(address.ip()) })),
            None => Err(error).with_context(|| {
                format!(
                    "--{setting} {address}: cannot listen there; free the port, choose another or write off"
                )
            }),
        },
    }
}

/// The process before has every address of this port: its socket, of which one address is served.
fn in_use(error: &io::Error, address: SocketAddr, received: &mut Received) -> Option<TcpListener> {
    let in_use = error.kind() == io::ErrorKind::AddrInUse;
    in_use.then(|| received.take_admin_of_every_address(address)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::settings;

    #[test]
    fn metrics_are_on_loopback_unless_a_cluster_is_served_or_somebody_says_otherwise() {
        let address = |flags: &[(&str, &str)], cluster| {
            metrics_address(&settings(flags), cluster).0.map(|address| address.to_string())
        };
        assert_eq!(address(&[], false).as_deref(), Some("127.0.0.1:19001"));
        assert_eq!(address(&[], true).as_deref(), Some("0.0.0.0:19001"));
        let before = [("metrics-address", "0.0.0.0:19001")];
        assert_eq!(address(&before, false).as_deref(), Some("0.0.0.0:19001"));
        assert_eq!(address(&[("metrics-address", "off")], true), None);
    }

    #[test]
    fn a_state_directory_with_a_long_path_is_a_mistake_that_names_its_setting() {
        let long = format!("/{}", "d".repeat(107));
        let error = format!("{:#}", Sockets::check(Path::new(&long)).unwrap_err());
        assert!(
            error.starts_with(&format!("--state-dir {long}: choose a directory with a shorter path")),
            "{error}"
        );
        assert!(error.contains("at most 107"), "{error}");
        assert!(Sockets::check(Path::new("/run/sluice")).is_ok());
    }

    #[test]
    fn one_address_is_served_on_a_socket_of_every_address_that_was_received() {
        let before = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = before.local_addr().unwrap().port();
        let mut received = Received::default();
        received.admin.push(before);
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let bound = bind("metrics-address", Listen(Some(address)), &mut received).unwrap().unwrap();
        assert_eq!(bound.only, Some(Ipv4Addr::LOCALHOST.into()));
        assert!(bound.socket.local_addr().unwrap().ip().is_unspecified());
        let error = bind("metrics-address", Listen(Some(address)), &mut received).unwrap_err();
        assert!(error.to_string().contains("--metrics-address 127.0.0.1:"), "{error:#}");
    }
}
