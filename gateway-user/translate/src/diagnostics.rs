//! Diagnostics for users: all errors and warnings in one line each, those without a status field too.

use std::fmt;

use gateway_api_types::load::Severity;
use gateway_api_types::{Kind, ObjectKey, Origin, ResourceSet};
use serde::{Serialize, Serializer};

use crate::reason;

/// The object a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// The kind.
    pub kind: Kind,
    /// Namespace, empty for cluster-scoped kinds, and name.
    pub key: ObjectKey,
}

/// One line for people: object, field, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Severity.
    #[serde(serialize_with = "as_text")]
    pub severity: Severity,
    /// The object to edit.
    pub object: ObjectRef,
    /// Path below `spec`, such as `rules[0].backendRefs[1]`; empty for the object as a whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// The error and the fix.
    pub message: String,
    /// File and line of the object, if it came from a file.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "option_as_text")]
    pub origin: Option<Origin>,
}

/// Most bytes of one fault's message.
const ERROR_MESSAGE_MAX: usize = 1_024;
/// Most findings about one object: each of a Gateway's 4,096 references and of a route's thousands of header
/// changes could be a mistake, and all findings are gone through and compared with those before whenever
/// anything changes.
const DIAGNOSTICS_MAX: usize = 64;

/// Why something was refused: a condition's reason and message, and a finding's field and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// A condition reason of the Gateway API.
    pub(crate) reason: &'static str,
    /// Path below `spec`; may be empty.
    pub(crate) field: String,
    /// The error and the fix.
    pub(crate) message: String,
    /// A suggestion. It may name objects that have nothing to do with this one but their names, so it stays
    /// out of the IR: what is served must not change with them.
    pub(crate) hint: String,
}

/// Findings as they are made. Where their objects are written is looked up at the end: a line that moves is
/// no reason to judge an object again.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics(Vec<Diagnostic>);

impl ConfigError {
    /// The message is cut if it quotes more than people read: a header's value may have 4,096 characters.
    pub(crate) fn new(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        reason::shorten(&mut message, ERROR_MESSAGE_MAX);
        Self { reason, field: field.into(), message, hint: String::new() }
    }

    /// The same with a suggestion.
    pub(crate) fn with_hint(mut self, hint: String) -> Self {
        self.hint = hint;
        self
    }

    /// Field and message without the suggestion.
    pub(crate) fn plain(&self) -> String {
        Self { hint: String::new(), ..self.clone() }.to_string()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}{}", self.message, self.hint)
    }
}

impl Diagnostics {
    /// True if there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, severity: Severity, object: &ObjectRef, field: &str, message: &str) {
        self.0.push(Diagnostic {
            severity,
            object: object.clone(),
            field: field.to_owned(),
            message: message.to_owned(),
            origin: None,
        });
    }

    pub(crate) fn error(&mut self, object: &ObjectRef, error: &ConfigError) {
        self.push(Severity::Error, object, &error.field, &format!("{}{}", error.message, error.hint));
    }

    /// Keeps only the first of what was found about one object, and says how many more there are; to be
    /// called where all findings are about it.
    pub(crate) fn bound(&mut self, object: &ObjectRef) {
        let more = self.0.len().saturating_sub(DIAGNOSTICS_MAX);
        if more > 0 {
            let worst = self.0.iter().map(|diagnostic| diagnostic.severity).max_by_key(|one| rank(*one));
            self.0.truncate(DIAGNOSTICS_MAX);
            let message = format!(
                "{more} more of its fields have something wrong with them; these are the first {DIAGNOSTICS_MAX}"
            );
            self.push(worst.unwrap_or(Severity::Warning), object, "", &message);
        }
    }

    /// Adds what was found before.
    pub(crate) fn repeat(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// All of them, by object; those of one object in the order in which they were made.
    pub(crate) fn finish(mut self, resources: &ResourceSet) -> Vec<Diagnostic> {
        self.0.sort_by(|a, b| a.object.cmp(&b.object));
        for diagnostic in &mut self.0 {
            diagnostic.origin = resources.origin(diagnostic.object.kind, &diagnostic.object.key).cloned();
        }
        self.0
    }
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 2,
        Severity::Warning => 1,
        Severity::Note => 0,
    }
}

/// As text, `HTTPRoute team1/httpbin`: what people search a dump for.
impl Serialize for ObjectRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn as_text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn option_as_text<T: fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// `HTTPRoute team1/httpbin: parentRefs[0]: no Gateway "ingress/ingress"`: object, field and message, without
/// the severity and place, which whoever prints it puts in front.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}
