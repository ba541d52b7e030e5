//! Assignments written down: as text that a file or a ConfigMap holds, and the files of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_ir::ObjectName;
use gateway_translate::{AddressWant, Assignment, Assignments};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::allocate::allocate;

/// The only format there is.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    given: Vec<AssignmentEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    problems: Vec<AllocationProblem>,
}

#[derive(Serialize, Deserialize)]
struct AssignmentEntry {
    address: IpAddr,
    namespace: String,
    gateway: String,
    node: String,
}

#[derive(Serialize, Deserialize)]
struct AllocationProblem {
    namespace: String,
    gateway: String,
    message: String,
}

/// Assignments as JSON text, ordered by Gateway.
pub fn write(assignments: &Assignments) -> String {
    let given = assignments.given.iter().flat_map(|(gateway, all)| {
        all.iter().map(|one| AssignmentEntry {
            address: one.address,
            namespace: gateway.namespace.to_string(),
            gateway: gateway.name.to_string(),
            node: one.node.clone(),
        })
    });
    let problems = assignments.problems.iter().map(|(gateway, message)| AllocationProblem {
        namespace: gateway.namespace.to_string(),
        gateway: gateway.name.to_string(),
        message: message.clone(),
    });
    let document = Document { version: VERSION, given: given.collect(), problems: problems.collect() };
    // Text keys and plain values, which always have a JSON form.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// Why assignments cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The text has this format version, which another version of Sluice may read.
    #[error("format {0} is of another version of Sluice; this one reads {VERSION}")]
    Format(u32),
    /// The text is damaged, so that no version can read it; with the parser's error.
    #[error("{0}")]
    Broken(String),
}

/// Enough of a page to tell whether the rest can be understood.
#[derive(Deserialize)]
struct Format {
    version: u32,
}

/// Reads the text that [`write`] wrote. An address that is in it twice is the first one's.
///
/// # Errors
/// [`ReadError`]: the text has another format version, or is no such text.
pub fn read(text: &str) -> Result<Assignments, ReadError> {
    let broken = |error: serde_json::Error| ReadError::Broken(error.to_string());
    let Format { version } = serde_json::from_str(text).map_err(broken)?;
    if version != VERSION {
        return Err(ReadError::Format(version));
    }
    let document: Document = serde_json::from_str(text).map_err(broken)?;
    let mut given: BTreeMap<ObjectName, Vec<Assignment>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for entry in document.given {
        if seen.insert(entry.address) {
            let gateway = ObjectName::new(entry.namespace, entry.gateway);
            let one = Assignment { address: entry.address, node: entry.node };
            given.entry(gateway).or_default().push(one);
        }
    }
    given.values_mut().for_each(|all| all.sort());
    let problem = |one: AllocationProblem| (ObjectName::new(one.namespace, one.gateway), one.message);
    Ok(Assignments { given, problems: document.problems.into_iter().map(problem).collect() })
}

/// A file that holds assignments across restarts.
#[derive(Debug)]
pub struct AssignmentFile {
    path: PathBuf,
    /// Its contents, if known.
    written: Option<Arc<Assignments>>,
}

impl AssignmentFile {
    /// The file at `path`, which is made when there is something to write. With what it holds; one that
    /// cannot be read holds nothing, and why is returned.
    pub fn open(path: PathBuf) -> (Self, Option<Arc<Assignments>>, Option<String>) {
        let (held, why) = match fs::read_to_string(&path).map_err(|error| (error.kind(), error.to_string())) {
            Ok(text) => match read(&text) {
                Ok(held) => (Some(Arc::new(held)), None),
                Err(error) => (None, Some(error.to_string())),
            },
            Err((io::ErrorKind::NotFound, _)) => (None, None),
            Err((_, error)) => (None, Some(error)),
        };
        let why = why.map(|why| format!("{}: replaced by an empty one: {why}", path.display()));
        (Self { path, written: held.clone() }, held, why)
    }

    /// Has the file hold these, if it does not; gives what went wrong, for people.
    pub(super) fn keep(&mut self, held: &Arc<Assignments>) -> Option<String> {
        if self.written.as_ref().map_or(held.given.is_empty(), |written| written == held) {
            return None;
        }
        match replace(&self.path, &write(held)) {
            Ok(()) => {
                self.written = Some(Arc::clone(held));
                None
            }
            Err(error) => {
                let why = "Gateways may get other addresses after a restart";
                Some(format!("write {}: {error}: {why}", self.path.display()))
            }
        }
    }
}

/// The store of a process that serves alone: a file, so that Gateways keep their addresses across restarts.
#[derive(Debug)]
pub struct LocalAssignmentStore {
    pool: Vec<IpNet>,
    node: BTreeSet<String>,
    file: AssignmentFile,
    held: Arc<Assignments>,
}

