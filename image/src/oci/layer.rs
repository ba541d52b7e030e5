//! Layers: entries by path, sorted, all of them root's and without a time.

use std::collections::BTreeMap;
use std::io;

use anyhow::{Result, ensure};
use tar::{Builder, EntryType, Header};

/// A file, folder or link of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file with its permissions.
    File {
        /// Permissions.
        mode: u32,
        /// All of it.
        content: Vec<u8>,
    },
    /// A folder with its permissions.
    Folder {
        /// Permissions.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// The path that it leads to.
        target: String,
    },
}

/// Entries by path, without a `/` at the start or the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    entries: BTreeMap<String, Entry>,
}

impl Layer {
    /// Adds a file that everybody may read.
    ///
    /// # Errors
    /// Another entry has its path.
    pub fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) -> Result<()> {
        self.add(path, Entry::File { mode: 0o644, content: content.into() })
    }

    /// Adds a file that everybody may run.
    ///
    /// # Errors
    /// Another entry has its path.
    pub fn program(&mut self, path: &str, content: impl Into<Vec<u8>>) -> Result<()> {
        self.add(path, Entry::File { mode: 0o755, content: content.into() })
    }

    /// Adds a folder.
    ///
    /// # Errors
    /// Another entry has its path.
    pub fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        self.add(path, Entry::Folder { mode })
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// Another entry has its path.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.add(path, Entry::Link { target: target.to_owned() })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// Another entry has its path.
    pub fn add(&mut self, path: &str, entry: Entry) -> Result<()> {
        ensure!(!path.is_empty() && !path.starts_with('/'), "{path:?} is no path in a layer");
        ensure!(self.entries.insert(path.to_owned(), entry).is_none(), "two entries of a layer are {path}");
        Ok(())
    }

    /// Its entries by path.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// The bytes of its files.
    pub fn size(&self) -> u64 {
        let sizes = self.entries.values().map(|entry| match entry {
            Entry::File { content, .. } => content.len() as u64,
            Entry::Folder { .. } | Entry::Link { .. } => 0,
        });
        sizes.sum()
    }

    /// The archive, with the folders that entries lie in.
    ///
    /// # Errors
    /// A path is too long for an archive.
    pub fn tar(&self) -> Result<Vec<u8>> {
        let mut all = self.entries.clone();
        for path in self.entries.keys() {
            for (end, _) in path.match_indices('/') {
                all.entry(path[..end].to_owned()).or_insert(Entry::Folder { mode: 0o755 });
            }
        }
        let mut tar = Builder::new(Vec::new());
        for (path, entry) in &all {
            match entry {
                Entry::File { mode, content } => {
                    tar.append_data(&mut header(content.len() as u64, *mode), path, content.as_slice())?;
                }
                Entry::Folder { mode } => {
                    let mut header = header(0, *mode);
                    header.set_entry_type(EntryType::Directory);
                    tar.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Entry::Link { target } => {
                    let mut header = header(0, 0o777);
                    header.set_entry_type(EntryType::Symlink);
                    tar.append_link(&mut header, path, target)?;
                }
            }
        }
        Ok(tar.into_inner()?)
    }
}

/// No owner but root and no time of day, so that the same content has the same digest.
pub(super) fn header(size: u64, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(paths: &[&str]) -> Layer {
        let mut layer = Layer::default();
        paths.iter().for_each(|path| layer.file(path, *path).unwrap());
        layer
    }

    #[test]
    fn the_order_of_making_is_not_in_the_archive() {
        let (one, other) = (layer(&["b/c", "a", "b.d"]), layer(&["b.d", "b/c", "a"]));
        assert_eq!(one.tar().unwrap(), other.tar().unwrap());
        assert_ne!(one.tar().unwrap(), layer(&["b/c", "a"]).tar().unwrap());
        assert_eq!(one.size(), 7);
    }

    #[test]
    fn every_entry_is_roots_and_has_no_time() {
        let mut layer = layer(&["usr/lib/a.so"]);
        layer.link("lib", "usr/lib").unwrap();
        layer.folder("tmp", 0o1777).unwrap();
        let tar = layer.tar().unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let seen = archive.entries().unwrap().map(Result::unwrap).map(|entry| {
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
            (entry.path().unwrap().display().to_string(), header.mode().unwrap())
        });
        let seen = seen.collect::<Vec<_>>();
        let wanted =
            [("lib", 0o777), ("tmp/", 0o1777), ("usr/", 0o755), ("usr/lib/", 0o755), ("usr/lib/a.so", 0o644)];
        assert_eq!(seen, wanted.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn a_path_is_added_once() {
        let mut layer = layer(&["a"]);
        assert!(layer.link("a", "b").unwrap_err().to_string().contains("two entries of a layer are a"));
        assert!(layer.file("/a", "").is_err());
    }
}
