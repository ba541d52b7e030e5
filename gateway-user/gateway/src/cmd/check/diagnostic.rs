//! Diagnostics about resources, whoever made them.

use gateway_api_types::load;
use gateway_control::own_ports::OwnEndpoint;
use gateway_translate::{Diagnostic, Severity};
use serde::Serialize;

/// One diagnostic. Fields that are not known are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlacedDiagnostic {
    /// `error`, `warning` or `note`.
    #[serde(serialize_with = "as_text")]
    pub(crate) severity: Severity,
    /// The judge.
    pub(crate) rule: Rule,
    /// The file, as it was named or found below a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u32>,
    /// In characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<u32>,
    /// `Kind namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    /// The path of the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// The error and the fix.
    pub(crate) message: String,
}

/// Judges, as programs tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    /// The object's own schema, and the form of files.
    Schema,
    /// The resources together, as the Gateway API has it.
    Resources,
    /// Endpoints that a node would not use.
    Endpoints,
}

impl Rule {
    pub(crate) const ALL: [Self; 3] = [Self::Schema, Self::Resources, Self::Endpoints];

    /// As in documents.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Resources => "resources",
            Self::Endpoints => "endpoints",
        }
    }

    /// A sentence for people.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Schema => "The form of a file, or the schema of an object.",
            Self::Resources => "The resources together: references, conflicts, hosts, limits, certificates.",
            Self::Endpoints => "Endpoints of Services that a node would not use.",
        }
    }
}

impl PlacedDiagnostic {
    /// As compilers print it: `file:line:column: severity: object: field: message`, without what is not known. Errors go
    /// without their severity.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(file) = &self.file {
            text.push_str(file);
            for number in [self.line, self.column].into_iter().flatten() {
                text.push_str(&format!(":{number}"));
            }
            text.push_str(": ");
        }
        if self.severity != Severity::Error {
            text.push_str(&format!("{}: ", self.severity));
        }
        for part in [&self.object, &self.field].into_iter().flatten() {
            text.push_str(&format!("{part}: "));
        }
        text + &self.message
    }
}

impl From<&load::Diagnostic> for PlacedDiagnostic {
    fn from(diagnostic: &load::Diagnostic) -> Self {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let file = some(&diagnostic.file);
        let is_placed = file.is_some();
        Self {
            severity: diagnostic.severity,
            rule: Rule::Schema,
            line: is_placed.then_some(diagnostic.position.line),
            column: is_placed.then_some(diagnostic.position.column),
            file,
            object: some(&diagnostic.object),
            field: some(&diagnostic.field),
            message: diagnostic.message.clone(),
        }
    }
}

impl From<&Diagnostic> for PlacedDiagnostic {
    fn from(diagnostic: &Diagnostic) -> Self {
        let Diagnostic { severity, object, field, message, origin } = diagnostic;
        Self {
            severity: *severity,
            rule: Rule::Resources,
            file: origin.as_ref().map(|origin| origin.file.to_string()),
            line: origin.as_ref().map(|origin| origin.line),
            column: None,
            object: Some(object.to_string()),
            field: (!field.is_empty()).then(|| field.clone()),
            message: message.clone(),
        }
    }
}

impl From<&OwnEndpoint> for PlacedDiagnostic {
    fn from(endpoint: &OwnEndpoint) -> Self {
        Self {
            severity: Severity::Warning,
            rule: Rule::Endpoints,
            file: None,
            line: None,
            column: None,
            object: None,
            field: None,
            message: endpoint.to_string(),
        }
    }
}

fn as_text<S: serde::Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(severity)
}
