//! The helper's side: listens, and gives each connection a thread.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use gateway_steer::LendOptions;
use nix::sys::stat::{Mode, umask};
use rustix::net::{SocketAddrUnix, SocketFlags};
use tracing::{info, warn};

use crate::addresses::Duties;
use crate::connection::Connection;
use crate::exchange::{MAX_DESCRIPTORS, connect};
use crate::packets::{self, PacketSocket};
use crate::policy::Policy;
use crate::shared::{MAX_CONNECTIONS, Shared};

/// Time after a connection that was refused: whoever tries again and again gets little of the processor, and
/// of the log.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// A helper that listens.
#[derive(Debug)]
pub struct Server {
    listener: OwnedFd,
    path: PathBuf,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens at `path` for gateways of user `uid`, and of root.
    ///
    /// # Errors
    /// Another helper listens there; the socket cannot be made.
    pub fn listen(
        path: &Path,
        uid: u32,
        policy: Policy,
        lend: LendOptions,
        instance: String,
        duties: Box<dyn Duties>,
    ) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = packets::socket()?;
        // Its mode from the beginning, and no link is followed: the gateway may be able to write to the directory,
        // and to put something else in the socket's place.
        let mask = umask(Mode::from_bits_truncate(0o177));
        let bound = rustix::net::bind(&listener, &SocketAddrUnix::new(path)?);
        umask(mask);
        bound?;
        lchown(path, Some(uid), None)?;
        rustix::net::listen(&listener, 16)?;
        let shared = Arc::new(Shared::new(policy, lend, instance, uid, duties));
        Ok(Self { listener, path: path.to_owned(), shared })
    }

    /// Serves on threads of their own until [`close`](Self::close); they inherit the calling thread's rights and
    /// list of system calls.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(&self) -> io::Result<()> {
        let (listener, shared) = (self.listener.try_clone()?, Arc::clone(&self.shared));
        let accepting = move || accept(&listener, &shared);
        thread::Builder::new().name("helper-accept".to_owned()).spawn(accepting).map(drop)
    }

    /// Ends without a change for gateways, which hold on to what they have: removes names of programs, and the
    /// socket.
    pub fn close(self) {
        self.shared.close();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes a socket that nobody listens at.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = match std::fs::symlink_metadata(path) {
        Ok(found) => found.file_type().is_socket(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !is_socket {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is no socket"));
    }
    match connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another helper listens there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn accept(listener: &OwnedFd, shared: &Arc<Shared>) {
    for connection in 0.. {
        let refused = match rustix::net::accept_with(listener.as_fd(), SocketFlags::CLOEXEC) {
            Ok(socket) => admit(socket, connection, shared).err(),
            Err(error) => Some(error.into()),
        };
        if let Some(error) = refused {
            warn!(connection, "refused: {error}");
            thread::sleep(AFTER_REFUSAL);
        }
    }
}

/// Gives a connection its thread, if it is a gateway's and there is room.
fn admit(socket: OwnedFd, connection: u64, shared: &Arc<Shared>) -> io::Result<()> {
    let channel = PacketSocket::new(socket, MAX_DESCRIPTORS)?;
    let peer = channel.peer()?;
    if peer != 0 && peer != shared.uid {
        return Err(io::Error::other(format!("it runs as uid {peer}, and this serves uid {}", shared.uid)));
    }
    if !shared.enter(connection) {
        return Err(io::Error::other(format!("{MAX_CONNECTIONS} connections are open")));
    }
    let theirs = Arc::clone(shared);
    let serving = move || {
        info!(connection, "a gateway of uid {peer} is connected");
        match Connection::new(channel, connection, &theirs).serve() {
            Ok(()) => info!(connection, "the gateway has ended"),
            Err(reason) => warn!(connection, "closed: {reason}"),
        }
        theirs.leave(connection);
    };
    let started = thread::Builder::new().name("helper-serve".to_owned()).spawn(serving);
    started.map(drop).inspect_err(|_| shared.leave(connection))
}
