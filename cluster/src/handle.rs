//! Where a cluster lies on disk, and which of those on this machine are alive.
//!
//! A cluster holds the lock of its directory for as long as any of its processes lives: the first one
//! inherits it and hands it on to all others. So a directory whose lock is free is what a dead cluster left,
//! and taking the lock after its end is waiting for the last of them.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cgroup;
use crate::cache;

/// A cluster's directory.
#[derive(Clone, Debug)]
pub struct Cluster {
    name: String,
    dir: PathBuf,
}

/// Far above what the end of a killed cluster takes.
const END_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

impl Cluster {
    /// The place of the cluster of this name, there or not.
    ///
    /// # Errors
    /// The name has other characters than letters, digits, `-` and `_`.
    pub fn of(name: &str) -> Result<Self> {
        let word =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        ensure!(word, "--name {name}: write letters, digits and dashes");
        Ok(Self { name: name.to_owned(), dir: all()?.join(name) })
    }

    /// Every cluster that is or was on this machine, by name.
    ///
    /// # Errors
    /// The directory of clusters cannot be read.
    pub fn list() -> Result<Vec<Self>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(all()?)? {
            let entry = entry?;
            if entry.path().is_dir() {
                names.push(entry.file_name().display().to_string());
            }
        }
        names.sort();
        names.iter().map(|name| Self::of(name)).collect()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// How anybody with the right to it talks to the API server.
    pub fn kubeconfig(&self) -> PathBuf {
        self.join("pki/admin.kubeconfig")
    }

    /// Makes the directory afresh and takes its lock; what starts next inherits it. Fails if the
    /// cluster is alive.
    pub(super) fn take(&self) -> Result<File> {
        let _one_at_a_time = self.lock_all()?;
        if self.dir.exists() {
            ensure!(!self.alive()?, "the cluster {} is up already", self.name);
            self.remove()?;
        }
        fs::create_dir_all(&self.dir)?;
        let lock = File::create(self.join("lock"))?;
        lock.try_lock().with_context(|| format!("locking {}", self.dir.display()))?;
        fcntl(&lock, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(lock)
    }

    /// True while any process of the cluster lives.
    ///
    /// # Errors
    /// The lock cannot be tried.
    pub fn alive(&self) -> Result<bool> {
        let Ok(lock) = File::open(self.join("lock")) else { return Ok(false) };
        match lock.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => {
                Err(e).with_context(|| format!("the lock of {}", self.dir.display()))
            }
        }
    }

    /// Remembers the first process of the cluster, by its id outside.
    pub(super) fn remember(&self, first: u32) -> Result<()> {
        Ok(fs::write(self.join("pid"), first.to_string())?)
    }

    /// The first process of a live cluster.
    ///
    /// # Errors
    /// The cluster does not run, or is just being started.
    pub fn first(&self) -> Result<u32> {
        ensure!(self.alive()?, "the cluster {} is not up: start it with `cargo xtask cluster up`", self.name);
        let first = fs::read_to_string(self.join("pid")).unwrap_or_default();
        let first = first.parse().context("the cluster is just being started")?;
        ensure!(self.is_ours(first), "the first process of the cluster {} has ended", self.name);
        Ok(first)
    }

