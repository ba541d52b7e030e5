//! All of a cluster's objects on disk, for a process that starts while the API server is away.
//!
//! The file holds what Secrets hold, so only its owner can read it.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gateway_api_types::{Definition, InstalledApi, Kind, Object, ResourceSet};
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use tracing::{debug, warn};

/// Version of the file's format. A file of another one is passed over.
const FORMAT: u32 = 1;
/// Between the end of one writing and the begin of the next, at least.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes that are read or written at once.
const BUFFER: usize = 1 << 16;
/// And so many times as long as that one took, so that a large cluster's churn costs a bounded part of a disk.
const DUTY_DIVISOR: u32 = 20;

/// True if private keys are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastGoodKeys {
    /// As the objects are.
    #[default]
    Kept,
    /// Without them: a process that begins with the file has no certificates until the API server responds.
    LeftOut,
}

/// Cluster and namespaces of the objects in a file. Only a process with the same scope reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    /// The server's address.
    pub(super) server: String,
    /// The namespaces that are read; empty is all.
    pub(super) namespaces: Vec<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    scope: &'a Scope,
    /// Bundle version and channel by name of the definition.
    definitions: Vec<(&'a str, Option<&'a str>, Option<&'a str>)>,
    objects: Objects<'a>,
}

/// Object by object: a large cluster is never in memory a second time.
struct Objects<'a>(&'a ResourceSet, LastGoodKeys);

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(objects, keys) = self;
        let mut list = serializer.serialize_seq(Some(objects.len()))?;
        for object in objects.iter() {
            let mut value = object.to_value().map_err(serde::ser::Error::custom)?;
            if *keys == LastGoodKeys::LeftOut && object.kind() == Kind::Secret {
                leave_key_out(&mut value);
            }
            list.serialize_element(&value)?;
        }
        list.end()
    }
}

/// Without its version, so that it is read again once the server is there.
fn leave_key_out(secret: &mut Value) {
    for (part, field) in [("data", "tls.key"), ("metadata", "resourceVersion")] {
        secret.get_mut(part).and_then(Value::as_object_mut).map(|fields| fields.remove(field));
    }
}

#[derive(Deserialize)]
struct Read {
    scope: Scope,
    definitions: Vec<(String, Option<String>, Option<String>)>,
    #[serde(deserialize_with = "readable_objects")]
    objects: ResourceSet,
}

/// Object by object, those left out that this version does not know.
fn readable_objects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ResourceSet, D::Error> {
    struct Each;

    impl<'de> Visitor<'de> for Each {
        type Value = ResourceSet;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of objects")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ResourceSet, A::Error> {
            let mut set = ResourceSet::default();
            while let Some(value) = list.next_element::<Value>()? {
                if let Some(object) = object(&value) {
                    set.insert(object, None);
                }
            }
            Ok(set)
        }
    }

    deserializer.deserialize_seq(Each)
}

fn object(value: &Value) -> Option<Object> {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    let (version, kind) = (text("apiVersion")?, text("kind")?);
    let group = version.split_once('/').map_or("", |(group, _)| group);
    Object::read(Kind::find(group, kind)?, value).ok()
}

/// Enough of a file to tell whether the rest can be understood.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Objects that another process left at `path` of the same cluster, if any; a file that cannot be used is logged.
pub(super) fn read(path: &Path, scope: &Scope) -> Option<ResourceSet> {
    match read_file(path) {
        Ok(Some(Read { scope: of, definitions, mut objects })) if of == *scope => {
            let definitions = definitions.into_iter();
            let definitions = definitions
                .map(|(name, bundle_version, channel)| (name, Definition { bundle_version, channel }));
            objects.installed = Some(Arc::new(InstalledApi { definitions: definitions.collect() }));
            Some(objects)
        }
        Ok(_) => None,
        Err(error) => {
            warn!("{}: last good objects cannot be read and will be replaced: {error}", path.display());
            None
        }
    }
}

