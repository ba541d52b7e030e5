//! One process per state directory: its lock, and the name that tells its kernel objects from others'.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};

const LOCK: &str = "lock";

/// The right to use a state directory; given up, and the directory emptied, when dropped.
#[derive(Debug)]
pub(crate) struct Instance {
    dir: PathBuf,
    made: bool,
    _lock: Flock<File>,
}

impl Instance {
    /// Takes the directory, making it if need be. The lock file holds our process id; the kernel releases the lock
    /// however we end, so a file that a crash left is simply taken over.
    ///
    /// # Errors
    /// Another process has it, which the message names; or it cannot be made or written.
    pub(crate) fn claim(dir: &Path) -> anyhow::Result<Self> {
        let made = !dir.exists();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| {
            format!("--state-dir {}: cannot be made; choose a writable one", dir.display())
        })?;
        let path = dir.join(LOCK);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file =
            file.with_context(|| format!("--state-dir {}: not writable; choose another", dir.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0)?;
                writeln!(lock, "{}", std::process::id())?;
                Ok(Self { dir: dir.to_owned(), made, _lock: lock })
            }
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
                let pid =
                    holder(file).map_or("another process".to_owned(), |pid| format!("sluice (pid {pid})"));
                bail!(
                    "--state-dir {}: {pid} uses it; stop that one or choose another directory",
                    dir.display()
                )
            }
            Err((_, error)) => bail!("--state-dir {}: cannot be locked: {error}", dir.display()),
        }
    }

    /// A name for kernel objects that depends on the directory alone, so that the next process on it finds what this
    /// one left.
    pub(crate) fn name(&self) -> String {
        let path = self.dir.canonicalize().unwrap_or_else(|_| self.dir.clone());
        format!("i{:016x}", fnv1a(path.as_os_str().as_encoded_bytes()))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Failing leaves an unlocked file, which the next start takes over.
        let _ = fs::remove_file(self.dir.join(LOCK));
        if self.made {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

/// Removes the lock file that a crashed process left in `dir`; says what was done, one line each.
///
/// # Errors
/// The directory cannot be read or written.
pub(crate) fn remove_stale(dir: &Path) -> io::Result<Vec<String>> {
    let path = dir.join(LOCK);
    let file = match File::options().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_held) => {
            fs::remove_file(&path)?;
            Ok(vec![format!("removed {}", path.display())])
        }
        Err((file, _)) => {
            let pid = holder(file).map_or(String::new(), |pid| format!(" by pid {pid}"));
            Ok(vec![format!("left {}: in use{pid}", path.display())])
        }
    }
}

fn holder(mut file: File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
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

    #[test]
    fn a_directory_has_one_owner_and_is_left_as_it_was() {
        let scratch = Scratch::new("instance").unwrap();
        let dir = scratch.join("state");
        let first = Instance::claim(&dir).unwrap();
        let error = Instance::claim(&dir).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        assert!(remove_stale(&dir).unwrap()[0].starts_with("left "));
        drop(first);
        assert!(!dir.exists(), "we made it, so we remove it");
        fs::create_dir(&dir).unwrap();
        drop(Instance::claim(&dir).unwrap());
        assert!(dir.exists() && fs::read_dir(&dir).unwrap().next().is_none());
    }

    #[test]
    fn what_a_crash_left_is_taken_over_or_removed() {
        let dir = Scratch::new("instance").unwrap();
        fs::write(dir.join(LOCK), "1\n").unwrap();
        assert!(remove_stale(dir.path()).unwrap()[0].starts_with("removed "));
        assert!(remove_stale(dir.path()).unwrap().is_empty());
        fs::write(dir.join(LOCK), "1\n").unwrap();
        assert!(Instance::claim(dir.path()).is_ok());
    }
}
