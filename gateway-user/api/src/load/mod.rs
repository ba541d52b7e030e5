//! YAML → typed objects, with the checks an API server makes and a place for everything that is wrong.
//!
//! Nothing here opens a file. An object with an error is left out; the others load.

mod core;
mod diagnostic;
mod hints;
mod identify;
mod json;
mod metadata;
mod scalar;
pub(crate) mod tree;
pub(crate) mod yaml;

pub use diagnostic::{Diagnostic, Position, Severity};

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::schema::{self, FieldDiagnostic};
use crate::{Kind, Object, ObjectKey, Origin, ResourceSet};
use identify::{Identity, KnownKind};
use tree::{Node, Tree};

/// Most faults of one object that are told.
const MAX_DIAGNOSTICS: usize = 50;

/// An object, and the place that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedObject {
    /// The object, checked, with defaults.
    pub object: Object,
    /// File and line of its beginning.
    pub origin: Origin,
    /// The same place with its column.
    pub position: Position,
}

/// The content of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Its objects without errors, in the order written.
    pub objects: Vec<LoadedObject>,
    /// The diagnostics, in the order written.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a file of any number of YAML documents: `file` is its name in diagnostics, `text` what it holds.
/// Lists (`kind: List`) are unfolded, kinds that are not ours are skipped with a note.
pub fn load(file: &str, text: &str) -> Loaded {
    let mut loader = Loader { file: file.into(), loaded: Loaded::default() };
    for document in yaml::documents(text) {
        match document {
            Ok(node) => loader.document(node, String::new()),
            Err(error) => loader.push(Severity::Error, error.at, "", "", error.message),
        }
    }
    loader.loaded
}

/// Puts files together. Of objects with the same kind, namespace and name the first is kept, the others are
/// errors.
pub fn assemble(files: impl IntoIterator<Item = Loaded>) -> (ResourceSet, Vec<Diagnostic>) {
    let mut set = ResourceSet::default();
    let mut places: BTreeMap<(Kind, ObjectKey), Origin> = BTreeMap::new();
    let mut diagnostics = Vec::new();
    for file in files {
        diagnostics.extend(file.diagnostics);
        for LoadedObject { object, origin, position } in file.objects {
            let identity = (object.kind(), object.key());
            if let Some(first) = places.get(&identity) {
                diagnostics.push(Diagnostic {
                    file: Arc::clone(&origin.file),
                    position,
                    severity: Severity::Error,
                    object: object.to_string(),
                    field: String::new(),
                    message: format!("defined at {first} already; remove one of the two"),
                });
                continue;
            }
            places.insert(identity, origin.clone());
            set.insert(object, Some(origin));
        }
    }
    (set, diagnostics)
}

/// Checks one object that came as JSON, with the same result as a file that holds it. `Ok(None)`: its kind is
/// not ours.
///
/// # Errors
/// The errors, without places.
pub fn check_value(value: &Value) -> Result<Option<Object>, Vec<Diagnostic>> {
    let mut loader = Loader { file: "".into(), loaded: Loaded::default() };
    loader.document(Node::from_value(value, Position::default()), String::new());
    let errors: Vec<_> = loader.loaded.diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    if errors.is_empty() { Ok(loader.loaded.objects.pop().map(|o| o.object)) } else { Err(errors) }
}

struct Loader {
    file: Arc<str>,
    loaded: Loaded,
}

impl Loader {
    /// One document, or one item of a list; `prefix` is the item's path in the document.
    fn document(&mut self, mut node: Node, prefix: String) {
        let at = node.at;
        match identify::identify(&self.file, &node) {
            Identity::KnownKind(known) => self.object(known, node, &prefix),
            Identity::List => self.list(&mut node),
            Identity::Foreign { shown, why } => self.push(Severity::Note, at, &shown, &prefix, why),
            Identity::Wrong { at, shown, field, message } => {
                self.push(Severity::Error, at, &shown, &join(&prefix, field), message);
            }
        }
    }

    /// A list's items, each as if it were a document. An item that is a list itself would be one for nobody.
    fn list(&mut self, node: &mut Node) {
        let Some(items) = node.take("items") else { return };
        let items = match items.tree {
            Tree::List(items) => items,
            // A template leaves this where its loop found nothing.
            Tree::Null => return,
            _ => {
                self.push(Severity::Error, items.at, "List", "items", "expected a list".to_owned());
                return;
            }
        };
        for (n, item) in items.into_iter().enumerate() {
            let prefix = format!("items[{n}]");
            if matches!(identify::identify(&self.file, &item), Identity::List) {
                self.push(Severity::Error, item.at, "List", &prefix, "a list inside a list".to_owned());
            } else {
                self.document(item, prefix);
            }
        }
    }

    fn object(&mut self, known: KnownKind, mut node: Node, prefix: &str) {
        let KnownKind { kind, schema, .. } = known;
        let at = node.at;
        let resolved = metadata::resolve_namespace(kind, &mut node);
        if kind.has_status() {
            // The API server drops what arrives there with the object: it has a road of its own.
            node.take("status");
        }
        let mut diagnostics = schema::apply(schema, &mut node);
        diagnostics.extend(resolved);
        metadata::check(kind, &node, &mut diagnostics);
        core::check(kind, &mut node, &mut diagnostics);
        let shown = identify::shown(&node);
        let refused = self.report(&shown, prefix, diagnostics);
        if refused {
            return;
        }
        match Object::from_value(kind, node.to_value()) {
            Ok(object) => {
                let origin = Origin { file: Arc::clone(&self.file), line: at.line };
                self.loaded.objects.push(LoadedObject { object, origin, position: at });
            }
            Err(error) => self.push(Severity::Error, at, &shown, prefix, error.to_string()),
        }
    }

    /// Tells violations in the order of their places, each once; whether one is an error.
    fn report(&mut self, object: &str, prefix: &str, mut diagnostics: Vec<FieldDiagnostic>) -> bool {
        diagnostics.sort_by(|a, b| (a.at, &a.field, &a.message).cmp(&(b.at, &b.field, &b.message)));
        diagnostics.dedup_by(|a, b| (a.at, &a.field, &a.message) == (b.at, &b.field, &b.message));
        let refused = diagnostics.iter().any(|v| !v.warning);
        let left_out = diagnostics.len().saturating_sub(MAX_DIAGNOSTICS);
        let last = diagnostics.last().map(|v| v.at);
        diagnostics.truncate(MAX_DIAGNOSTICS);
        for diagnostic in diagnostics {
            let severity = if diagnostic.warning { Severity::Warning } else { Severity::Error };
            self.push(severity, diagnostic.at, object, &join(prefix, &diagnostic.field), diagnostic.message);
        }
        if let (Some(at), true) = (last, left_out > 0) {
            let severity = if refused { Severity::Error } else { Severity::Warning };
            self.push(severity, at, object, prefix, format!("and {left_out} more faults in this object"));
        }
        refused
    }

    fn push(&mut self, severity: Severity, position: Position, object: &str, field: &str, message: String) {
        self.loaded.diagnostics.push(Diagnostic {
            file: Arc::clone(&self.file),
            position,
            severity,
            object: object.to_owned(),
            field: field.to_owned(),
            message,
        });
    }
}

fn join(prefix: &str, field: &str) -> String {
    match (prefix.is_empty(), field.is_empty()) {
        (true, _) => field.to_owned(),
        (_, true) => prefix.to_owned(),
        _ => format!("{prefix}.{field}"),
    }
}
