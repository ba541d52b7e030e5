//! Diagnostics of the loader.

use std::fmt;
use std::sync::Arc;

/// Severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Loaded, but probably not what was meant.
    Warning,
    /// Not loaded.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A line and a column, both from 1; both 0 when the object came from no text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One thing to tell about one value. Written as `file:line:column: object: field: message`, without the
/// parts that are not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file, as the loader was given it; empty when the object came from no file.
    pub file: Arc<str>,
    /// Position of the offending value; of a missing field, that of its parent.
    pub position: Position,
    /// Severity.
    pub severity: Severity,
    /// `Kind namespace/name`, as far as the object says; empty if it says nothing.
    pub object: String,
    /// Path of the field, such as `spec.rules[0].matches[1].path`; empty for the object as a whole.
    pub field: String,
    /// The fix.
    pub message: String,
}

impl Diagnostic {
    /// True if it keeps the object, or the document, from being loaded.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:{}:{}: ", self.file, self.position.line, self.position.column)?;
        }
        if self.severity != Severity::Error {
            write!(f, "{}: ", self.severity)?;
        }
        for part in [&self.object, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}
