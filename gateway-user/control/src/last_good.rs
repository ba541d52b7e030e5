//! The last good versions of objects that are broken in their files, kept on disk for the process that comes
//! next.
//!
//! The file is there as long as there is such an object. It may hold what Secrets hold, so only its owner can
//! read it.

use std::fs::{self, DirBuilder};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use gateway_api_types::load::{LoadedObject, Position, check_value};
use gateway_api_types::{Kind, Origin};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use crate::kept::{KeptKeys, KeyWatch};
use crate::store::Store;

/// Version of the file's format. A file of another one is passed over.
const FORMAT: u32 = 1;

/// The file of last good versions, and the directory that they are of.
#[derive(Clone, Debug)]
pub struct LastGood {
    path: PathBuf,
    root: PathBuf,
    keys: KeptKeys,
}

/// Error of the file of last good versions.
#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    /// It cannot be read, written or removed.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// It is not what this version writes.
    #[error("{0}: not read, and replaced in time: {1}")]
    Content(PathBuf, String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    /// The directory's canonical path.
    directory: PathBuf,
    objects: Vec<KeptObject>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptObject {
    /// Below the directory.
    file: PathBuf,
    line: u32,
    column: u32,
    object: Value,
}

/// Enough of a document to tell whether the rest can be understood.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl LastGood {
    /// In the file at `path`, for the directory at `root`.
    pub fn new(path: PathBuf, root: PathBuf, keys: KeptKeys) -> Self {
        Self { path, root, keys }
    }

    /// The objects that another process kept, by the names that files have now. They go through the checks
    /// that files go through: what another version took for good may not be.
    ///
    /// # Errors
    /// [`LastGoodError`]. That there is no file, or one of another directory, is none.
    pub fn read(&self) -> Result<Vec<LoadedObject>, LastGoodError> {
        let mut text = Vec::new();
        match self.keys.open(&self.path).and_then(|mut file| file.read_to_end(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(LastGoodError::Io(self.path.clone(), error)),
        };
        let content = |why: String| LastGoodError::Content(self.path.clone(), why);
        let Format { format } = serde_json::from_slice(&text).map_err(|e| content(e.to_string()))?;
        if format != FORMAT {
            return Err(content(format!("its format is version {format}, not {FORMAT}")));
        }
        let document: Document = serde_json::from_slice(&text).map_err(|e| content(e.to_string()))?;
        if document.directory != self.directory() {
            return Ok(Vec::new());
        }
        Ok(document.objects.into_iter().filter_map(|kept| self.object(&kept)).collect())
    }

    fn object(&self, kept: &KeptObject) -> Option<LoadedObject> {
        let object = check_value(&kept.object).ok().flatten()?;
        let file = Arc::from(self.root.join(&kept.file).display().to_string());
        let position = Position { line: kept.line, column: kept.column };
        Some(LoadedObject { object, origin: Origin { file, line: kept.line }, position })
    }

    /// Replaces what is kept; with nothing to keep there is no file.
    ///
    /// # Errors
    /// [`LastGoodError::Io`]; the file is as it was before.
    pub fn write(&self, objects: &[LoadedObject]) -> Result<(), LastGoodError> {
        let kept: Vec<LoadedObject>;
        let objects = match self.keys.are_left_out() {
            false => objects,
            true => {
                kept = objects.iter().filter(|one| one.object.kind() != Kind::Secret).cloned().collect();
                &kept
            }
        };
        let written = if objects.is_empty() { self.remove() } else { self.replace(objects) };
        written.map_err(|error| LastGoodError::Io(self.path.clone(), error))
    }

    fn remove(&self) -> io::Result<()> {
        // Where nothing can be written, unlink(2) fails for a file that is not there as well.
        if self.path.symlink_metadata().is_err() { Ok(()) } else { fs::remove_file(&self.path) }
    }

    /// Whole or not at all, whenever the process or the machine ends.
    fn replace(&self, objects: &[LoadedObject]) -> io::Result<()> {
        let objects = objects.iter().filter_map(|kept| self.kept(kept)).collect();
        let text = serde_json::to_vec(&Document { format: FORMAT, directory: self.directory(), objects })?;
        let beside = self.path.with_extension("new");
        if let Some(dir) = self.path.parent() {
            DirBuilder::new().recursive(true).create(dir)?;
        }
        let _ = fs::remove_file(&beside);
        let written = self.write_new(&beside, &text).and_then(|()| fs::rename(&beside, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    fn write_new(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let mut file = self.keys.create(path)?;
        file.write_all(text)?;
        file.finish()
    }

    fn kept(&self, loaded: &LoadedObject) -> Option<KeptObject> {
        let file = Path::new(&*loaded.origin.file).strip_prefix(&self.root).ok()?.to_owned();
        let Position { line, column } = loaded.position;
        Some(KeptObject { file, line, column, object: loaded.object.to_value().ok()? })
    }

    fn directory(&self) -> PathBuf {
        self.root.canonicalize().unwrap_or_else(|_| self.root.clone())
    }
}

/// Writes when what there is to keep has changed, once this process is the one that does.
#[derive(Debug)]
pub(crate) struct LastGoodWriter {
    last_good: LastGood,
    key: Option<KeyWatch>,
    begun: bool,
    /// Contents of the file, if known.
    written: Option<Vec<LoadedObject>>,
}

impl LastGoodWriter {
    pub(crate) fn new(path: PathBuf, root: &Path, keys: KeptKeys) -> Self {
        let key = keys.watch();
        let last_good = LastGood::new(path, root.to_owned(), keys);
        Self { last_good, key, begun: false, written: None }
    }

    /// A store that begins with what another process left.
    pub(crate) fn store(&self) -> Store {
        let left = self.last_good.read().inspect_err(|error| warn!("last good versions: {error}"));
        Store::with(left.unwrap_or_default())
    }

    pub(crate) fn begin(&mut self, store: &Store) {
        self.begun = true;
        self.follow(store);
    }

    /// Writes anew what is sealed with a key that was replaced.
    pub(crate) fn catch_up(&mut self, store: &Store) {
        if self.key.as_mut().is_some_and(|key| key.has_changed(Instant::now())) {
            self.written = None;
            self.follow(store);
        }
    }

    pub(crate) fn follow(&mut self, store: &Store) {
        let kept = store.kept();
        if !self.begun || self.written.as_ref() == Some(&kept) {
            return;
        }
        if let Err(error) = self.last_good.write(&kept) {
            warn!("last good versions were not written for the next process: {error}");
        }
        // Said once: what could not be written is tried again with the next change.
        self.written = Some(kept);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use gateway_api_types::load::load;
    use gateway_testkit::golden;
    use gateway_testkit::scratch::Scratch;

    use super::*;

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n";

    fn kept() -> (Scratch, LastGood, Vec<LoadedObject>) {
        let dir = Scratch::new("last-good").unwrap();
        let last_good = LastGood::new(dir.join("state"), dir.path().to_owned(), KeptKeys::Plain);
        let objects = load(&dir.join("x.yaml").display().to_string(), SERVICE).objects;
        assert_eq!(objects.len(), 1);
        (dir, last_good, objects)
    }

    #[test]
    fn objects_come_back_as_they_were_and_nothing_is_no_file() {
        let (dir, last_good, objects) = kept();
        assert_eq!(last_good.read().unwrap(), []);
        last_good.write(&objects).unwrap();
        assert_eq!(last_good.read().unwrap(), objects);
        let mode = fs::metadata(dir.join("state")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!dir.join("state.new").exists());
        last_good.write(&[]).unwrap();
        last_good.write(&[]).unwrap();
        assert!(!dir.join("state").exists());
    }

    #[test]
    fn secrets_are_left_out_where_that_is_asked_for() {
        let (dir, last_good, objects) = kept();
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/tls\ndata: {tls.key: YQ==}\n";
        let secrets = load(&dir.join("x.yaml").display().to_string(), secret).objects;
        assert_eq!(secrets.len(), 1);
        let last_good = LastGood { keys: KeptKeys::LeftOut, ..last_good };
        last_good.write(&[secrets.clone(), objects.clone()].concat()).unwrap();
        assert_eq!(last_good.read().unwrap(), objects);
        last_good.write(&secrets).unwrap();
        assert!(!dir.join("state").exists());
    }

    #[test]
    fn what_is_of_another_version_or_directory_or_cut_is_passed_over() {
        let (dir, last_good, objects) = kept();
        last_good.write(&objects).unwrap();
        let text = fs::read_to_string(dir.join("state")).unwrap();
        assert!(text.starts_with("{\"format\":1,"), "{text}");
        fs::write(dir.join("state"), text.replace("\"format\":1", "\"format\":2,\"x\":[]")).unwrap();
        assert!(last_good.read().unwrap_err().to_string().contains("version 2"));
        fs::write(dir.join("state"), &text[..text.len() / 2]).unwrap();
        assert!(matches!(last_good.read(), Err(LastGoodError::Content(..))));
        // An object that the present schema refuses is not taken, whichever version wrote it.
        fs::write(dir.join("state"), text.replace("\"port\":80", "\"port\":\"none\"")).unwrap();
        assert_eq!(last_good.read().unwrap(), []);
        fs::write(dir.join("state"), text).unwrap();
        fs::create_dir(dir.join("other")).unwrap();
        let other = LastGood::new(dir.join("state"), dir.join("other"), KeptKeys::Plain);
        assert_eq!(other.read().unwrap(), []);
    }

    /// Another version of Sluice reads the file after an upgrade or a downgrade.
    #[test]
    fn the_format_is_byte_for_byte_as_it_was() {
        let dir = Scratch::new("last-good").unwrap();
        // It does not exist, so that the path in the file is the same everywhere.
        let root = Path::new("/etc/sluice-golden");
        let objects = load("/etc/sluice-golden/edge/all.yaml", include_str!("../tests/golden/objects.yaml"));
        assert!(objects.diagnostics.is_empty(), "{:?}", objects.diagnostics);
        let objects = objects.objects;
        let without_secrets: Vec<_> =
            objects.iter().filter(|one| one.object.kind() != Kind::Secret).cloned().collect();
        let whole = LastGood::new(dir.join("state"), root.to_owned(), KeptKeys::Plain);
        let without = LastGood { keys: KeptKeys::LeftOut, ..whole.clone() };
        let cases = [
            ("last-good-directory.json", whole, objects.clone()),
            ("last-good-directory-without-secrets.json", without, without_secrets),
        ];
        for (name, last_good, kept) in cases {
            last_good.write(&objects).unwrap();
            let written = fs::read(dir.join("state")).unwrap();
            let bytes = golden::check(name, &written);
            fs::write(dir.join("state"), bytes).unwrap();
            assert_eq!(last_good.read().unwrap(), kept);
        }
    }
}
