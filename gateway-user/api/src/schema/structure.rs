//! Everything a schema says but its rules.

use std::collections::HashSet;

use serde_json::Value;

use super::model::{Type, Unique};
use super::suggest::{did_you_mean, did_you_mean_value, quoted};
use super::{FieldDiagnostic, Path, Schema, advice};
use crate::load::Position;
use crate::load::tree::{Node, Tree};

/// Fields that the schema does not have. Looked for before defaults are applied, at the place of the field's
/// name.
pub(crate) fn unknown_fields<'a>(
    schema: &'a Schema,
    node: &'a Node,
    path: &mut Path<'a>,
    diagnostics: &mut Vec<FieldDiagnostic>,
) {
    match &node.tree {
        Tree::Map(entries) => {
            for entry in entries {
                let inner = schema.properties.get(&entry.key).or(schema.additional.as_deref());
                path.field(&entry.key, |path| match inner {
                    Some(inner) => unknown_fields(inner, &entry.value, path, diagnostics),
                    None if schema.preserve_unknown || schema.types != Some(Type::Object) => {}
                    // An object without properties of its own takes any (`FieldsV1`).
                    None if schema.properties.is_empty() && schema.additional.is_none() => {}
                    None => {
                        let hint = did_you_mean(&entry.key, schema.properties.keys().map(String::as_str));
                        diagnostics.push(error(entry.key_at, path, format!("unknown field{hint}")));
                    }
                });
            }
        }
        Tree::List(items) => {
            if let Some(inner) = &schema.items {
                for (n, item) in items.iter().enumerate() {
                    path.index(n, |path| unknown_fields(inner, item, path, diagnostics));
                }
            }
        }
        _ => {}
    }
}

/// Types, bounds, enums, patterns, formats, required fields, repeated items.
pub(crate) fn check<'a>(
    schema: &'a Schema,
    node: &'a Node,
    path: &mut Path<'a>,
    diagnostics: &mut Vec<FieldDiagnostic>,
) {
    if node.tree == Tree::Null && schema.nullable {
        return;
    }
    if let Some(message) = schema.types.and_then(|wanted| wrong_type(schema, wanted, node, path)) {
        diagnostics.push(error(node.at, path, message));
        return;
    }
    let mut report = |message: String| diagnostics.push(error(node.at, path, message));
    match &node.tree {
        Tree::String { text, .. } => check_string(schema, text, &mut report),
        Tree::Int(number) => {
            check_number(schema, *number as f64, &mut report);
            if let Some(expected) = schema.format.and_then(|f| f.refuse_integer(*number)) {
                report(format!("{number} is not {expected}"));
            }
        }
        Tree::Float(number) => check_number(schema, *number, &mut report),
        Tree::List(items) => {
            check_count("items", items.len(), schema.min_items, schema.max_items, &mut report)
        }
        Tree::Map(entries) => {
            check_count("fields", entries.len(), schema.min_properties, schema.max_properties, &mut report);
        }
        Tree::Null | Tree::Bool(_) => {}
    }
    if !schema.allowed.is_empty() && !schema.allowed.contains(&node.to_value()) {
        report(not_allowed(schema, node));
    }
    if let Tree::String { text, ambiguous: true } = &node.tree {
        let message =
            format!("quote {}: kubectl, which reads YAML 1.1, takes it for another type", quoted(text));
        diagnostics.push(FieldDiagnostic { at: node.at, field: path.to_string(), message, warning: true });
    }
    check_branches(schema, node, path, diagnostics);
    check_inside(schema, node, path, diagnostics);
}

fn check_inside<'a>(
    schema: &'a Schema,
    node: &'a Node,
    path: &mut Path<'a>,
    diagnostics: &mut Vec<FieldDiagnostic>,
) {
    match &node.tree {
        Tree::Map(entries) => {
            for name in schema.required.iter().filter(|name| node.get(name).is_none()) {
                path.field(name, |path| {
                    diagnostics.push(error(node.at, path, "required field is missing".to_owned()))
                });
            }
            for entry in entries {
                if let Some(inner) = schema.properties.get(&entry.key).or(schema.additional.as_deref()) {
                    path.field(&entry.key, |path| check(inner, &entry.value, path, diagnostics));
                }
            }
        }
        Tree::List(items) => {
            if let Some(inner) = &schema.items {
                for (n, item) in items.iter().enumerate() {
                    path.index(n, |path| check(inner, item, path, diagnostics));
                }
            }
            check_unique(&schema.unique, items, path, diagnostics);
        }
        _ => {}
    }
}

