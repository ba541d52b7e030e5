//! Directories that live as long as a test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, process};

/// A directory with a name of its own under the system's temporary directory; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes `<tmp>/sluice-<label>-<pid>-<n>`.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn new(label: &str) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("sluice-{label}-{}-{n}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes `text` to `name` the way editors do: a new file moved over the old one, so that a reader sees
    /// either text whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let to = self.path.join(name);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        let tmp = to.with_extension("swap");
        fs::write(&tmp, text)?;
        fs::rename(&tmp, &to)
    }

    /// Copies a directory's files, recursively, into this one.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn copy_from(&self, dir: &Path) -> io::Result<()> {
        copy_tree(dir, &self.path)
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed must not turn a passed test into an abort.
        let _ = fs::remove_dir_all(&self.path);
    }
}
