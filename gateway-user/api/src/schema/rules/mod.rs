//! CEL rules over a document that is otherwise right.

use super::{FieldDiagnostic, Path, Schema, cel};
use crate::load::tree::{Node, Tree};

/// Runs every rule, outermost values first.
pub(crate) fn check(schema: &Schema, node: &Node, diagnostics: &mut Vec<FieldDiagnostic>) {
    walk(schema, node, &mut Path::default(), diagnostics);
}

fn walk<'a>(schema: &'a Schema, node: &'a Node, path: &mut Path<'a>, diagnostics: &mut Vec<FieldDiagnostic>) {
    if !schema.has_rules {
        return;
    }
    if !schema.rules.is_empty() {
        for message in cel::failures(schema, node) {
            diagnostics.push(FieldDiagnostic {
                at: node.at,
                field: path.to_string(),
                message,
                warning: false,
            });
        }
    }
    match &node.tree {
        Tree::Map(entries) => {
            for entry in entries {
                if let Some(inner) = schema.properties.get(&entry.key).or(schema.additional.as_deref()) {
                    path.field(&entry.key, |path| walk(inner, &entry.value, path, diagnostics));
                }
            }
        }
        Tree::List(items) => {
            if let Some(inner) = &schema.items {
                for (n, item) in items.iter().enumerate() {
                    path.index(n, |path| walk(inner, item, path, diagnostics));
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