/// `None` if the value has the type.
fn wrong_type(schema: &Schema, wanted: Type, node: &Node, path: &Path<'_>) -> Option<String> {
    let (fits, expected) = match (wanted, &node.tree) {
        (Type::Object, tree) => (matches!(tree, Tree::Map(_)), "an object"),
        (Type::Array, tree) => (matches!(tree, Tree::List(_)), "a list"),
        (Type::String, tree) => (matches!(tree, Tree::String { .. }), "a string"),
        (Type::Boolean, tree) => (matches!(tree, Tree::Bool(_)), "true or false"),
        (Type::Integer, tree) => (matches!(tree, Tree::Int(_)), "an integer"),
        (Type::Number, tree) => (matches!(tree, Tree::Int(_) | Tree::Float(_)), "a number"),
        (Type::IntOrString, tree) => {
            (matches!(tree, Tree::Int(_) | Tree::String { .. }), "an integer or a string")
        }
    };
    if fits {
        return None;
    }
    let fix = match (wanted, &node.tree) {
        (Type::String, Tree::Bool(_) | Tree::Int(_) | Tree::Float(_)) => {
            advice::for_text(schema, &node.to_value().to_string())
        }
        (Type::Array, Tree::Map(_) | Tree::String { .. }) => "; begin each item with \"- \"".to_owned(),
        (Type::Integer | Type::Number, Tree::String { text, .. }) => {
            advice::for_number(schema, &path.to_string(), text)
        }
        (Type::Boolean, Tree::String { text, .. }) => advice::for_boolean(text),
        _ => String::new(),
    };
    Some(format!("expected {expected}, found {}{fix}", shown(node)))
}

/// A scalar itself, or what kind of collection it is.
fn shown(node: &Node) -> String {
    match &node.tree {
        Tree::Bool(_) | Tree::Int(_) | Tree::Float(_) => format!("{} {}", node.type_name(), node.to_value()),
        Tree::String { text, .. } => format!("{} {}", node.type_name(), quoted(text)),
        _ => node.type_name().to_owned(),
    }
}

fn check_string(schema: &Schema, text: &str, report: &mut impl FnMut(String)) {
    if schema.min_length.is_some() || schema.max_length.is_some() {
        let length = text.chars().count();
        if schema.min_length.is_some_and(|min| length < min) {
            report(if length == 0 {
                "must not be empty".to_owned()
            } else {
                format!("{length} characters are too few")
            });
        }
        if let Some(max) = schema.max_length.filter(|max| length > *max) {
            report(format!("{length} characters are too many, the limit is {max}"));
        }
    }
    // Of an empty text that may not be empty that has been said.
    let empty_said = text.is_empty() && schema.min_length.is_some_and(|min| min > 0);
    if let Some(pattern) = schema.pattern.as_ref().filter(|p| !empty_said && !p.is_match(text)) {
        report(match advice::for_pattern(schema, text) {
            Some(advice) => format!("{} is refused: {advice}", quoted(text)),
            None => format!("{} must match {pattern}", quoted(text)),
        });
    }
    if let Some(expected) = schema.format.and_then(|f| f.refuse_text(text)) {
        report(format!("{} is not {expected}", quoted(text)));
    }
}

fn check_number(schema: &Schema, number: f64, report: &mut impl FnMut(String)) {
    if let Some(min) = schema.minimum.filter(|min| number < *min) {
        report(format!("{number} is too small, the least is {min}"));
    }
    if let Some(max) = schema.maximum.filter(|max| number > *max) {
        report(format!("{number} is too large, the most is {max}"));
    }
}