/// `None` if there is no file, or one of another format.
fn read_file(path: &Path) -> io::Result<Option<Read>> {
    let open = || File::open(path).map(|file| BufReader::with_capacity(BUFFER, file));
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    // Twice, since only a file of our format can be read as one; neither time is more of it in memory than an
    // object.
    match serde_json::from_reader(file)? {
        Format { format: FORMAT } => Ok(Some(serde_json::from_reader(open()?)?)),
        Format { .. } => Ok(None),
    }
}

/// Writes the objects when they have changed, not too often, on a thread of its own.
#[derive(Debug)]
pub(crate) struct LastGoodWriter {
    path: PathBuf,
    scope: Arc<Scope>,
    keys: LastGoodKeys,
    begun: bool,
    /// There is something that is not written.
    behind: bool,
    state: Arc<Mutex<WriteState>>,
}

/// How writing goes.
#[derive(Debug)]
enum WriteState {
    /// The next one may begin at that time.
    Due(Instant),
    /// As before, and the last one did not succeed.
    Again(Instant),
    /// One is under way.
    Busy,
}

impl LastGoodWriter {
    pub(super) fn new(path: PathBuf, scope: Scope, keys: LastGoodKeys) -> Self {
        let state = Arc::new(Mutex::new(WriteState::Due(Instant::now())));
        Self { path, scope: Arc::new(scope), keys, begun: false, behind: false, state }
    }

    /// From now on this process is the one that writes.
    pub(crate) fn begin(&mut self, objects: &ResourceSet) {
        self.begun = true;
        self.behind = !objects.is_empty();
        remove_unfinished(&self.path);
        self.catch_up(objects);
    }

    /// The objects have changed.
    pub(crate) fn follow(&mut self, objects: &ResourceSet) {
        self.behind = true;
        self.catch_up(objects);
    }

    /// Writes what is not written, if it is time.
    pub(crate) fn catch_up(&mut self, objects: &ResourceSet) {
        if !self.begun || !self.try_begin() {
            return;
        }
        self.behind = false;
        let (path, scope, state) = (self.path.clone(), Arc::clone(&self.scope), Arc::clone(&self.state));
        let (objects, keys) = (objects.clone(), self.keys);
        let writing = std::thread::Builder::new().name("sluice-keep".to_owned()).spawn(move || {
            let begun = Instant::now();
            let written = replace(&path, &scope, &objects, keys);
            // Before the next turn: the objects may be the last of their version.
            drop(objects);
            let next = Instant::now() + WRITE_INTERVAL.max(begun.elapsed() * DUTY_DIVISOR);
            let next = match written {
                Ok(()) => {
                    debug!(took_ms = begun.elapsed().as_millis(), "last good objects are written");
                    WriteState::Due(next)
                }
                Err(error) => {
                    warn!("{}: last good objects were not written; retried: {error}", path.display());
                    WriteState::Again(next)
                }
            };
            *state.lock().unwrap_or_else(PoisonError::into_inner) = next;
        });
        if let Err(error) = writing {
            warn!("last good objects were not written; retried: {error}");
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) =
                WriteState::Again(Instant::now() + WRITE_INTERVAL);
        }
    }

    /// True if there is something to write and it is time.
    fn try_begin(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match *state {
            WriteState::Due(when) => self.behind && when <= Instant::now(),
            WriteState::Again(when) => when <= Instant::now(),
            WriteState::Busy => false,
        };
        if now {
            *state = WriteState::Busy;
        }
        now
    }
}

/// Where a process writes before it replaces the file: another may be writing, too.
fn beside(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.new", std::process::id()))
}

