//! The files and directories that there are, and the sign that something changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Deepest nesting of directories; a tree of configuration is never near it.
const MAX_DEPTH: usize = 32;

/// Values that change when a file's content does: device, inode, size, and the times of content and inode in
/// nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
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

    /// The stamp of what is at a path now, through links, if that is a file.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().filter(Metadata::is_file).map(|metadata| Self::of(&metadata))
    }

    /// One that no file has; another `version` is another content.
    #[cfg(test)]
    pub(super) fn made_up(inode: u64, size: u64, version: i64) -> Self {
        Self { device: 1, inode, size, modified: (version, 0), changed: (version, 0) }
    }

    /// The size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Device and inode, which stay while the content changes.
    pub(super) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// Every file that counts, by path below the root, with its stamp; every directory that was entered; and what
/// cannot be.
///
/// Two equal fingerprints mean that there is nothing new to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Files by path below the root.
    pub(crate) files: BTreeMap<PathBuf, Stamp>,
    /// Files and directories that are there and of no use, by path below the root: why, and what to do.
    pub(crate) unusable: BTreeMap<PathBuf, String>,
    /// Directories to watch, the root among them, by full path: each with its device and inode, since a
    /// directory that was removed and made again under its name needs a new watch.
    pub(super) directories: BTreeMap<PathBuf, (u64, u64)>,
}

/// The errors of an entry in a directory that is changing.
const CHANGED: [io::ErrorKind; 2] = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];

impl Fingerprint {
    /// Walks the tree below `root`.
    ///
    /// Counted are files ending in `.yaml`, `.yml` or `.json`, in capitals too. Names that begin with a dot
    /// are passed over: editors' swap and lock files, and the `..data` and `..<timestamp>` entries of a
    /// mounted ConfigMap, whose files are reached through their visible symbolic links instead. So is
    /// `lost+found`, which every ext4 volume has for its own use. Symbolic links are followed; a directory
    /// that was entered already is not entered again, so that links in a circle end.
    ///
    /// # Errors
    /// The root cannot be read, or something vanished between being listed and being looked at: the caller
    /// walks again. The error names the path. Other unreadable files are left out one by one.
    pub fn take(root: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        let mut entered = BTreeSet::new();
        let mut waiting = vec![(PathBuf::new(), 0)];
        while let Some((below, depth)) = waiting.pop() {
            match found.enter(root, &below, depth, &mut entered) {
                Ok(inner) => waiting.extend(inner.into_iter().map(|below| (below, depth + 1))),
                Err(error) if depth == 0 || CHANGED.contains(&error.kind()) => {
                    return Err(at(&root.join(&below), error));
                }
                Err(error) => {
                    found.unusable.insert(below, why_not_entered(&error));
                }
            }
        }
        Ok(found)
    }

    /// Directories and files below `root`, the root among them: what must be readable.
    pub fn paths(&self, root: &Path) -> Vec<PathBuf> {
        let files = self.files.keys().map(|below| root.join(below));
        self.directories.keys().cloned().chain(files).collect()
    }

    /// True if it is the same as another but for these files.
    pub(crate) fn is_but_for(&self, other: &Self, files: &BTreeSet<PathBuf>) -> bool {
        let kept = |this: &Self| -> Vec<(PathBuf, Stamp)> {
            let kept = this.files.iter().filter(|(path, _)| !files.contains(*path));
            kept.map(|(path, stamp)| (path.clone(), *stamp)).collect()
        };
        self.unusable == other.unusable && self.directories == other.directories && kept(self) == kept(other)
    }

    /// Looks at what is in a directory that was not entered before; gives the directories in it.
    fn enter(
        &mut self,
        root: &Path,
        below: &Path,
        depth: usize,
        entered: &mut BTreeSet<(u64, u64)>,
    ) -> io::Result<Vec<PathBuf>> {
        let path = root.join(below);
        let metadata = fs::metadata(&path)?;
        let identity = (metadata.dev(), metadata.ino());
        if !entered.insert(identity) {
            return Ok(Vec::new());
        }
        if depth > MAX_DEPTH {
            return Err(io::Error::other("directories are nested too deeply"));
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&path)? {
            let name = entry?.file_name();
            if !name.as_encoded_bytes().starts_with(b".") && name != "lost+found" {
                names.push(name);
            }
        }
        self.directories.insert(path, identity);
        let mut inner = Vec::new();
        for name in names {
            self.look_at(root, below.join(&name), &mut inner)?;
        }
        Ok(inner)
    }