    /// True if the process of this id was started for this directory; an id may have been given to
    /// another one since.
    fn is_ours(&self, pid: u32) -> bool {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == self.dir.as_os_str().as_encoded_bytes())
    }

    /// Kills the cluster if it lives, waits for the end of its last process and removes what it leaves.
    ///
    /// # Errors
    /// A process does not end in time, or something cannot be removed.
    pub fn end(&self) -> Result<()> {
        let _one_at_a_time = self.lock_all()?;
        if !self.dir.exists() {
            return Ok(());
        }
        let end = Instant::now() + END_TIMEOUT;
        while self.alive()? {
            self.kill_first()?;
            if Instant::now() > end {
                bail!("processes of the cluster {} are still there; {} stays", self.name, self.dir.display());
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.remove()
    }

    /// Kills the first process, if there is one; the kernel ends every other one of its PID
    /// namespace with it.
    fn kill_first(&self) -> Result<()> {
        // Without it the others are about to end. A process that is just starting its program has no
        // command line yet.
        let Ok(first) = self.first() else { return Ok(()) };
        match kill(Pid::from_raw(first.cast_signed()), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(e) => Err(e).with_context(|| format!("ending the cluster {}", self.name)),
        }
    }

    /// Held while directories come and go, so that none is taken for dead between its making and its lock.
    fn lock_all(&self) -> Result<File> {
        let beside = self.dir.parent().context("a cluster's directory has a parent")?;
        let file = File::create(beside.join(".gate"))?;
        file.lock()?;
        Ok(file)
    }

    /// Removes what a dead cluster left: mounts and networks went with its namespaces, control groups
    /// and files stay.
    fn remove(&self) -> Result<()> {
        cgroup::remove(&self.dir)?;
        fs::remove_dir_all(&self.dir).with_context(|| format!("removing {}", self.dir.display()))
    }
}

/// Removes what dead clusters have left on this machine.
///
/// # Errors
/// Something cannot be removed.
pub fn sweep() -> Result<()> {
    for cluster in Cluster::list()? {
        let _one_at_a_time = cluster.lock_all()?;
        if cluster.dir.exists() && !cluster.alive()? {
            println!("removing what the dead cluster {} left", cluster.name);
            cluster.remove()?;
        }
    }
    Ok(())
}

fn all() -> Result<PathBuf> {
    let dir = cache::dir()?.join("clusters");
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    fs::canonicalize(&dir).with_context(|| dir.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};

    use gateway_testkit::process::Guarded;
    use gateway_testkit::scratch::Scratch;
    use gateway_testkit::wait;

    use super::*;
    use crate::proc;

    #[test]
    fn a_cluster_lives_as_long_as_any_process_that_inherited_its_lock() {
        let all = Scratch::new("place").unwrap();
        let name = format!("test-{}", std::process::id());
        let cluster = Cluster { dir: all.join(&name), name };
        assert!(!cluster.alive().unwrap(), "there is none yet");
        let lock = cluster.take().unwrap();
        assert!(cluster.take().is_err(), "it is being started");
        // Like a cluster: the first process starts another one, which inherits all that the first has.
        let mut command = Command::new("sh");
        let first = Guarded::spawn(command.args(["-c", "sleep 300 & wait"]).arg(cluster.dir())).unwrap();
        drop(lock);
        assert!(cluster.alive().unwrap());
        assert!(cluster.first().is_err(), "nobody has said yet which process is the first");
        cluster.remember(first.pid()).unwrap();
        // A process has no command line while it starts its program.
        assert_eq!(wait::until("its command line", || cluster.first().ok()), first.pid());
        let second = wait::until("the second process", || proc::first_child(first.pid()));
        drop(first);
        assert!(cluster.alive().unwrap(), "the second process still has the lock");
        kill(Pid::from_raw(second.cast_signed()), Signal::SIGKILL).unwrap();
        wait::until("the end of the last process", || (!cluster.alive().unwrap()).then_some(()));
        cluster.end().unwrap();
        assert!(!cluster.dir().exists());
    }

    #[test]
    fn what_is_alive_is_killed_and_removed() {
        let all = Scratch::new("clear").unwrap();
        let name = format!("test-clear-{}", std::process::id());
        let cluster = Cluster { dir: all.join(&name), name };
        cluster.end().unwrap();
        let lock = cluster.take().unwrap();
        // Reads what never comes.
        let mut first =
            Command::new("cat").arg("-").arg(cluster.dir()).stdin(Stdio::piped()).spawn().unwrap();
        drop(lock);
        cluster.remember(first.id()).unwrap();
        cluster.end().unwrap();
        assert!(!cluster.dir().exists());
        assert_eq!(first.wait().unwrap().signal(), Some(Signal::SIGKILL as i32), "it was killed");
    }

    #[test]
    fn a_stranger_with_the_id_of_the_first_process_is_spared() {
        let all = Scratch::new("stranger").unwrap();
        let name = format!("test-stranger-{}", std::process::id());
        let cluster = Cluster { dir: all.join(&name), name };
        let mut stranger = Guarded::spawn(Command::new("sleep").arg("300")).unwrap();
        let lock = cluster.take().unwrap();
        cluster.remember(stranger.pid()).unwrap();
        assert!(cluster.first().is_err(), "nobody may enter its namespaces");
        // The last process of the cluster ends while it is waited for.
        let last = thread::spawn(move || {
            thread::sleep(POLL_INTERVAL);
            drop(lock);
        });
        cluster.end().unwrap();
        last.join().unwrap();
        assert!(!cluster.dir().exists());
        assert!(stranger.try_wait().unwrap().is_none(), "it still runs");
    }

    #[test]
    fn names_are_words() {
        for wrong in ["", ".", "../x", "a/b", "a b"] {
            assert!(Cluster::of(wrong).is_err(), "{wrong}");
        }
    }
}
