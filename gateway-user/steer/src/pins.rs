//! Pins: names on bpffs that keep maps, programs and the link reachable for other processes.
//!
//! Each process has a directory `<bpffs>/sluice/v<layout>/<instance>`, and holds a flock(2) on it while it
//! lives. The kernel lets go of the lock whatever way the process ends, so a process that gets the lock knows
//! that the owner is dead and may remove what it left. Pins that outlive their owner do no harm meanwhile:
//! the programs find no worker socket and let everything pass.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use gateway_common::programs::SK_LOOKUP_LINK;
use nix::fcntl::{AtFlags, Flock, FlockArg};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use nix::unistd::{Uid, UnlinkatFlags, fchown, fchownat, unlinkat};

/// Directory of ours on bpffs.
const ROOT: &str = "sluice";

/// Result of [`cleanup`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CleanupReport {
    /// Directories of dead processes, removed with all pins in them.
    pub removed: Vec<PathBuf>,
    /// Directories of running processes, left alone, with the process where the system says.
    pub in_use: Vec<(PathBuf, Option<u32>)>,
}

/// A pin directory that this process owns; removed with its pins when dropped.
#[derive(Debug)]
pub(crate) struct Pins {
    dir: PathBuf,
    /// The directory itself, locked.
    lock: Flock<File>,
    /// The directories above it that are ours: that of the layout, and [`ROOT`].
    above: [File; 2],
}

/// Reasons why a process gets no pin directory.
#[derive(Debug)]
pub(crate) enum PinError {
    /// Its owner lives.
    Busy { dir: PathBuf, pid: Option<u32> },
    /// There is no place for pins; they can be done without.
    NoPlace(String),
}

impl Pins {
    /// Takes the directory of `instance`, empty; directories of dead processes are removed on the way.
    pub(crate) fn claim(bpffs: &Path, layout: u32, instance: &str) -> Result<Self, PinError> {
        is_bpffs(bpffs).map_err(PinError::NoPlace)?;
        let dir = bpffs.join(ROOT).join(format!("v{layout}")).join(instance);
        let no_place = |e: io::Error| PinError::NoPlace(format!("{}: {e}", dir.display()));
        // Leftovers of other dead processes are no reason not to start.
        let _ = cleanup(bpffs);
        // Each round loses to somebody who removes the directory between making and locking it.
        for _ in 0..100 {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(no_place)?;
            match lock(&dir) {
                Ok(Some(lock)) => {
                    remove_pins(&dir).map_err(no_place)?;
                    let version = File::open(dir.join("..")).map_err(no_place)?;
                    let root = File::open(dir.join("../..")).map_err(no_place)?;
                    return Ok(Self { dir, lock, above: [version, root] });
                }
                Ok(None) => return Err(PinError::Busy { pid: owner(&dir), dir }),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(no_place(e)),
            }
        }
        Err(PinError::NoPlace(format!(
            "{}: removed by another process as often as it is created",
            dir.display()
        )))
    }

    /// Its path, for people.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path to the directory that needs no leave of those above it: systems mount bpffs for root alone, and
    /// the process may be somebody else by now.
    pub(crate) fn place(&self) -> PathBuf {
        through(&self.lock)
    }

    /// Makes the directory and what is in it `uid`'s, and those above it that are root's.
    pub(crate) fn give_to(&self, uid: u32) -> io::Result<()> {
        let uid = Some(Uid::from_raw(uid));
        for entry in fs::read_dir(self.place())? {
            fchownat(&*self.lock, entry?.file_name().as_os_str(), uid, None, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        fchown(&*self.lock, uid, None)?;
        for above in &self.above {
            if above.metadata()?.uid() == 0 {
                fchown(above, uid, None)?;
            }
        }
        Ok(())
    }
}

/// The path of an open directory.
fn through(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()))
}

impl Drop for Pins {
    fn drop(&mut self) {
        // Leftovers that cannot be removed are found and removed by the next start or by `sluice cleanup`.
        let _ = remove_pins(&self.place());
        let [version, root] = &self.above;
        for (above, path) in [(version, Some(self.dir.as_path())), (root, self.dir.parent())] {
            if let Some(name) = path.and_then(Path::file_name) {
                let _ = unlinkat(above, name, UnlinkatFlags::RemoveDir);
            }
        }
        if let Some(root) = self.dir.parent().and_then(Path::parent) {
            let _ = fs::remove_dir(root);
        }
    }
}

/// Removes the pins of every process that is dead, of every layout version, from the bpffs at `bpffs`.
///
/// # Errors
/// The directory cannot be read, or a pin cannot be removed; what can be is removed all the same.
pub fn cleanup(bpffs: &Path) -> io::Result<CleanupReport> {
    let mut report = CleanupReport::default();
    let mut failed = Ok(());
    if is_bpffs(bpffs).is_err() {
        return Ok(report); // no pins there, and files of others are not to be touched
    }
    for version in subdirectories(&bpffs.join(ROOT))? {
        for dir in subdirectories(&version)? {
            match lock(&dir) {
                Ok(Some(_held)) => match remove_pins(&dir).and_then(|()| fs::remove_dir(&dir)) {
                    Ok(()) => report.removed.push(dir),
                    Err(e) => failed = Err(io::Error::new(e.kind(), format!("{}: {e}", dir.display()))),
                },
                Ok(None) => report.in_use.push((dir.clone(), owner(&dir))),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {} // another clean-up was faster
                Err(e) => failed = Err(io::Error::new(e.kind(), format!("{}: {e}", dir.display()))),
            }
        }
        remove_empty(&version);
    }
    failed.map(|()| report)
}

fn is_bpffs(path: &Path) -> Result<(), String> {
    match statfs(path) {
        Ok(fs) if fs.filesystem_type() == BPF_FS_MAGIC => Ok(()),
        Ok(_) => Err(format!("{} is not a bpffs (`mount -t bpf bpf {0}` makes one)", path.display())),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

/// Locks a directory; `None` when somebody else has it, `NotFound` when it is no longer there under its name.
fn lock(dir: &Path) -> io::Result<Option<Flock<File>>> {
    let lock = match Flock::lock(File::open(dir)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, e)) => return Err(e.into()),
    };
    let (held, named) = (lock.metadata()?, fs::metadata(dir)?);
    if (held.dev(), held.ino()) != (named.dev(), named.ino()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Some(lock))
}

/// Process that holds the flock on a directory, from `/proc/locks`: `n: FLOCK ADVISORY WRITE pid
/// major:minor:inode …`.
fn owner(dir: &Path) -> Option<u32> {
    let inode = fs::metadata(dir).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let line = locks.lines().find(|line| {
        line.contains(" FLOCK ")
            && line.split_ascii_whitespace().nth(5).and_then(|file| file.rsplit(':').next()?.parse().ok())
                == Some(inode)
    })?;
    line.split_ascii_whitespace().nth(4)?.parse().ok().filter(|pid| *pid > 0)
}

/// Removes every pin in a directory, the link first: with it gone no program runs any more.
fn remove_pins(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(SK_LOOKUP_LINK)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    for entry in fs::read_dir(dir)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Removes a version's directory and ours if nobody has anything in them; a directory in use is not removed.
fn remove_empty(version: &Path) {
    let _ = fs::remove_dir(version);
    if let Some(root) = version.parent() {
        let _ = fs::remove_dir(root);
    }
}

fn subdirectories(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", dir.display()))),
    };
    let mut found: Vec<PathBuf> =
        entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect();
    found.sort();
    Ok(found)
}
