//! The server's objects and their history.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Everything. A kind is named as RBAC names it: `plural.group`, or the plural alone.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) installed: BTreeSet<String>,
    objects: BTreeMap<String, BTreeMap<(String, String), Value>>,
    /// Events that watches are told, in order.
    history: Vec<Line>,
    version: u64,
    /// History up to here is gone.
    horizon: u64,
    pub(super) forbidden: BTreeSet<(String, String)>,
    pub(super) pages_only: bool,
    pub(super) away: bool,
    pub(super) ended: bool,
    /// Connections of an earlier one are cut.
    pub(super) epoch: u64,
    pub(super) requests: Vec<String>,
    pub(super) watchers: BTreeMap<String, usize>,
}

/// One event.
#[derive(Clone, Debug)]
struct Line {
    /// The version after it.
    version: u64,
    plural: String,
    text: String,
}

/// The namespace and name of an object.
fn key(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

impl State {
    pub(super) fn put(&mut self, plural: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let objects = self.objects.entry(plural.to_owned()).or_default();
        let before = objects.insert(key(&object), object.clone());
        let type_ = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.tell(plural, &json!({"type": type_, "object": object}).to_string());
    }

    pub(super) fn delete(&mut self, plural: &str, namespace: &str, name: &str) {
        self.version += 1;
        let objects = self.objects.entry(plural.to_owned()).or_default();
        if let Some(mut object) = objects.remove(&(namespace.to_owned(), name.to_owned())) {
            object["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.tell(plural, &json!({"type": "DELETED", "object": object}).to_string());
        }
    }

    pub(super) fn bookmark(&mut self, plural: &str) {
        self.version += 1;
        let text = self.bookmark_line(plural, &json!({}));
        self.tell(plural, &text);
    }

    pub(super) fn bookmark_line(&self, plural: &str, annotations: &Value) -> String {
        let metadata = json!({"resourceVersion": self.version.to_string(), "annotations": annotations});
        let object = json!({"apiVersion": "v1", "kind": plural, "metadata": metadata});
        json!({"type": "BOOKMARK", "object": object}).to_string()
    }

    pub(super) fn garbage(&mut self, plural: &str, line: &str) {
        self.version += 1;
        self.tell(plural, line);
    }

    pub(super) fn forget(&mut self) {
        self.history.clear();
        self.horizon = self.version;
    }

    fn tell(&mut self, plural: &str, text: &str) {
        self.history.push(Line { version: self.version, plural: plural.to_owned(), text: text.to_owned() });
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// True if all that came after that version is known.
    pub(super) fn remembers(&self, version: u64) -> bool {
        version >= self.horizon
    }

    /// The events of a kind after a version, of objects that `selects` or as metadata alone, and the version
    /// after the last of them.
    pub(super) fn after(
        &self,
        plural: &str,
        version: u64,
        metadata_only: bool,
        selects: impl Fn(&Value) -> bool,
    ) -> (Vec<String>, u64) {
        let new = self.history.iter().filter(|line| line.version > version && line.plural == plural);
        let lines: Vec<&Line> = new.collect();
        let last = lines.last().map_or(version, |line| line.version);
        let shown = |line: &Line| {
            let Ok(mut event) = serde_json::from_str::<Value>(&line.text) else {
                return Some(line.text.clone());
            };
            let is_object = matches!(event["type"].as_str(), Some("ADDED" | "MODIFIED" | "DELETED"));
            if !is_object || !event["object"].is_object() {
                return Some(line.text.clone());
            }
            if !selects(&event["object"]) {
                return None;
            }
            if metadata_only {
                let metadata = event["object"]["metadata"].take();
                event["object"] = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata});
            }
            Some(event.to_string())
        };
        (lines.into_iter().filter_map(shown).collect(), last)
    }

    /// The objects of a kind in a namespace, or in all; in order.
    pub(super) fn list(&self, plural: &str, namespace: Option<&str>) -> Vec<Value> {
        let objects = self.objects.get(plural).into_iter().flatten();
        let within = objects.filter(|((place, _), _)| namespace.is_none_or(|name| name == place));
        within.map(|(_, object)| object.clone()).collect()
    }
}
