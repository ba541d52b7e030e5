//! The file in a state directory that says whose it is, locked by that process. flock(2) belongs to the open file:
//! whoever has a descriptor of it holds the lock, and the kernel lets go of it however a process ends.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::Context as _;

use crate::handoff::Name;
use crate::state_dir::{self, LOCK};

/// Locks the directory's file; the inner error is its holder, if that is known.
pub(super) fn try_lock(dir: &Path) -> anyhow::Result<Result<File, Option<Name>>> {
    loop {
        let file = open(dir)?;
        match file.try_lock() {
            Ok(()) if is_named(&file, &dir.join(LOCK))? => return Ok(Ok(file)),
            // Whoever had it may have removed the file between our opening and locking it.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(holder(&file))),
            Err(TryLockError::Error(error)) => return Err(refused(dir, &error)),
        }
    }
}

/// Locks the directory's file as soon as nobody else holds it; the kernel wakes who waits.
pub(super) fn lock(dir: &Path) -> anyhow::Result<File> {
    loop {
        let file = open(dir)?;
        match file.lock() {
            Ok(()) if is_named(&file, &dir.join(LOCK))? => return Ok(file),
            // As above: a process that ends by itself removes it.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(refused(dir, &error)),
        }
    }
}

fn open(dir: &Path) -> anyhow::Result<File> {
    let file = state_dir::open_lock(dir, true);
    file.with_context(|| format!("--state-dir {}: not writable; choose another", dir.display()))
}

fn refused(dir: &Path, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("--state-dir {}: cannot be locked: {error}", dir.display())
}

/// True if `path` is the name of this open file.
pub(super) fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The owner's process id; on the next line how many take-overs there were before; on the third its pod, if
/// it has one.
pub(super) fn write_owner(lock: &File, serial: u32, owner: &Name) -> io::Result<()> {
    // One write, and no place in the file that the processes which share it would have to agree on.
    let pod = owner.pod.as_ref().map(|pod| format!("{pod}\n")).unwrap_or_default();
    let text = format!("{}\n{serial}\n{pod}", owner.pid);
    lock.write_all_at(text.as_bytes(), 0)?;
    lock.set_len(text.len() as u64)
}

/// The text of the file.
pub(super) fn read(lock: &File) -> io::Result<String> {
    // A pod's name has 253 characters at most.
    let mut text = [0; 512];
    let length = lock.read_at(&mut text, 0)?;
    Ok(String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned())
}

/// The process that holds `dir`, if one does.
pub(super) fn holder_of(dir: &Path) -> Option<Name> {
    let file = state_dir::open_lock(dir, false).ok()?;
    // Not locked, it is what a crash left. Asking takes the lock for a moment, for which a start waits.
    if file.try_lock_shared().is_ok() { None } else { holder(&file) }
}

/// The process that the file names.
pub(super) fn holder(lock: &File) -> Option<Name> {
    let text = read(lock).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok()?;
    Some(Name { pid, pod: lines.nth(1).map(str::to_owned) })
}
