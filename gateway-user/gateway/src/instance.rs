//! One process per state directory: its lock, and the name that tells its kernel objects from others'.

mod lock_file;
mod spare;

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use gateway_control::addresses::link::{self, LinkAccess};
use tracing::info;

use self::lock_file::{holder, is_named, read, try_lock, write_owner};
use crate::flags::TakeOver;
use crate::handoff::{self, HandoffClient, HandoffReply, Name, Offer, Received};
use crate::identity::Identity;
use crate::state_dir::{self, LOCK};

/// Limit for a process that has the directory to listen for us: it may be starting.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit for one to end that has closed its sockets and drains.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);
/// Time between two attempts to reach or succeed it.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The right to use a state directory; given up, and the directory emptied, when dropped.
#[derive(Debug)]
pub(crate) struct Instance {
    dir: PathBuf,
    made: bool,
    serial: u32,
    /// Locked by flock(2), which belongs to the open file: whoever has a descriptor of it holds the lock.
    lock: File,
    /// Not ours to empty: before a take-over is complete, and after one from us.
    anothers: bool,
}

/// The way in which a process comes to its state directory.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) instance: Instance,
    /// From another process, which serves until it is told.
    pub(crate) taking_over: Option<(HandoffClient, Received)>,
}

impl Instance {
    /// Takes the directory, making it if need be, or begins to take over from the process that has it; a spare
    /// waits for that one's end. The lock file holds a process id; the kernel releases the lock however we end,
    /// so a file that a crash left is simply taken.
    ///
    /// # Errors
    /// Another process has it and does not hand over, which the message says; it cannot be made or written;
    /// or others could change what is in it.
    pub(crate) fn claim(dir: &Path, take_over: TakeOver, identity: &Identity) -> anyhow::Result<Claimed> {
        if take_over == TakeOver::Spare {
            let (lock, made) = spare::claim(dir, identity)?;
            return Self::fresh(dir, made, lock);
        }
        let mut made = false;
        let begun = Instant::now();
        let mut limit = LOCK_TIMEOUT;
        loop {
            // Whoever had it made may take it away at its end.
            made |= state_dir::make(dir, identity)?;
            let holder = match try_lock(dir) {
                Err(_) if !dir.exists() && begun.elapsed() < limit => continue,
                tried => tried?,
            };
            let holder = match holder {
                Ok(lock) => return Self::fresh(dir, made, lock),
                Err(holder) => holder,
            };
            let who = holder.map_or("another process".to_owned(), |name| format!("sluice ({name})"));
            if take_over == TakeOver::Never {
                bail!(
                    "--state-dir {}: {who} uses it; stop that one, choose another directory, or allow --take-over",
                    dir.display()
                );
            }
            match handoff::ask(&handoff::socket_path(dir), identity.uid()) {
                HandoffReply::Offered(handoff_client, received) => {
                    return Self::anothers(dir, handoff_client, *received);
                }
                HandoffReply::Refused(reason) => {
                    bail!("--state-dir {}: {who} does not hand over: {reason}", dir.display())
                }
                // It listens from its start until its sockets close.
                reply if limit < DRAIN_TIMEOUT && drains(&reply, dir) => {
                    info!("{who} drains; waits for its end");
                    limit = DRAIN_TIMEOUT;
                }
                _ if begun.elapsed() < limit => std::thread::sleep(RETRY_DELAY),
                HandoffReply::Nobody | HandoffReply::Ends => bail!(
                    "--state-dir {}: {who} uses it and hands over to nobody: it is starting, draining, or too old \
                     for that; stop it or choose another directory",
                    dir.display()
                ),
            }
        }
    }

    fn fresh(dir: &Path, made: bool, lock: File) -> anyhow::Result<Claimed> {
        write_owner(&lock, 0, &Name::own())?;
        // Whoever listened there is dead.
        remove_if_there(&handoff::socket_path(dir))?;
        let instance = Self { dir: dir.to_owned(), made, serial: 0, lock, anothers: false };
        Ok(Claimed { instance, taking_over: None })
    }

    fn anothers(
        dir: &Path,
        handoff_client: HandoffClient,
        mut received: Received,
    ) -> anyhow::Result<Claimed> {
        let Offer { made, serial, pid, .. } = handoff_client.offer().clone();
        let lock = received.lock.take().filter(|lock| is_named(lock, &dir.join(LOCK)).unwrap_or(false));
        let Some(lock) = lock else {
            bail!("--state-dir {}: sluice (pid {pid}) did not hand over its lock", dir.display());
        };
        let serial = serial.wrapping_add(1);
        let instance = Self { dir: dir.to_owned(), made, serial, lock, anothers: true };
        Ok(Claimed { instance, taking_over: Some((handoff_client, received)) })
    }

