//! Defaults, as the API server applies them before it checks anything.

use super::Schema;
use crate::load::tree::{Node, Tree};

/// Drops nulls where the schema allows none, then puts defaults where nothing is. A default stands where its object
/// does.
pub(crate) fn apply(schema: &Schema, node: &mut Node) {
    match &mut node.tree {
        Tree::Map(entries) => {
            entries.retain(|e| e.value.tree != Tree::Null || keeps_null(schema, &e.key));
            for (name, inner) in &schema.properties {
                if let (Some(default), None) = (&inner.default, node.get(name)) {
                    let value = Node::from_value(default, node.at);
                    node.put(name, value.tree);
                }
            }
            if let Tree::Map(entries) = &mut node.tree {
                for entry in entries {
                    let inner = schema.properties.get(&entry.key).or(schema.additional.as_deref());
                    if let Some(inner) = inner {
                        apply(inner, &mut entry.value);
                    }
                }
            }
        }
        Tree::List(items) => {
            if let Some(inner) = &schema.items {
                items.iter_mut().for_each(|item| apply(inner, item));
            }
        }
        _ => {}
    }
}

/// A null in a field that is not nullable counts as the field's absence (Kubernetes: "Defaulting and Nullable").
fn keeps_null(schema: &Schema, key: &str) -> bool {
    match schema.properties.get(key).or(schema.additional.as_deref()) {
        Some(inner) => inner.nullable,
        None => schema.preserve_unknown,
    }
}
