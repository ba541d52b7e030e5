//! Nodes on this machine, over a Unix socket: the kernel says whose they are.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::{Serving, accept_failed};

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;

/// The socket, and who may connect.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The Unix socket.
    pub path: PathBuf,
    /// Users whose processes may follow, beside root.
    pub users: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct LocalListener {
    listener: std::os::unix::net::UnixListener,
    users: Vec<u32>,
}

impl LocalListener {
    pub(super) fn bind(LocalOptions { path, users }: LocalOptions) -> io::Result<Self> {
        // What a process before left; a living one has its state directory locked.
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = std::os::unix::net::UnixListener::bind(&path)?;
        // Who may connect is told by the kernel, not by the file.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
        listener.set_nonblocking(true)?;
        info!(path = %path.display(), "nodes are served");
        Ok(Self { listener, users })
    }

    pub(super) async fn run(self, serving: Serving) {
        let listener = match UnixListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => return warn!("nodes cannot be served: {error}"),
        };
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, _)) if may_follow(&self.users, &stream) => {
                    let serving = serving.clone();
                    tokio::spawn(async move {
                        let _place = place;
                        let nodes = Arc::clone(&serving.nodes);
                        serving.one(stream, &&*nodes).await;
                    });
                }
                Ok(_) => {}
                Err(error) => accept_failed(&error).await,
            }
        }
    }
}

/// True if the kernel says that the other side is one of the users.
fn may_follow(users: &[u32], stream: &UnixStream) -> bool {
    let user = stream.peer_cred().map(|peer| peer.uid());
    let may = user.as_ref().is_ok_and(|user| *user == 0 || users.contains(user));
    if !may {
        let user = user.map_or_else(|error| error.to_string(), |user| format!("uid {user}"));
        warn!("{user} may not follow this controller: name the nodes' user with --node-users");
    }
    may
}
