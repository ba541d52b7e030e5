//! The chart's values with their comments, as a table for README.md.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A key without keys of its own that are described.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Such as `node.helper.config`.
    pub(super) path: String,
    /// Its default, as JSON in one line.
    pub(super) default: String,
    /// The comment above it.
    pub(super) about: String,
}

/// Reads a values file: two blanks for each level; a comment describes the key right below it. Keys below a described one
/// belong to its default.
///
/// # Errors
/// The file is no YAML, or a key has neither a comment nor described keys.
pub(super) fn rows(text: &str) -> Result<Vec<Row>> {
    let all: Value = serde_saphyr::from_str(text).context("values.yaml")?;
    let (mut rows, mut parents, mut comment) = (Vec::<Row>::new(), Vec::<String>::new(), Vec::<&str>::new());
    // Deeper lines belong to a row's default.
    let mut described: Option<usize> = None;
    for line in text.lines() {
        let level = (line.len() - line.trim_start().len()) / 2;
        let line = line.trim();
        if line.is_empty() {
            comment.clear();
            continue;
        }
        if described.is_some_and(|at| level > at) {
            continue;
        }
        if let Some(part) = line.strip_prefix('#') {
            comment.push(part.trim());
            continue;
        }
        let (key, rest) = line.split_once(':').with_context(|| format!("values.yaml: {line}: no key"))?;
        parents.truncate(level);
        parents.push(key.to_owned());
        let path = parents.join(".");
        let about = std::mem::take(&mut comment).join(" ");
        described = (!about.is_empty()).then_some(level);
        ensure!(!about.is_empty() || rest.trim().is_empty(), "values.yaml: {path}: has no comment");
        if !about.is_empty() {
            let default = parents.iter().fold(&all, |value, key| &value[key.as_str()]);
            rows.push(Row { path, default: default.to_string(), about });
        }
    }
    Ok(rows)
}

/// The page's table.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = "| value | default | meaning |\n|---|---|---|\n".to_owned();
    for Row { path, default, about } in rows {
        text.push_str(&format!("| `{path}` | `{default}` | {} |\n", about.replace('|', "\\|")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::chart::chart;

    #[test]
    fn a_comment_describes_the_key_below_it() {
        let text = "# Of the file.\n\n# One\n# and all.\na: 1\nb:\n  # Two.\n  c: {x: [1]}\n  # Three.\n  d:\n    e: 1\n    f: 2\n";
        let rows = rows(text).unwrap();
        let found: Vec<_> =
            rows.iter().map(|row| (row.path.as_str(), row.default.as_str(), row.about.as_str())).collect();
        let wanted = [
            ("a", "1", "One and all."),
            ("b.c", "{\"x\":[1]}", "Two."),
            ("b.d", "{\"e\":1,\"f\":2}", "Three."),
        ];
        assert_eq!(found, wanted);
        assert!(table(&rows).ends_with("| `b.d` | `{\"e\":1,\"f\":2}` | Three. |\n"));
        assert!(super::rows("a: 1\n").unwrap_err().to_string().contains("a: has no comment"));
    }

    /// Every value is described, and may be set.
    #[test]
    fn values_and_schema_have_the_same_keys() {
        let text = fs::read_to_string(chart().join("values.yaml")).unwrap();
        let schema: Value =
            serde_json::from_str(&fs::read_to_string(chart().join("values.schema.json")).unwrap()).unwrap();
        let mut listed = BTreeSet::new();
        let rows = rows(&text).unwrap();
        for row in &rows {
            let keys: Vec<_> = row.path.split('.').collect();
            let mut at = &schema;
            for key in &keys {
                assert_eq!(at["additionalProperties"], false, "{}: a mistyped key would pass", row.path);
                at = &at["properties"][*key];
            }
            assert!(!at.is_null(), "values.schema.json does not have {}", row.path);
            listed.insert(row.path.clone());
        }
        let mut known = BTreeSet::new();
        leaves(&schema, "", &listed, &mut known);
        known.remove("global");
        assert_eq!(known, listed);
    }

    /// Paths of properties, down to those that values.yaml describes.
    fn leaves(schema: &Value, path: &str, listed: &BTreeSet<String>, into: &mut BTreeSet<String>) {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let mut has_any = false;
        for (key, below) in properties.filter(|_| !listed.contains(path)) {
            has_any = true;
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            leaves(below, &path, listed, into);
        }
        if !has_any {
            into.insert(path.to_owned());
        }
    }
}
