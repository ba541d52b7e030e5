//! Where a run's logs lie, and which older ones go.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::cache;

/// The directory of a run that is alive: it holds the lock there until this is dropped or its process ends.
pub(crate) struct Logs {
    dir: PathBuf,
    _alive: File,
}

/// Runs whose logs are kept.
const KEPT: usize = 10;
const LOCK: &str = "lock";

impl Logs {
    /// A directory for this run of a command; the oldest of those that are over go.
    pub(crate) fn make(command: &str) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Self::make_in(&cache::dir()?.join(command), &format!("{now}-{}", std::process::id()))
    }

    fn make_in(all: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(all).with_context(|| format!("making {}", all.display()))?;
        // Held meanwhile, so that no run is taken for one that is over between its directory and its lock.
        let gate = File::create(all.join(".gate"))?;
        gate.lock()?;
        let mut old: Vec<_> = fs::read_dir(all)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        old.retain(|path| path.is_dir());
        old.sort();
        for path in old.iter().take((old.len() + 1).saturating_sub(KEPT)) {
            remove(path).with_context(|| format!("removing {}", path.display()))?;
        }
        let dir = all.join(name);
        fs::create_dir_all(&dir)?;
        let alive = File::create(dir.join(LOCK))?;
        alive.try_lock().with_context(|| format!("locking {}", dir.display()))?;
        Ok(Self { dir, _alive: alive })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Removes what a run has left; leaves the directory of one that is alive.
fn remove(dir: &Path) -> io::Result<()> {
    match File::open(dir.join(LOCK)).map(|lock| lock.try_lock()) {
        Ok(Err(TryLockError::WouldBlock)) => return Ok(()),
        Ok(Err(TryLockError::Error(e))) => return Err(e),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(Ok(())) | Err(_) => {}
    }
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    #[test]
    fn old_logs_go_but_not_those_of_a_run_that_is_alive() {
        let all = Scratch::new("logs").unwrap();
        let alive = Logs::make_in(all.path(), "100-1").unwrap();
        for n in 101..101 + KEPT {
            drop(Logs::make_in(all.path(), &format!("{n}-1")).unwrap());
        }
        assert!(alive.dir().join(LOCK).exists(), "the oldest is alive");
        assert!(all.join("101-1").exists(), "and counts");
        drop(alive);
        let last = Logs::make_in(all.path(), "200-1").unwrap();
        assert!(!all.join("100-1").exists() && !all.join("101-1").exists());
        assert!(all.join("102-1").exists() && last.dir().exists());
        remove(&all.join("999-9")).unwrap();
    }
}
