//! A schema in the form that the check walks: the part of OpenAPI v3 that structural schemas use.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::cel::Rule;
use super::format::Format;

/// The constraints of a value (`apiextensions.k8s.io/v1` `JSONSchemaProps`, structural).
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// `None`: any, as in the branches of `oneOf`.
    pub(crate) types: Option<Type>,
    pub(crate) nullable: bool,
    pub(crate) preserve_unknown: bool,
    pub(crate) properties: BTreeMap<String, Schema>,
    pub(crate) additional: Option<Box<Schema>>,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) required: Vec<String>,
    pub(crate) default: Option<Value>,
    pub(crate) allowed: Vec<Value>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) format: Option<Format>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    pub(crate) min_items: Option<usize>,
    pub(crate) max_items: Option<usize>,
    pub(crate) min_properties: Option<usize>,
    pub(crate) max_properties: Option<usize>,
    /// Items of a list that are the same item.
    pub(crate) unique: Unique,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
    pub(crate) rules: Vec<Rule>,
    /// True if it, or a schema below it, has a rule.
    pub(crate) has_rules: bool,
}

/// A JSON type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// `x-kubernetes-int-or-string`.
    IntOrString,
}

/// Items of a list that are the same item (`x-kubernetes-list-type`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Unique {
    #[default]
    No,
    /// Those that are equal.
    Whole,
    /// Those with the same values of these fields.
    Keys(Vec<String>),
}

/// Keywords that are read. A schema with another one would be checked less than an API server does, so it
/// does not parse; a test parses every schema.
const KEYWORDS: [&str; 27] = [
    "type",
    "nullable",
    "properties",
    "additionalProperties",
    "items",
    "required",
    "default",
    "enum",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "oneOf",
    "anyOf",
    "not",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
];

impl Schema {
    /// Reads a schema; `None` if it says something that the check does not know.
    pub(crate) fn parse(raw: &Value) -> Option<Self> {
        let map = raw.as_object()?;
        if map.keys().any(|key| !KEYWORDS.contains(&key.as_str())) {
            return None;
        }
        let number = |key: &str| map.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let flag = |key: &str| map.get(key) == Some(&Value::Bool(true));
        let format = match map.get("format").and_then(Value::as_str) {
            Some(name) => Some(Format::parse(name)?),
            None => None,
        };
        let int_or_string = flag("x-kubernetes-int-or-string") || format == Some(Format::IntOrString);
        let mut schema = Self {
            types: if int_or_string { Some(Type::IntOrString) } else { parse_type(map.get("type"))? },
            nullable: flag("nullable"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            properties: parse_properties(map.get("properties"))?,
            additional: parse_inner(map.get("additionalProperties"))?,
            items: parse_inner(map.get("items"))?,
            required: strings(map.get("required")),
            default: map.get("default").cloned(),
            allowed: map.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            pattern: match map.get("pattern").and_then(Value::as_str) {
                Some(pattern) => Some(Regex::new(pattern).ok()?),
                None => None,
            },
            format,
            minimum: map.get("minimum").and_then(Value::as_f64),
            maximum: map.get("maximum").and_then(Value::as_f64),
            min_length: number("minLength"),
            max_length: number("maxLength"),
            min_items: number("minItems"),
            max_items: number("maxItems"),
            min_properties: number("minProperties"),
            max_properties: number("maxProperties"),
            unique: match map.get("x-kubernetes-list-type").and_then(Value::as_str) {
                Some("map") => Unique::Keys(strings(map.get("x-kubernetes-list-map-keys"))),
                Some("set") => Unique::Whole,
                _ => Unique::No,
            },
            one_of: parse_list(map.get("oneOf"))?,
            any_of: if int_or_string { Vec::new() } else { parse_list(map.get("anyOf"))? },
            not: parse_inner(map.get("not"))?,
            rules: parse_rules(map.get("x-kubernetes-validations"))?,
            has_rules: false,
        };
        schema.has_rules = !schema.rules.is_empty()
            || schema.properties.values().any(|s| s.has_rules)
            || schema.items.iter().chain(&schema.additional).any(|s| s.has_rules);
        Some(schema)
    }
}

/// `Some(None)`: no type is asked for.
#[expect(clippy::option_option, reason = "an unknown type and no type are different answers")]
fn parse_type(raw: Option<&Value>) -> Option<Option<Type>> {
    Some(match raw.map(Value::as_str) {
        None => None,
        Some(Some("object")) => Some(Type::Object),
        Some(Some("array")) => Some(Type::Array),
        Some(Some("string")) => Some(Type::String),
        Some(Some("integer")) => Some(Type::Integer),
        Some(Some("number")) => Some(Type::Number),
        Some(Some("boolean")) => Some(Type::Boolean),
        Some(_) => return None,
    })
}

fn parse_properties(raw: Option<&Value>) -> Option<BTreeMap<String, Schema>> {
    let Some(map) = raw.and_then(Value::as_object) else { return Some(BTreeMap::new()) };
    map.iter().map(|(name, raw)| Some((name.clone(), Schema::parse(raw)?))).collect()
}

/// `Some(None)`: there is none, or `additionalProperties: true` or `false`.
#[expect(clippy::option_option, reason = "a schema that does not parse and no schema are different answers")]
fn parse_inner(raw: Option<&Value>) -> Option<Option<Box<Schema>>> {
    match raw {
        Some(raw @ Value::Object(_)) => Schema::parse(raw).map(|s| Some(Box::new(s))),
        _ => Some(None),
    }
}

fn parse_list(raw: Option<&Value>) -> Option<Vec<Schema>> {
    raw.and_then(Value::as_array).into_iter().flatten().map(Schema::parse).collect()
}

fn parse_rules(raw: Option<&Value>) -> Option<Vec<Rule>> {
    raw.and_then(Value::as_array).into_iter().flatten().map(Rule::parse).collect()
}

fn strings(raw: Option<&Value>) -> Vec<String> {
    raw.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn every_committed_schema_parses() {
        for &kind in Kind::ALL {
            for version in kind.served_versions() {
                assert!(crate::schema::of(kind, version).is_some(), "{kind} {version}");
            }
            let file: Value = serde_json::from_str(crate::schema::source(kind)).expect("JSON");
            let versions = file["versions"].as_object().expect("versions");
            let mut served: Vec<&str> = kind.served_versions().to_vec();
            served.sort_unstable();
            assert_eq!(versions.keys().map(String::as_str).collect::<Vec<_>>(), served, "{kind}");
        }
    }

    #[test]
    fn a_keyword_that_is_not_checked_is_refused() {
        assert!(Schema::parse(&serde_json::json!({"type": "string"})).is_some());
        assert!(Schema::parse(&serde_json::json!({"type": "string", "multipleOf": 2})).is_none());
        assert!(Schema::parse(&serde_json::json!({"properties": {"a": {"format": "isbn"}}})).is_none());
    }
}