    fn look_at(&mut self, root: &Path, below: PathBuf, inner: &mut Vec<PathBuf>) -> io::Result<()> {
        let path = root.join(&below);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => inner.push(below),
            // Nothing in the directory may be looked at: no permission to search it.
            Err(error) if entry_fails(&path, io::ErrorKind::PermissionDenied) => return Err(error),
            // Nothing that we would read: a broken link called `README` is no business of ours.
            _ if !is_resource(&below) => {}
            Ok(metadata) if metadata.is_file() => {
                self.files.insert(below, Stamp::of(&metadata));
            }
            Ok(_) => {
                let why = "this is no regular file but a pipe, a socket or a device: move it elsewhere";
                self.unusable.insert(below, why.to_owned());
            }
            Err(error) if entry_fails(&path, io::ErrorKind::NotFound) => return Err(error),
            Err(error) => {
                self.unusable.insert(below, why_not_followed(&path, &error));
            }
        }
        Ok(())
    }
}

/// True if the entry itself fails so, not the target of a link.
fn entry_fails(path: &Path, kind: io::ErrorKind) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == kind)
}

fn why_not_entered(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "the directory cannot be read: give read and search permission or move it elsewhere".to_owned()
        }
        _ => format!("the directory cannot be read: {error}"),
    }
}

fn why_not_followed(path: &Path, error: &io::Error) -> String {
    let Ok(target) = fs::read_link(path) else { return format!("the file cannot be looked at: {error}") };
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("the link leads to {}, which is not there: correct or remove it", target.display())
        }
        _ => format!("the link to {} cannot be followed: {error}; correct or remove it", target.display()),
    }
}

fn is_resource(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end.eq_ignore_ascii_case(known)))
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
        let found = Fingerprint::take(dir.path()).unwrap();
        assert!(found.files.is_empty() && found.unusable.is_empty(), "{found:?}");
    }

    #[test]
    fn what_cannot_be_read_costs_itself() {
        let dir = Scratch::new("walk").unwrap();
        fs::write(dir.join("good.yaml"), "").unwrap();
        symlink("nowhere", dir.join("dangling.yaml")).unwrap();
        symlink("itself.yaml", dir.join("itself.yaml")).unwrap();
        symlink("good.yaml/below", dir.join("through.yaml")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket.json")).unwrap();
        let deep = (0..40).fold(dir.join("deep"), |path, _| path.join("d"));
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(dir.join("lost+found")).unwrap();
        fs::write(dir.join("lost+found/a.yaml"), "").unwrap();
        let found = Fingerprint::take(dir.path()).unwrap();
        assert_eq!(found.files.keys().collect::<Vec<_>>(), [Path::new("good.yaml")]);
        let mut lines = found.unusable.iter().map(|(path, why)| format!("{}: {why}", path.display()));
        assert_eq!(
            lines.next().as_deref(),
            Some("dangling.yaml: the link leads to nowhere, which is not there: correct or remove it")
        );
        let deepest = lines.next().unwrap();
        assert!(deepest.starts_with("deep/d/") && deepest.contains("nested too deeply"), "{deepest}");
        for name in
            ["itself.yaml: the link to itself.yaml cannot", "socket.json: this is no regular file", "through"]
        {
            let line = lines.next().unwrap();
            assert!(line.starts_with(name), "{line}");
        }
        assert_eq!(lines.next(), None);
        fs::remove_file(dir.join("dangling.yaml")).unwrap();
        assert_ne!(found, Fingerprint::take(dir.path()).unwrap(), "its going is a change");
    }

    #[test]
    fn endings_may_be_in_capitals() {
        let dir = Scratch::new("walk").unwrap();
        for name in ["A.YAML", "b.Yml", "C.JSON", "d.YAMLX"] {
            fs::write(dir.join(name), "").unwrap();
        }
        assert_eq!(names(dir.path()), ["A.YAML", "C.JSON", "b.Yml"]);
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
