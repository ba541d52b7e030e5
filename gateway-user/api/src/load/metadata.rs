//! Checks of `metadata` that the API server makes beyond its schema.

use super::tree::{Node, Tree};
use crate::Kind;
use crate::schema::FieldDiagnostic;
use crate::schema::{
    is_dns1123_label, is_dns1123_subdomain, is_label_value, is_qualified_name, quoted, unfilled,
};

/// Namespace of an object that names none, as for kubectl without a context of its own.
const DEFAULT_NAMESPACE: &str = "default";

/// Gives a namespaced object a namespace if it names none, and takes it from one that lives in none, as the
/// API server does. One that it had is worth a warning.
pub(super) fn resolve_namespace(kind: Kind, object: &mut Node) -> Option<FieldDiagnostic> {
    let metadata = object.get_mut("metadata")?;
    let named = metadata.get("namespace").filter(|n| n.as_str() != Some("") && n.tree != Tree::Null);
    let warning = match (named, kind.namespaced()) {
        (Some(_), true) => return None,
        (Some(node), false) => {
            // The schema judges a value that is no string.
            node.as_str()?;
            let message =
                format!("remove it: a {kind} lives in no namespace; it is read as if it named none");
            Some(FieldDiagnostic { warning: true, ..diagnostic(node, "metadata.namespace", message) })
        }
        (None, _) => None,
    };
    metadata.take("namespace");
    if kind.namespaced() {
        metadata.put("namespace", Tree::String { text: DEFAULT_NAMESPACE.to_owned(), ambiguous: false });
    }
    warning
}

/// Names, namespaces and labels.
pub(super) fn check(kind: Kind, object: &Node, diagnostics: &mut Vec<FieldDiagnostic>) {
    let Some(metadata) = object.get("metadata") else {
        diagnostics.push(diagnostic(object, "metadata", "required field is missing".to_owned()));
        return;
    };
    check_name(kind, metadata, diagnostics);
    if let Some(namespace) = metadata.get("namespace")
        && let Some(text) = namespace.as_str().filter(|text| !is_dns1123_label(text))
    {
        diagnostics.push(diagnostic(namespace, "metadata.namespace", format!("{} {LABEL}", quoted(text))));
    }
    for entry in metadata.get("labels").map_or(&[][..], Node::entries) {
        let field = format!("metadata.labels[{}]", entry.key);
        if !is_qualified_name(&entry.key) {
            diagnostics.push(diagnostic(
                &entry.value,
                &field,
                "not a label: write name or prefix.example/name".to_owned(),
            ));
        }
        if let Some(text) = entry.value.as_str().filter(|text| !is_label_value(text)) {
            let rule =
                "must be at most 63 of a-z, A-Z, 0-9, '-', '_', '.', with a letter or digit at both ends";
            diagnostics.push(diagnostic(&entry.value, &field, format!("{} {rule}", quoted(text))));
        }
    }
    for entry in metadata.get("annotations").map_or(&[][..], Node::entries) {
        if !is_qualified_name(&entry.key.to_lowercase()) {
            let field = format!("metadata.annotations[{}]", entry.key);
            diagnostics.push(diagnostic(
                &entry.value,
                &field,
                "not a key: write name or prefix.example/name".to_owned(),
            ));
        }
    }
}

const LABEL: &str =
    "must be at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends (RFC 1123 label)";
const SUBDOMAIN: &str =
    "must be at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends (RFC 1123 subdomain)";
/// The name of a signer, its slash as a colon, comes before a colon and the name (`ClusterTrustBundleSpec.signerName`).
const SIGNED: &str = "must be one or more parts of a-z, 0-9, '-' and '.', with a letter or digit at both ends and colons between them";

fn check_name(kind: Kind, metadata: &Node, diagnostics: &mut Vec<FieldDiagnostic>) {
    let Some(name) = metadata.get("name").filter(|n| n.tree != Tree::Null && n.as_str() != Some("")) else {
        let hint =
            if metadata.get("generateName").is_some() { "; generateName needs an API server" } else { "" };
        diagnostics.push(diagnostic(metadata, "metadata.name", format!("required field is missing{hint}")));
        return;
    };
    let Some(text) = name.as_str() else { return };
    // Both become part of DNS names, where a dot would end the label.
    let (valid, rule) = match kind {
        Kind::Namespace | Kind::Service => (is_dns1123_label(text), LABEL),
        Kind::ClusterTrustBundle => (text.split(':').all(is_dns1123_subdomain), SIGNED),
        _ => (is_dns1123_subdomain(text), SUBDOMAIN),
    };
    if !valid {
        let message = match unfilled(text) {
            Some(advice) => format!("{} is no name: {advice}", quoted(text)),
            None => format!("{} {rule}", quoted(text)),
        };
        diagnostics.push(diagnostic(name, "metadata.name", message));
    }
}

fn diagnostic(node: &Node, field: &str, message: String) -> FieldDiagnostic {
    FieldDiagnostic { at: node.at, field: field.to_owned(), message, warning: false }
}
