//! Files of several objects, such as the manifests of `deploy/kubernetes`, as text and by their names.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// One object of a file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Its text, with its comments and without the line between objects.
    pub(crate) text: String,
    /// The object.
    pub(crate) object: Value,
}

impl Document {
    /// Its kind.
    pub(crate) fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace, if it names one.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.object["metadata"]["namespace"].as_str()
    }
}

/// Objects of a file, in its order.
///
/// # Errors
/// One of them is no object of Kubernetes.
pub(crate) fn split(text: &str) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for part in format!("\n{text}").split("\n---\n") {
        let is_comment = |line: &str| line.trim().is_empty() || line.starts_with('#');
        if part.lines().all(is_comment) {
            continue;
        }
        let object: Value = serde_saphyr::from_str(part).with_context(|| format!("reading {part}"))?;
        let document = Document { text: part.trim().to_owned(), object };
        ensure!(!document.kind().is_empty() && !document.name().is_empty(), "no kind or no name: {part}");
        documents.push(document);
    }
    Ok(documents)
}

/// One file of these objects.
pub(crate) fn join<'a>(documents: impl IntoIterator<Item = &'a Document>) -> String {
    documents.into_iter().map(|document| format!("---\n{}\n", document.text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_keep_their_text() {
        let text = "# A file.\n---\n# One.\nkind: A\nmetadata: {name: a, namespace: elsewhere}\n---\nkind: B\nmetadata: {name: b}\n";
        let documents = split(text).unwrap();
        let found: Vec<_> = documents.iter().map(|one| (one.kind(), one.name(), one.namespace())).collect();
        assert_eq!(found, [("A", "a", Some("elsewhere")), ("B", "b", None)]);
        assert_eq!(join(&documents), text.replace("# A file.\n", ""));
        let without_first_line = "kind: A\nmetadata: {name: a}\n---\nkind: B\nmetadata: {name: b}";
        assert_eq!(split(without_first_line).unwrap().len(), 2);
        assert!(split("kind: A").is_err() && split("[").is_err());
    }
}