fn check_count(
    what: &str,
    count: usize,
    min: Option<usize>,
    max: Option<usize>,
    report: &mut impl FnMut(String),
) {
    match min.filter(|min| count < *min) {
        Some(1) => report("must not be empty".to_owned()),
        Some(min) => report(format!("{count} {what} are too few, at least {min} must be there")),
        None => {}
    }
    if let Some(max) = max.filter(|max| count > *max) {
        report(format!("{count} {what} are too many, the limit is {max}"));
    }
}

fn not_allowed(schema: &Schema, node: &Node) -> String {
    let allowed: Vec<String> = schema.allowed.iter().map(ToString::to_string).collect();
    let values = || schema.allowed.iter().filter_map(Value::as_str);
    let hint = node.as_str().map(|text| match advice::unfilled(text) {
        Some(advice) => format!("; {advice}"),
        None => did_you_mean_value(text, values()),
    });
    let found = node.as_str().map_or_else(|| node.to_value().to_string(), quoted);
    format!("{found} is not one of {}{}", allowed.join(", "), hint.unwrap_or_default())
}

/// `oneOf`, `anyOf`, `not`. When none fits, the first branch says why: the CRDs put the narrow case first.
fn check_branches<'a>(
    schema: &'a Schema,
    node: &'a Node,
    path: &mut Path<'a>,
    diagnostics: &mut Vec<FieldDiagnostic>,
) {
    let mut failures = |branch: &'a Schema| {
        let mut found = Vec::new();
        check(branch, node, path, &mut found);
        found.retain(|v| !v.warning);
        found
    };
    if !schema.any_of.is_empty() {
        let failed: Vec<_> = schema.any_of.iter().map(&mut failures).collect();
        if failed.iter().all(|f| !f.is_empty()) {
            let formats = |text| schema.any_of.iter().filter_map(move |s| s.format?.refuse_text(text));
            let expected: Vec<_> = node.as_str().map(formats).into_iter().flatten().collect();
            let message = if expected.len() == failed.len() {
                format!("{} is not {}", node.as_str().map(quoted).unwrap_or_default(), expected.join(" or "))
            } else {
                failed.into_iter().flatten().map(|v| v.message).collect::<Vec<_>>().join(", and ")
            };
            diagnostics.push(error(node.at, path, message));
            return;
        }
    }
    if !schema.one_of.is_empty() {
        let mut failed: Vec<_> = schema.one_of.iter().map(failures).collect();
        match failed.iter().filter(|f| f.is_empty()).count() {
            0 => diagnostics.append(&mut failed.swap_remove(0)),
            1 => {}
            n => diagnostics.push(error(
                node.at,
                path,
                format!("fits {n} alternatives that exclude each other"),
            )),
        }
    }
    if let Some(not) = &schema.not {
        let mut found = Vec::new();
        check(not, node, path, &mut found);
        if found.iter().all(|v| v.warning) {
            diagnostics.push(error(node.at, path, format!("{} is not allowed here", shown(node))));
        }
    }
}

fn check_unique<'a>(
    unique: &'a Unique,
    items: &'a [Node],
    path: &mut Path<'a>,
    diagnostics: &mut Vec<FieldDiagnostic>,
) {
    let mut seen = HashSet::new();
    for (n, item) in items.iter().enumerate() {
        let (identity, what) = match unique {
            Unique::No => return,
            Unique::Whole => (item.to_value().to_string(), item.to_value().to_string()),
            Unique::Keys(keys) => {
                let value = |key: &String| item.get(key).map_or(Value::Null, Node::to_value);
                let values: Vec<Value> = keys.iter().map(value).collect();
                let pairs = keys.iter().zip(&values).filter(|(_, value)| !value.is_null());
                let shown: Vec<String> = pairs.map(|(key, value)| format!("{key} {value}")).collect();
                (Value::Array(values).to_string(), shown.join(", "))
            }
        };
        if !seen.insert(identity) {
            let message = format!("another item before it has {what}; each may be there once");
            path.index(n, |path| diagnostics.push(error(item.at, path, message)));
        }
    }
}

fn error(at: Position, path: &Path<'_>, message: String) -> FieldDiagnostic {
    FieldDiagnostic { at, field: path.to_string(), message, warning: false }
}