/// Takes away what processes left that ended while they wrote.
fn remove_unfinished(path: &Path) {
    let Some((dir, name)) = path.parent().zip(path.file_stem()) else { return };
    let begins = format!("{}.", name.display());
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().display().to_string();
        if name.starts_with(&begins) && name.ends_with(".new") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whole or not at all, whenever the process or the machine ends.
fn replace(path: &Path, scope: &Scope, objects: &ResourceSet, keys: LastGoodKeys) -> io::Result<()> {
    let definitions = objects.installed.iter().flat_map(|installed| &installed.definitions);
    let definitions = definitions
        .map(|(name, one)| (name.as_str(), one.bundle_version.as_deref(), one.channel.as_deref()))
        .collect();
    let beside = beside(path);
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).create(dir)?;
    }
    let _ = fs::remove_file(&beside);
    let written =
        write_new(&beside, &Written { format: FORMAT, scope, definitions, objects: Objects(objects, keys) });
    let written = written.and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write_new(path: &Path, document: &Written<'_>) -> io::Result<()> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    let mut file = BufWriter::with_capacity(BUFFER, file);
    serde_json::to_writer(&mut file, document)?;
    file.flush()?;
    file.get_ref().sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use gateway_api_types::load::load;
    use gateway_testkit::golden;
    use gateway_testkit::scratch::Scratch;
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        Scope { server: "https://10.0.0.1:6443".into(), namespaces: Vec::new() }
    }

    fn objects() -> ResourceSet {
        let secret = json!({"metadata": {"name": "s", "namespace": "a", "resourceVersion": "7"}, "data": {"tls.key": "YQ=="}});
        let class = json!({"metadata": {"name": "c"}, "spec": {"controllerName": "x/y"}});
        let mut set: ResourceSet = [(Kind::Secret, secret), (Kind::GatewayClass, class)]
            .into_iter()
            .map(|(kind, value)| (Object::from_value(kind, value).unwrap(), None))
            .collect();
        let definition = Definition { bundle_version: Some("v1.6.3".into()), channel: None };
        let definitions = [("x".to_owned(), definition)].into_iter().collect();
        set.installed = Some(Arc::new(InstalledApi { definitions }));
        set
    }

    #[test]
    fn objects_come_back_as_they_were_to_who_asks_for_the_same() {
        let dir = Scratch::new("cluster-last-good").unwrap();
        let path = dir.join("file");
        assert_eq!(read(&path, &scope()), None);
        replace(&path, &scope(), &objects(), LastGoodKeys::Kept).unwrap();
        assert_eq!(read(&path, &scope()), Some(objects()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let narrower = Scope { namespaces: vec!["a".into()], ..scope() };
        assert_eq!(read(&path, &narrower), None, "what lives elsewhere would never be removed");
        assert_eq!(read(&path, &Scope { server: "https://other".into(), ..scope() }), None);
    }

    #[test]
    fn private_keys_are_left_out_where_that_is_asked_for() {
        let dir = Scratch::new("cluster-last-good").unwrap();
        let path = dir.join("file");
        replace(&path, &scope(), &objects(), LastGoodKeys::LeftOut).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("tls.key") && !text.contains("YQ=="), "{text}");
        let read = read(&path, &scope()).unwrap();
        let secret = read.secrets.values().next().unwrap();
        assert_eq!((secret.metadata.name.as_deref(), &secret.metadata.resource_version), (Some("s"), &None));
    }

    #[test]
    fn what_is_of_another_version_or_cut_is_passed_over() {
        let dir = Scratch::new("cluster-last-good").unwrap();
        let path = dir.join("file");
        replace(&path, &scope(), &objects(), LastGoodKeys::Kept).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"format\":1", "\"format\":2")).unwrap();
        assert_eq!(read(&path, &scope()), None);
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert_eq!(read(&path, &scope()), None);
    }

    #[test]
    fn nothing_is_written_before_this_process_is_the_one_and_then_not_too_often() {
        let dir = Scratch::new("cluster-last-good").unwrap();
        let path = dir.join("file");
        let mut last_good_writer = LastGoodWriter::new(path.clone(), scope(), LastGoodKeys::Kept);
        last_good_writer.follow(&objects());
        assert!(!path.exists());
        last_good_writer.begin(&objects());
        let idle = |last_good_writer: &LastGoodWriter| {
            !matches!(*last_good_writer.state.lock().unwrap(), WriteState::Busy)
        };
        gateway_testkit::wait::until("the file", || idle(&last_good_writer).then_some(()));
        assert_eq!(read(&path, &scope()), Some(objects()));
        last_good_writer.follow(&ResourceSet::default());
        assert!(idle(&last_good_writer), "it is not time");
        *last_good_writer.state.lock().unwrap() = WriteState::Due(Instant::now());
        last_good_writer.catch_up(&ResourceSet::default());
        gateway_testkit::wait::until("the next", || idle(&last_good_writer).then_some(()));
        assert!(read(&path, &scope()).unwrap().is_empty());
    }

    #[test]
    fn a_writing_that_fails_is_tried_again() {
        let dir = Scratch::new("cluster-last-good").unwrap();
        // A directory is in the file's way.
        let path = dir.join("file");
        fs::create_dir_all(path.join("x")).unwrap();
        let unfinished = dir.join("file.7.new");
        fs::write(&unfinished, "{").unwrap();
        let mut last_good_writer = LastGoodWriter::new(path.clone(), scope(), LastGoodKeys::Kept);
        let idle = |last_good_writer: &LastGoodWriter| {
            !matches!(*last_good_writer.state.lock().unwrap(), WriteState::Busy)
        };
        last_good_writer.begin(&objects());
        gateway_testkit::wait::until("the attempt", || idle(&last_good_writer).then_some(()));
        assert!(!unfinished.exists(), "what a process left that ended while it wrote is taken away");
        fs::remove_dir_all(&path).unwrap();
        last_good_writer.catch_up(&objects());
        assert!(!path.exists(), "it is not time");
        let again = matches!(*last_good_writer.state.lock().unwrap(), WriteState::Again(_));
        assert!(again);
        *last_good_writer.state.lock().unwrap() = WriteState::Again(Instant::now());
        last_good_writer.catch_up(&objects());
        gateway_testkit::wait::until("the file", || idle(&last_good_writer).then_some(()));
        assert_eq!(read(&path, &scope()), Some(objects()));
    }

    /// Another version of Sluice reads the file after an upgrade or a downgrade.
    #[test]
    fn the_format_is_byte_for_byte_as_it_was() {
        let dir = Scratch::new("cluster-last-good").unwrap();
        let path = dir.join("file");
        let loaded = load("all.yaml", include_str!("../../../tests/golden/objects.yaml"));
        let mut whole: ResourceSet = loaded.objects.into_iter().map(|one| (one.object, None)).collect();
        let definition =
            Definition { bundle_version: Some("v1.6.3".into()), channel: Some("standard".into()) };
        let definitions = [
            ("gateways.gateway.networking.k8s.io".to_owned(), definition),
            ("x.example".to_owned(), Definition { bundle_version: None, channel: None }),
        ];
        whole.installed = Some(Arc::new(InstalledApi { definitions: definitions.into_iter().collect() }));
        let mut without_keys = whole.clone();
        without_keys.secrets.values_mut().for_each(|secret| {
            let mut value = serde_json::to_value(&**secret).unwrap();
            leave_key_out(&mut value);
            *secret = serde_json::from_value(value).map(Arc::new).unwrap();
        });
        let narrow = Scope { namespaces: vec!["edge".into(), "team-b".into()], ..scope() };
        let cases = [
            ("last-good-cluster.json", LastGoodKeys::Kept, scope(), whole.clone()),
            ("last-good-cluster-without-keys.json", LastGoodKeys::LeftOut, narrow, without_keys),
        ];
        for (name, keys, scope, expected) in cases {
            replace(&path, &scope, &whole, keys).unwrap();
            let bytes = golden::check(env!("CARGO_MANIFEST_DIR"), name, &fs::read(&path).unwrap());
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path, &scope), Some(expected));
        }
    }
}
