//! Which files and directories there are, and how one sees that something changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Deepest nesting of directories; a tree of configuration is never near it.
const DEEPEST: usize = 32;

/// What changes when a file's content does: device, inode, size, and the times of content and inode in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

/// Every file that counts, by path below the root, with its stamp; and every directory that was entered.
///
/// Two equal fingerprints mean that there is nothing new to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Files by path below the root.
    pub(super) files: BTreeMap<PathBuf, Stamp>,
    /// Directories to watch, the root among them, by full path: each with its device and inode, since a directory
    /// that was removed and made again under its name needs a new watch.
    pub(super) directories: BTreeMap<PathBuf, (u64, u64)>,
}

impl Fingerprint {
    /// Walks the tree below `root`.
    ///
    /// Counted are files ending in `.yaml`, `.yml` or `.json`. Names that begin with a dot are passed over: editors'
    /// swap and lock files, and the `..data` and `..<timestamp>` entries of a mounted ConfigMap, whose files are
    /// reached through their visible symbolic links instead. Symbolic links are followed; a directory that was
    /// entered already is not entered again, so that links in a circle end.
    ///
    /// # Errors
    /// A directory cannot be read, or something vanished between being listed and being looked at: the caller walks
    /// again. The error names the path.
    pub fn take(root: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        let mut entered = BTreeSet::new();
        let mut waiting = vec![(PathBuf::new(), 0)];
        while let Some((below, depth)) = waiting.pop() {
            let path = root.join(&below);
            let metadata = fs::metadata(&path).map_err(|error| at(&path, error))?;
            let identity = (metadata.dev(), metadata.ino());
            if !entered.insert(identity) {
                continue;
            }
            if depth > DEEPEST {
                return Err(at(&path, io::Error::other("directories are nested too deeply")));
            }
            for entry in fs::read_dir(&path).map_err(|error| at(&path, error))? {
                let name = entry.map_err(|error| at(&path, error))?.file_name();
                if name.as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                found.look_at(root, below.join(&name), depth, &mut waiting)?;
            }
            found.directories.insert(path, identity);
        }
        Ok(found)
    }

    /// Directories and files below `root`, the root among them: what must be readable.
    pub fn paths(&self, root: &Path) -> Vec<PathBuf> {
        let files = self.files.keys().map(|below| root.join(below));
        self.directories.keys().cloned().chain(files).collect()
    }

    fn look_at(
        &mut self,
        root: &Path,
        below: PathBuf,
        depth: usize,
        waiting: &mut Vec<(PathBuf, usize)>,
    ) -> io::Result<()> {
        let path = root.join(&below);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => waiting.push((below, depth + 1)),
            Ok(metadata) if metadata.is_file() && is_resource(&below) => {
                self.files.insert(below, Stamp::of(&metadata));
            }
            Ok(_) => {}
            // Nothing that we would read: a broken link called `README` is no business of ours.
            Err(_) if !is_resource(&below) => {}
            Err(error) => return Err(at(&path, error)),
        }
        Ok(())
    }
}

fn is_resource(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
}

/// The same error with the path in front.
pub(super) fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn names(root: &Path) -> Vec<String> {
        let found = Fingerprint::take(root).unwrap();
        found.files.keys().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn files_that_count_are_found_at_every_depth() {
        let dir = Scratch::new("walk").unwrap();
        fs::create_dir_all(dir.join("b/c")).unwrap();
        for name in ["a.yaml", "b/x.yml", "b/c/y.json", "README.md", ".a.yaml.swp", ".hidden.yaml", "b/yaml"]
        {
            fs::write(dir.join(name), "").unwrap();
        }
        assert_eq!(names(dir.path()), ["a.yaml", "b/c/y.json", "b/x.yml"]);
        let found = Fingerprint::take(dir.path()).unwrap();
        assert_eq!(found.directories.len(), 3);
    }

    #[test]
    fn a_mounted_config_map_is_read_once() {
        let dir = Scratch::new("walk").unwrap();
        fs::create_dir(dir.join("..2026_11_23")).unwrap();
        fs::write(dir.join("..2026_11_23/a.yaml"), "").unwrap();
        symlink("..2026_11_23", dir.join("..data")).unwrap();
        symlink("..data/a.yaml", dir.join("a.yaml")).unwrap();
        assert_eq!(names(dir.path()), ["a.yaml"]);
    }

    #[test]
    fn links_in_a_circle_end() {
        let dir = Scratch::new("walk").unwrap();
        fs::create_dir(dir.join("b")).unwrap();
        fs::write(dir.join("b/a.yaml"), "").unwrap();
        symlink("..", dir.join("b/up")).unwrap();
        assert_eq!(names(dir.path()), ["b/a.yaml"]);
    }

    #[test]
    fn a_broken_link_matters_only_if_it_would_be_read() {
        let dir = Scratch::new("walk").unwrap();
        symlink("nowhere", dir.join("README")).unwrap();
        assert!(names(dir.path()).is_empty());
        symlink("nowhere", dir.join("a.yaml")).unwrap();
        let error = Fingerprint::take(dir.path()).unwrap_err();
        assert!(error.to_string().contains("a.yaml"), "{error}");
    }

    #[test]
    fn every_kind_of_edit_changes_the_fingerprint() {
        let dir = Scratch::new("walk").unwrap();
        fs::write(dir.join("a.yaml"), "one").unwrap();
        let first = Fingerprint::take(dir.path()).unwrap();
        assert_eq!(first, Fingerprint::take(dir.path()).unwrap());
        dir.write("a.yaml", "two").unwrap();
        let second = Fingerprint::take(dir.path()).unwrap();
        assert_ne!(first, second, "a new file moved over the old one");
        fs::write(dir.join("a.yaml"), "three").unwrap();
        assert_ne!(second, Fingerprint::take(dir.path()).unwrap(), "written in place");
    }
}
