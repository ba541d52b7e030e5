//! All of a cluster's objects on disk, for a process that starts while the API server is away.
//!
//! The file holds what Secrets hold, so only its owner can read it; [`KeptKeys`] says in which form.

mod writer;

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway_api_types::{Definition, InstalledApi, Kind, Object, ResourceSet};
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use tracing::warn;

pub(crate) use writer::LastGoodWriter;

use crate::kept::KeptKeys;

/// Version of the file's format. A file of another one is passed over.
const FORMAT: u32 = 1;
/// Least time between the end of one writing and the begin of the next.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes that are read or written at once.
const BUFFER: usize = 1 << 16;
/// Least pause after a writing as a multiple of the time that it took, so that a large cluster's churn costs
/// a bounded part of a disk.
const DUTY_DIVISOR: u32 = 20;

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
struct Objects<'a>(&'a ResourceSet, &'a KeptKeys);

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(objects, keys) = self;
        let mut list = serializer.serialize_seq(Some(objects.len()))?;
        for object in objects.iter() {
            let mut value = object.to_value().map_err(serde::ser::Error::custom)?;
            if keys.are_left_out() && object.kind() == Kind::Secret {
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

/// Objects that another process left at `path` of the same cluster, if any; a file that cannot be used is
/// logged.
pub(super) fn read(path: &Path, scope: &Scope, keys: &KeptKeys) -> Option<ResourceSet> {
    match read_file(path, keys) {
        Ok(Some(Read { scope: of, definitions, mut objects })) if of == *scope => {
            let definitions = definitions.into_iter();
            let definitions = definitions
                .map(|(name, bundle_version, channel)| (name, Definition { bundle_version, channel }));
            objects.installed = Some(Arc::new(InstalledApi {
                definitions: definitions.collect(),
                ..InstalledApi::default()
            }));
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
fn read_file(path: &Path, keys: &KeptKeys) -> io::Result<Option<Read>> {
    let open = || keys.open(path).map(|file| BufReader::with_capacity(BUFFER, file));
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
fn replace(path: &Path, scope: &Scope, objects: &ResourceSet, keys: &KeptKeys) -> io::Result<()> {
    let definitions = objects.installed.iter().flat_map(|installed| &installed.definitions);
    let definitions = definitions
        .map(|(name, one)| (name.as_str(), one.bundle_version.as_deref(), one.channel.as_deref()))
        .collect();
    let beside = beside(path);
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).create(dir)?;
    }
    let _ = fs::remove_file(&beside);
    let document = Written { format: FORMAT, scope, definitions, objects: Objects(objects, keys) };
    let written = write_new(&beside, &document, keys);
    let written = written.and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write_new(path: &Path, document: &Written<'_>, keys: &KeptKeys) -> io::Result<()> {
    let mut file = keys.create(path)?;
    serde_json::to_writer(&mut file, document)?;
    file.finish()
}

#[cfg(test)]
mod tests;