impl LocalAssignmentStore {
    /// Opens the store at `path`, which is created if missing. A file that cannot be read is replaced, and
    /// the reason is returned: Gateways may get other addresses then.
    pub fn open(path: PathBuf, pool: Vec<IpNet>, node: &str) -> (Self, Option<String>) {
        let (file, held, why) = AssignmentFile::open(path);
        let node = BTreeSet::from([node.to_owned()]);
        (Self { pool, node, file, held: held.unwrap_or_default() }, why)
    }

    /// Assigns addresses to these; the second result is an error of the write.
    pub(super) fn update(&mut self, wants: &[AddressWant]) -> (Arc<Assignments>, Option<String>) {
        let next = allocate(&self.pool, &self.held, wants, &self.node);
        if next != *self.held {
            self.held = Arc::new(next);
        }
        (Arc::clone(&self.held), self.file.keep(&self.held))
    }
}

/// Writes a file whole or not at all, by rename(2) after fsync(2).
///
/// # Errors
/// The file beside it cannot be written, or not be renamed; the old one is as it was then.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use gateway_testkit::golden;
    use gateway_testkit::scratch::Scratch;

    use super::*;

    fn want(name: &str) -> AddressWant {
        AddressWant {
            gateway: ObjectName::new("edge", name),
            created: None,
            fixed: Vec::new(),
            free: true,
            nodes: None,
        }
    }

    #[test]
    fn a_gateway_has_its_address_again_after_a_restart() {
        let dir = Scratch::new("book").unwrap();
        let path = dir.join("addresses");
        let pool = vec!["10.0.0.0/29".parse().unwrap()];
        let (mut store, why) = LocalAssignmentStore::open(path.clone(), pool.clone(), "n");
        assert_eq!(why, None);
        store.update(&[want("a"), want("b")]);
        let (before, error) = store.update(&[want("b")]);
        assert_eq!(error, None);
        let (mut again, _) = LocalAssignmentStore::open(path.clone(), pool.clone(), "n");
        let (after, _) = again.update(&[want("a"), want("b")]);
        let b = ObjectName::new("edge", "b");
        assert_eq!(before.given[&b], after.given[&b]);
        assert_eq!(after.given[&b][0].address.to_string(), "10.0.0.2");
        fs::write(&path, "{}").unwrap();
        let (mut anew, why) = LocalAssignmentStore::open(path, pool, "n");
        assert!(why.unwrap().contains("replaced by an empty one"));
        assert_eq!(anew.update(&[want("b")]).0.given[&b][0].address.to_string(), "10.0.0.1");
    }

    #[test]
    fn what_is_written_can_be_read() {
        let one = |address: &str| Assignment { address: address.parse().unwrap(), node: "n".to_owned() };
        let gateway = ObjectName::new("edge", "gw");
        let assignments = Assignments {
            given: BTreeMap::from([(gateway.clone(), vec![one("10.0.0.1"), one("fd00::1")])]),
            problems: BTreeMap::from([(gateway, "used up".to_owned())]),
        };
        assert_eq!(read(&write(&assignments)).unwrap(), assignments);
        let twice = r#"{"version":1,"given":[
            {"address":"10.0.0.1","namespace":"e","gateway":"a","node":"n"},
            {"address":"10.0.0.1","namespace":"e","gateway":"b","node":"n"}]}"#;
        assert_eq!(read(twice).unwrap().given.len(), 1);
        assert_eq!(read(r#"{"version":2,"gateways":{}}"#), Err(ReadError::Format(2)));
        assert!(matches!(read("{"), Err(ReadError::Broken(_))));
    }

    /// The file and the pool's ConfigMap hold these bytes; other versions of Sluice read them.
    #[test]
    fn the_format_is_byte_for_byte_as_it_was() {
        let one = |address: &str, node: &str| Assignment {
            address: address.parse().unwrap(),
            node: node.to_owned(),
        };
        let (web, api) = (ObjectName::new("edge", "web"), ObjectName::new("team-b", "api"));
        let given = BTreeMap::from([
            (web, vec![one("10.0.0.1", "node-1"), one("fd00::1", "node-1")]),
            (api.clone(), vec![one("10.0.0.2", "node-2")]),
        ]);
        let used_up = "the pool has no IPv6 address left (2 in use)".to_owned();
        let whole = Assignments { given: given.clone(), problems: BTreeMap::from([(api, used_up)]) };
        let without_problems = Assignments { given, problems: BTreeMap::new() };
        for (name, assignments) in [("addresses.json", whole), ("addresses-alone.json", without_problems)] {
            let bytes = golden::check(name, write(&assignments).as_bytes());
            assert_eq!(read(std::str::from_utf8(&bytes).unwrap()).unwrap(), assignments);
        }
        let dir = Scratch::new("book").unwrap();
        let bytes = golden::check("addresses-empty.json", write(&Assignments::default()).as_bytes());
        fs::write(dir.join("addresses"), bytes).unwrap();
        let (_, held, why) = AssignmentFile::open(dir.join("addresses"));
        assert_eq!((held.as_deref(), why), (Some(&Assignments::default()), None));
    }
}
