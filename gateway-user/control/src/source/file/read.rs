//! One consistent view of a directory's texts.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::walk::{Fingerprint, Stamp, at};

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Readings of a directory that changes while it is read.
const MAX_ATTEMPTS: u32 = 10;
/// Time between two of them.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// All files at one moment, by path as people see it: the root as it was given, joined with the path below
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Files by path, sorted; beside them each directory that cannot be read, as [`TreeFile::Unusable`].
    pub files: BTreeMap<Arc<str>, TreeFile>,
    /// Fingerprint of the directory when it was read.
    pub fingerprint: Fingerprint,
}

/// One file of a [`Tree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeFile {
    /// Its text.
    Text(Arc<str>),
    /// It is there but cannot be used; says why and what to do.
    Unusable(String),
}

/// Error that leaves no [`Tree`]: what was read before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory cannot be read, or entries of it vanish all the time.
    #[error("{0}; make it readable or remove it")]
    Unreadable(io::Error),
    /// Files changed all the time while they were read.
    #[error("{0}: files keep changing while they are read; they are read once they stay as they are")]
    Restless(PathBuf),
}

/// Reads every resource file below `root`.
///
/// The directory is looked at before and after, and read again if anything differs: neither a file that is
/// being written in place nor the two halves of a ConfigMap swap end up in one view.
///
/// # Errors
/// [`ReadError`]; nothing is half read. A file or a directory below that cannot be read is no error but
/// [`TreeFile::Unusable`].
pub fn read(root: &Path) -> Result<Tree, ReadError> {
    retry(root, || read_once(root))
}

/// Tries until something comes of it: `None` means that something changed meanwhile.
pub(crate) fn retry<T>(root: &Path, mut once: impl FnMut() -> io::Result<Option<T>>) -> Result<T, ReadError> {
    let mut last = None;
    for attempt in 0..MAX_ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(RETRY_DELAY);
        }
        match once() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => last = None,
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| ReadError::Restless(root.to_owned()), ReadError::Unreadable))
}

/// One try; `None` if something changed meanwhile.
fn read_once(root: &Path) -> io::Result<Option<Tree>> {
    let fingerprint = Fingerprint::take(root)?;
    let mut files = BTreeMap::new();
    for (below, stamp) in &fingerprint.files {
        let path = root.join(below);
        let Some(file) = text_of(&path, stamp) else { return Ok(None) };
        files.insert(Arc::from(path.display().to_string()), file);
    }
    for (below, why) in &fingerprint.unusable {
        files.insert(Arc::from(root.join(below).display().to_string()), TreeFile::Unusable(why.clone()));
    }
    let unchanged = Fingerprint::take(root)? == fingerprint;
    Ok(unchanged.then_some(Tree { files, fingerprint }))
}

/// Reads a file that was found to look so; `None` if it is gone.
pub(crate) fn text_of(path: &Path, stamp: &Stamp) -> Option<TreeFile> {
    if stamp.size() > MAX_FILE_BYTES {
        return Some(TreeFile::Unusable(too_large()));
    }
    match text(path) {
        Ok(text) => Some(TreeFile::Text(text.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(TreeFile::Unusable(unusable(&error))),
    }
}

/// Reads one file, whatever its name ends in, and also if it is a pipe.
///
/// # Errors
/// It cannot be opened or read. The error names the path.
pub fn read_one(path: &Path) -> Result<TreeFile, ReadError> {
    let file = fs::File::open(path).map_err(|error| ReadError::Unreadable(at(path, error)))?;
    match bounded(file) {
        Ok(text) if text.len() as u64 > MAX_FILE_BYTES => Ok(TreeFile::Unusable(too_large())),
        Ok(text) => Ok(TreeFile::Text(text.into())),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(TreeFile::Unusable(unusable(&error))),
        Err(error) => Err(ReadError::Unreadable(at(path, error))),
    }
}

fn too_large() -> String {
    format!("the file is larger than {} MiB: split it", MAX_FILE_BYTES >> 20)
}

/// The text of a file, bounded also if it grows meanwhile.
fn bounded(file: fs::File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn text(path: &Path) -> io::Result<String> {
    // A pipe that took the file's place meanwhile is not waited for: the second look will tell.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = file.map_err(|error| at(path, error))?;
    bounded(file)
}

fn unusable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => "the file is not UTF-8: save it as UTF-8".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "the file cannot be read: give read permission or remove it".to_owned()
        }
        _ => format!("the file cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn texts(tree: &Tree) -> Vec<String> {
        tree.files
            .values()
            .map(|file| match file {
                TreeFile::Text(text) => text.to_string(),
                TreeFile::Unusable(why) => format!("unusable: {why}"),
            })
            .collect()
    }

    #[test]
    fn files_are_read_under_the_name_that_people_gave() {
        let dir = Scratch::new("read").unwrap();
        dir.write("b.yaml", "two").unwrap();
        dir.write("a.yaml", "one").unwrap();
        let tree = read(dir.path()).unwrap();
        let root = dir.path().display();
        let paths: Vec<&str> = tree.files.keys().map(AsRef::as_ref).collect();
        assert_eq!(paths, [format!("{root}/a.yaml"), format!("{root}/b.yaml")]);
        assert_eq!(texts(&tree), ["one", "two"]);
    }

    #[test]
    fn a_file_that_is_no_text_spoils_only_itself() {
        let dir = Scratch::new("read").unwrap();
        fs::write(dir.join("a.yaml"), [0xff, 0xfe]).unwrap();
        dir.write("b.yaml", "two").unwrap();
        let texts = texts(&read(dir.path()).unwrap());
        assert_eq!(texts, ["unusable: the file is not UTF-8: save it as UTF-8", "two"]);
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_it() {
        let dir = Scratch::new("read").unwrap();
        let error = read(&dir.join("nowhere")).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }

    #[test]
    fn two_files_that_change_together_are_never_seen_apart() {
        use std::os::unix::fs::symlink;
        use std::sync::atomic::{AtomicBool, Ordering};

        let dir = Scratch::new("read").unwrap();
        for version in ["1", "2"] {
            fs::create_dir(dir.join(&format!("..v{version}"))).unwrap();
            for name in ["a", "b"] {
                fs::write(dir.join(&format!("..v{version}/{name}.yaml")), version).unwrap();
            }
        }
        symlink("..v1", dir.join("..data")).unwrap();
        symlink("..data/a.yaml", dir.join("a.yaml")).unwrap();
        symlink("..data/b.yaml", dir.join("b.yaml")).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    symlink(format!("..v{}", 1 + round % 2), dir.join("..data_tmp")).unwrap();
                    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
                    std::thread::sleep(Duration::from_micros(300));
                }
            });
            let mut seen = 0;
            for _ in 0..300 {
                // Too much change at once is an honest error.
                if let Ok(tree) = read_once(dir.path()).map(Option::unwrap_or_default) {
                    let texts = texts(&tree);
                    seen += usize::from(!texts.is_empty());
                    assert!(texts.is_empty() || texts == ["1", "1"] || texts == ["2", "2"], "{texts:?}");
                }
            }
            stop.store(true, Ordering::Relaxed);
            assert!(seen > 0, "at least one view was whole");
        });
    }
}