    /// The take-over is complete: the directory is ours.
    ///
    /// # Errors
    /// The lock file cannot be written.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        self.anothers = false;
        write_owner(&self.lock, self.serial, &Name::own())
    }

    /// True if no other process has taken the directory over. Process ids would not tell: in two containers
    /// both may be 1.
    pub(crate) fn is_ours(&self) -> bool {
        let owner = read(&self.lock).ok();
        // A file that cannot be read was not written by another process either.
        owner
            .and_then(|text| text.lines().nth(1)?.parse().ok())
            .is_none_or(|serial: u32| serial == self.serial)
    }

    /// Makes the directory and all in it `uid`'s, the user that this process goes on as.
    ///
    /// # Errors
    /// This thread lacks CAP_CHOWN.
    pub(crate) fn give_to(&self, uid: u32) -> anyhow::Result<()> {
        state_dir::give(&self.dir, uid)
            .with_context(|| format!("--state-dir {}: giving it to uid {uid}", self.dir.display()))
    }

    /// The same, if the process goes on as another user.
    ///
    /// # Errors
    /// As [`give_to`](Self::give_to).
    pub(crate) fn give_to_other(&self, identity: &Identity) -> anyhow::Result<()> {
        identity.other().map_or(Ok(()), |uid| self.give_to(uid))
    }

    /// Leaves the directory to the process that took over.
    pub(crate) fn leave(mut self) {
        self.anothers = true;
    }

    /// Takes away the socket that nobody of ours listens at any more.
    pub(crate) fn stop_listening(&self) {
        let _ = fs::remove_file(handoff::socket_path(&self.dir));
    }

    /// Another descriptor of the locked file.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn lock(&self) -> io::Result<OwnedFd> {
        self.lock.try_clone().map(OwnedFd::from)
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where last good versions of objects are kept. The file stays behind, and then so does the directory.
    pub(crate) fn last_good(&self) -> PathBuf {
        self.dir.join("last-good")
    }

    /// Where the assignments of the pool are kept; the file stays behind as well.
    pub(crate) fn addresses(&self) -> PathBuf {
        self.dir.join("addresses")
    }

    /// Where this node's copy of the assignments of a cluster is kept; the file stays behind too.
    pub(crate) fn cluster_addresses(&self) -> PathBuf {
        self.dir.join("addresses-cluster")
    }

    /// Where addresses are written down that were put on an interface.
    pub(crate) fn interface_addresses(&self) -> PathBuf {
        interface_addresses(&self.dir)
    }

    /// True if the directory was made for us or for those we took over from.
    pub(crate) fn made(&self) -> bool {
        self.made
    }

    /// Take-overs since a process was started.
    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    /// A name for kernel objects: of the directory, and of the take-over, since two processes have theirs
    /// side by side then. A dead process's directory is found by its lock, whatever its name.
    pub(crate) fn name(&self) -> String {
        let path = self.dir.canonicalize().unwrap_or_else(|_| self.dir.clone());
        let name = format!("i{:016x}", fnv1a(path.as_os_str().as_encoded_bytes()));
        if self.serial == 0 { name } else { format!("{name}-{}", self.serial) }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.anothers {
            return;
        }
        // Failing leaves an unlocked file, which the next start takes over.
        self.stop_listening();
        let _ = fs::remove_file(self.dir.join(LOCK));
        if self.made {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

/// True if the process that has the directory asks for none to take over any more.
fn drains(reply: &HandoffReply, dir: &Path) -> bool {
    match reply {
        HandoffReply::Ends => true,
        HandoffReply::Nobody => !handoff::socket_path(dir).exists(),
        HandoffReply::Offered(..) | HandoffReply::Refused(_) => false,
    }
}

/// Where a process on this directory writes down the addresses that it puts on an interface.
fn interface_addresses(dir: &Path) -> PathBuf {
    dir.join("interface-addresses")
}

fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// Removes what a crashed process left in `dir`; says what was done, one line each.
///
/// # Errors
/// The directory cannot be read or written.
pub(crate) fn remove_stale(dir: &Path) -> io::Result<Vec<String>> {
    let path = dir.join(LOCK);
    let file = match state_dir::open_lock(dir, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    };
    if file.try_lock().is_err() {
        let name = holder(&file).map_or(String::new(), |name| format!(" by {name}"));
        return Ok(vec![format!("left {}: in use{name}", path.display())]);
    }
    let mut said = Vec::new();
    let addresses = link::release(&interface_addresses(dir), &LinkAccess::Own)?;
    said.extend(addresses.iter().map(|address| format!("took {address} off its interface")));
    let admin = [crate::admin::socket_path(dir), dir.join("admin.new")];
    for stale in admin.into_iter().chain([handoff::socket_path(dir), path]) {
        if remove_if_there(&stale)? {
            said.push(format!("removed {}", stale.display()));
        }
    }
    Ok(said)
}

/// The process that holds `dir`, if one does.
pub(crate) fn serving(dir: &Path) -> Option<u32> {
    lock_file::holder_of(dir).map(|name| name.pid)
}

/// A name for kernel objects of the helper that listens at `socket`.
pub(crate) fn helper_name(socket: &Path) -> String {
    let path = std::path::absolute(socket).unwrap_or_else(|_| socket.to_owned());
    format!("h{:016x}", fnv1a(path.as_os_str().as_encoded_bytes()))
}

/// FNV-1a, 64 bits: a short stable name, no secret.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn claim(dir: &Path) -> anyhow::Result<Instance> {
        Instance::claim(dir, TakeOver::Never, &Identity::default()).map(|claimed| claimed.instance)
    }

    #[test]
    fn a_directory_has_one_owner_and_is_left_as_it_was() {
        let scratch = Scratch::new("instance").unwrap();
        let dir = scratch.join("state");
        let first = claim(&dir).unwrap();
        let error = claim(&dir).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        assert!(remove_stale(&dir).unwrap()[0].starts_with("left "));
        drop(first);
        assert!(!dir.exists(), "we made it, so we remove it");
        fs::create_dir(&dir).unwrap();
        drop(claim(&dir).unwrap());
        assert!(dir.exists() && fs::read_dir(&dir).unwrap().next().is_none());
    }

    #[test]
    fn what_a_crash_left_is_taken_over_or_removed() {
        let dir = Scratch::new("instance").unwrap();
        for name in [LOCK, "takeover.sock"] {
            fs::write(dir.join(name), "1\n").unwrap();
        }
        let said = remove_stale(dir.path()).unwrap();
        assert!(said.len() == 2 && said.iter().all(|line| line.starts_with("removed ")), "{said:?}");
        assert!(remove_stale(dir.path()).unwrap().is_empty());
        fs::write(dir.join(LOCK), "1\n").unwrap();
        assert!(claim(dir.path()).is_ok());
    }

    #[test]
    fn a_process_knows_when_the_directory_was_taken_over() {
        let dir = Scratch::new("instance").unwrap();
        let mut first = claim(dir.path()).unwrap();
        assert!(first.is_ours());
        let lock = File::from(first.lock().unwrap());
        write_owner(&lock, 1, &Name::own()).unwrap();
        assert!(!first.is_ours(), "though the process id is the same");
        first.settle().unwrap();
        assert!(first.is_ours());
        assert_eq!(holder(&lock), Some(Name::own()));
    }

    #[test]
    fn the_lock_names_the_pod() {
        let dir = Scratch::new("instance").unwrap();
        let first = claim(dir.path()).unwrap();
        let name = Name { pid: 1, pod: Some("sluice-x7f2k".to_owned()) };
        write_owner(&File::from(first.lock().unwrap()), 0, &name).unwrap();
        let error = claim(dir.path()).unwrap_err().to_string();
        assert!(error.contains("sluice (pid 1 in pod sluice-x7f2k) uses it"), "{error}");
        assert_eq!(
            remove_stale(dir.path()).unwrap()[0].split(": ").nth(1),
            Some("in use by pid 1 in pod sluice-x7f2k")
        );
        // The rest of a longer name is cut off.
        write_owner(&File::from(first.lock().unwrap()), 3, &Name { pid: 2, pod: None }).unwrap();
        assert_eq!(holder(&File::from(first.lock().unwrap())), Some(Name { pid: 2, pod: None }));
    }

    #[test]
    fn the_lock_is_held_until_its_last_descriptor_is_closed() {
        let dir = Scratch::new("instance").unwrap();
        let first = claim(dir.path()).unwrap();
        let handed_over = first.lock().unwrap();
        first.leave();
        assert!(claim(dir.path()).is_err(), "who was handed the lock holds it");
        drop(handed_over);
        assert!(claim(dir.path()).is_ok());
    }
}
