//! The cache of builds and downloads, outside the checkout, so that a clean clone finds them again.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// A short name for all that something is made of: with any of it the name changes.
#[derive(Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds one part with its length, so that two parts never read as one.
    pub fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Adds every file below a folder, its name and its content.
    ///
    /// # Errors
    /// A file or folder cannot be read.
    pub fn add_files(&mut self, dir: &Path) -> Result<()> {
        for file in files(dir).with_context(|| format!("reading {}", dir.display()))? {
            self.add(file.strip_prefix(dir)?.as_os_str().as_encoded_bytes());
            self.add(&fs::read(&file).with_context(|| format!("reading {}", file.display()))?);
        }
        Ok(())
    }

    /// 16 hexadecimal digits.
    pub fn name(self) -> String {
        self.0.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Every file below a folder, in order.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// The project's cache directory: everything in it may be deleted while nothing runs.
///
/// # Errors
/// Neither `HOME` nor `XDG_CACHE_HOME` is set.
pub fn dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(env::var_os("HOME").context("neither HOME nor XDG_CACHE_HOME is set")?)
            .join(".cache"),
    };
    Ok(base.join("sluice"))
}

/// Makes the file or folder `to` unless it is there. It is filled beside its place under a name of our own,
/// so that it is whole when it appears, and what somebody who was killed has left is never taken for it.
///
/// # Errors
/// Those of `fill`; or the file or folder cannot be made.
pub fn keep(to: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    let (dir, name) = (to.parent().context("no folder")?, to.file_name().context("no name")?);
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let partial = dir.join(format!("{PARTIAL}{}-{}", std::process::id(), name.display()));
    sweep(dir)?;
    remove(&partial)?;
    let moved = fill(&partial).and_then(|()| match fs::rename(&partial, to) {
        // Another of us was faster, and made the same.
        Err(_) if to.exists() => Ok(()),
        moved => moved.with_context(|| format!("making {}", to.display())),
    });
    remove(&partial)?;
    moved
}

const PARTIAL: &str = ".partial-";

/// Removes what processes that are no more have left half filled.
fn sweep(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().display().to_string();
        let owner = name.strip_prefix(PARTIAL).and_then(|rest| rest.split_once('-'));
        if owner.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file or a folder that may be there.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn key(parts: &[&str]) -> String {
        let mut key = Key::default();
        parts.iter().for_each(|part| key.add(part.as_bytes()));
        key.name()
    }

    #[test]
    fn parts_never_read_as_one() {
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
        assert_ne!(key(&["a", "b"]), key(&["ab"]));
        assert_ne!(key(&["a", "b"]), key(&["a", "b", ""]));
    }

    #[test]
    fn only_what_was_filled_to_the_end_is_kept() {
        let dir = Scratch::new("keep").unwrap();
        let to = dir.join("sub/module-1.7.0");
        let half = |at: &Path| {
            fs::create_dir(at)?;
            fs::write(at.join("one"), "")?;
            bail!("killed")
        };
        keep(&to, half).unwrap_err();
        assert!(!to.exists());
        // As a process of our id that was killed would have left it.
        let left = dir.join(&format!("sub/.partial-{}-module-1.7.0", std::process::id()));
        half(&left).unwrap_err();
        // No process has such an id.
        half(&dir.join("sub/.partial-4194305-module-1.6.3")).unwrap_err();
        let whole = |at: &Path| {
            fs::create_dir(at)?;
            Ok(fs::write(at.join("two"), "")?)
        };
        keep(&to, whole).unwrap();
        assert!(to.join("two").exists() && !to.join("one").exists());
        keep(&to, |_| bail!("it is there")).unwrap();
        assert_eq!(fs::read_dir(dir.join("sub")).unwrap().count(), 1, "nothing is left beside it");
    }
}
