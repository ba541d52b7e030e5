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
    /// Listens at `path` for gateways of user `uid`, and of root. What was made for one that was killed stays for the next
    /// one, for `hold`.
    ///
    /// # Errors
    /// Another helper listens there; the socket cannot be made.
    pub fn listen(
        path: &Path,
        uid: u32,
        policy: Policy,
        lend: LendOptions,
        instance: String,
        hold: Duration,
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
        let shared = Arc::new(Shared::new(policy, lend, instance, uid, hold, duties));
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
    /// socket. What was made for gateways that have ended is taken back first, for up to 5 s.
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
    if !shared.enter(connection, channel.try_clone()?) {
        return Err(io::Error::other(format!("{MAX_CONNECTIONS} connections are open")));
    }
    let theirs = Arc::clone(shared);
    let serving = move || {
        info!(connection, "a gateway of uid {peer} is connected");
        let served = Connection::new(channel, connection, &theirs).serve();
        match &served {
            Ok(()) => info!(connection, "the gateway has ended"),
            Err(reason) => warn!(connection, "closed: {reason}"),
        }
        theirs.leave(connection, served.is_ok());
    };
    let started = thread::Builder::new().name("helper-serve".to_owned()).spawn(serving);
    started.map(drop).inspect_err(|_| shared.leave(connection, false))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;
    use std::sync::Mutex;
    use std::time::Duration;

    use gateway_testkit::scratch::Scratch;

    use super::*;
    use crate::HelperClient;

    /// An interface from which taking an address off takes a while, as on a busy machine.
    #[derive(Clone, Debug, Default)]
    struct SlowInterface(Arc<Mutex<BTreeSet<IpAddr>>>);

    impl Duties for SlowInterface {
        fn give_state_dir(&self) -> io::Result<()> {
            Ok(())
        }

        fn expect_address(&self, _: IpAddr) -> Result<(), String> {
            Ok(())
        }

        fn put_address(&self, ip: IpAddr) -> Result<bool, String> {
            self.0.lock().unwrap().insert(ip);
            Ok(true)
        }

        fn remove_address(&self, ip: IpAddr) -> Result<(), String> {
            thread::sleep(Duration::from_millis(200));
            self.0.lock().unwrap().remove(&ip);
            Ok(())
        }

        fn announce(&self, _: IpAddr) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn addresses_of_a_gateway_that_has_ended_are_taken_off_before_the_helper_ends() {
        let dir = Scratch::new("helper-close").unwrap();
        let path = dir.join("socket");
        let interface = SlowInterface::default();
        let policy = Policy {
            pool: vec!["192.0.2.0/24".parse().unwrap()],
            interface: Some("lan0".to_owned()),
            ..Policy::default()
        };
        let lend = LendOptions {
            reserved_ports: BTreeSet::new(),
            allowed_ports: None,
            pool: policy.pool.clone(),
            bpffs: dir.join("bpf"),
            layout: gateway_steer::LAYOUT_VERSION,
        };
        let uid = rustix::process::getuid().as_raw();
        let server = Server::listen(
            &path,
            uid,
            policy,
            lend,
            "test".to_owned(),
            Duration::ZERO,
            Box::new(interface.clone()),
        )
        .unwrap();
        server.start().unwrap();
        let [ended, living] =
            [(); 2].map(|()| HelperClient::connect(&path, Duration::from_secs(30)).unwrap());
        let [gone, kept] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        assert!(ended.put_address(gone).unwrap());
        assert!(living.put_address(kept).unwrap());
        drop(ended);
        server.close();
        let left: Vec<_> = interface.0.lock().unwrap().iter().copied().collect();
        assert_eq!(left, [kept], "the gateway that lives goes on with what it has");
    }
}
