//! Defaults and whole numbers, as the API server and kubectl settle them before anything is checked.

use super::Schema;
use super::model::Type;
use crate::load::tree::{Node, Tree};

/// Drops nulls where the schema allows none, then puts defaults where nothing is. A default stands where its
/// object does. Makes an integer of `80.0` and `1e2` where the schema wants one.
pub(crate) fn apply(schema: &Schema, node: &mut Node) {
    match &mut node.tree {
        Tree::Float(number) if matches!(schema.types, Some(Type::Integer | Type::IntOrString)) => {
            if let Some(whole) = whole(*number) {
                node.tree = Tree::Int(whole);
            }
        }
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

/// The integer that a number is, as long as a float says it exactly.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// A null in a field that is not nullable counts as the field's absence (Kubernetes: "Defaulting and
/// Nullable").
fn keeps_null(schema: &Schema, key: &str) -> bool {
    match schema.properties.get(key).or(schema.additional.as_deref()) {
        Some(inner) => inner.nullable,
        None => schema.preserve_unknown,
    }
}
