//! Types against the CRDs: no field that a CRD has is lost, no field is read that a CRD lacks, defaults are
//! the same.

use std::cell::RefCell;
use std::collections::BTreeSet;

use gateway_api_types::{Kind, Object};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value, json};

/// The kinds whose types are ours; those of the core come from `k8s-openapi`.
fn own_kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.iter().copied().filter(|kind| {
        kind.group().ends_with(".x-k8s.io")
            || kind.group().starts_with("gateway.")
            || kind.group() == "sluice.dev"
    })
}

/// The CRD's schema for a kind and version.
fn schema(kind: Kind, version: &str) -> Value {
    let path = format!("schemas/{}.json", kind.as_str().to_lowercase());
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("a schema")).expect("JSON");
    let schema = &file["versions"][version];
    match schema.as_str() {
        Some(same_as) => file["versions"][same_as].clone(),
        None => schema.clone(),
    }
}

/// Which fields a made-up object has.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    All,
    /// All without a default.
    NoDefaults,
    /// The same, but for what holds others: a default of a whole list would hide those of its items.
    NoScalarDefaults,
    /// Those required, and whatever holds others.
    Skeleton,
    /// Those required.
    Required,
}

impl Fill {
    fn has(self, inner: &Value, required: bool) -> bool {
        match self {
            Self::All => true,
            Self::NoDefaults => inner.get("default").is_none(),
            Self::NoScalarDefaults => inner.get("default").is_none() || holds_others(inner),
            Self::Skeleton => required || holds_others(inner),
            Self::Required => required,
        }
    }
}

fn holds_others(schema: &Value) -> bool {
    schema["type"] == "object" || schema["type"] == "array"
}

/// An object with the fields of `fill`: `variant` picks among the values of an enum.
fn populate(schema: &Value, variant: usize, fill: Fill) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        return values[variant % values.len()].clone();
    }
    match schema["type"].as_str().expect("a type") {
        "object" => {
            let mut map = Map::new();
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                let required = schema["required"].as_array().is_some_and(|r| r.contains(&json!(name)));
                if fill.has(inner, required) {
                    map.insert(name.clone(), populate(inner, variant, fill));
                }
            }
            if let Some(inner @ Value::Object(_)) = schema.get("additionalProperties") {
                map.insert("key".to_owned(), populate(inner, variant, fill));
            }
            Value::Object(map)
        }
        "array" => json!([populate(&schema["items"], variant, fill)]),
        "string" if schema["format"] == "date-time" => json!("2026-01-31T12:00:00Z"),
        "string" => json!(format!("text{variant}")),
        "integer" => json!(schema["minimum"].as_i64().unwrap_or(0) + 1),
        "boolean" => json!(variant.is_multiple_of(2)),
        other => panic!("a {other}"),
    }
}

/// A whole object: what the CRD leaves to the API server is added.
fn whole(kind: Kind, schema: &Value, variant: usize, fill: Fill) -> Value {
    let mut value = populate(schema, variant, fill);
    value["apiVersion"] = json!(kind.api_version());
    value["kind"] = json!(kind.as_str());
    value["metadata"] = json!({"name": "n"});
    value
}

fn largest_enum(schema: &Value) -> usize {
    let own = schema["enum"].as_array().map_or(1, Vec::len);
    let inner = schema.as_object().into_iter().flatten().filter(|(key, _)| *key != "enum").map(|(_, v)| v);
    let inner = inner.chain(schema.as_array().into_iter().flatten());
    inner.map(largest_enum).fold(own, usize::max)
}

fn round_trip(kind: Kind, value: &Value) -> Value {
    let object = Object::from_value(kind, value.clone()).unwrap_or_else(|e| panic!("{kind}: {e}\n{value:#}"));
    object.to_value().expect("JSON")
}

/// Paths at which two values differ: a whole object would not be read.
fn differences(a: &Value, b: &Value, path: &str, into: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            for key in x.keys().chain(y.keys()).collect::<BTreeSet<_>>() {
                differences(&a[key], &b[key], &format!("{path}.{key}"), into);
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (n, (a, b)) in x.iter().zip(y).enumerate() {
                differences(a, b, &format!("{path}[{n}]"), into);
            }
        }
        _ if a == b => {}
        _ => into.push(format!("{path}: {a} is not {b}")),
    }
}

fn assert_same(a: &Value, b: &Value, what: &str) {
    let mut found = Vec::new();
    differences(a, b, what, &mut found);
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(a, b, "{what}");
}

#[test]
fn every_field_of_the_crds_survives() {
    for kind in own_kinds() {
        for version in kind.served_versions() {
            let schema = schema(kind, version);
            for variant in 0..largest_enum(&schema) {
                let value = whole(kind, &schema, variant, Fill::All);
                assert_same(&round_trip(kind, &value), &value, &format!("{kind} {version} #{variant}: "));
            }
        }
    }
}

#[test]
fn only_what_the_crds_require_is_required() {
    for kind in own_kinds() {
        for version in kind.served_versions() {
            let schema = schema(kind, version);
            for fill in [Fill::Skeleton, Fill::Required] {
                round_trip(kind, &whole(kind, &schema, 0, fill));
            }
        }
    }
}

#[test]
fn defaults_are_those_of_the_crds() {
    fn fill(schema: &Value, value: &mut Value) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            if let (Some(default), None) = (inner.get("default"), value.get(name)) {
                value[name] = default.clone();
            }
            if let Some(value) = value.get_mut(name) {
                fill(inner, value);
            }
        }
        value.as_array_mut().into_iter().flatten().for_each(|item| fill(&schema["items"], item));
    }
    for kind in own_kinds() {
        let mut schema = schema(kind, kind.version());
        // Defaults of the status are the API server's way to say that nobody has reported yet.
        schema["properties"].as_object_mut().expect("properties").remove("status");
        for without in [Fill::NoDefaults, Fill::NoScalarDefaults] {
            let sparse = whole(kind, &schema, 0, without);
            let mut filled = sparse.clone();
            fill(&schema, &mut filled);
            assert_same(&round_trip(kind, &sparse), &round_trip(kind, &filled), kind.as_str());
        }
    }
}

#[test]
fn no_field_is_read_that_the_crds_lack() {
    for kind in own_kinds() {
        let schema = schema(kind, kind.version());
        let value = whole(kind, &schema, 0, Fill::All);
        let report = Report::default();
        let probe = Probe { value: &value, schema: &schema, path: kind.as_str().to_owned(), report: &report };
        deserialize(kind, probe);
        assert_eq!(*report.unknown.borrow(), BTreeSet::new());
        let levels = report.structs.borrow().len();
        assert!(
            levels >= 3,
            "{kind}: only {levels} structs were seen, so the probe does not reach the fields"
        );
    }
}

fn deserialize(kind: Kind, probe: Probe<'_>) {
    use gateway_api_types as api;
    fn read<'de, T: Deserialize<'de>>(probe: Probe<'de>) -> Result<(), Error> {
        T::deserialize(probe).map(drop)
    }
    let result = match kind {
        Kind::GatewayClass => read::<api::GatewayClass>(probe),
        Kind::GatewayConfig => read::<api::GatewayConfig>(probe),
        Kind::Gateway => read::<api::Gateway>(probe),
        Kind::ListenerSet => read::<api::ListenerSet>(probe),
        Kind::HttpRoute => read::<api::HttpRoute>(probe),
        Kind::GrpcRoute => read::<api::GrpcRoute>(probe),
        Kind::TlsRoute => read::<api::TlsRoute>(probe),
        Kind::TcpRoute => read::<api::TcpRoute>(probe),
        Kind::UdpRoute => read::<api::UdpRoute>(probe),
        Kind::ReferenceGrant => read::<api::ReferenceGrant>(probe),
        Kind::BackendTlsPolicy => read::<api::BackendTlsPolicy>(probe),
        Kind::XBackend => read::<api::XBackend>(probe),
        Kind::XBackendTrafficPolicy => read::<api::XBackendTrafficPolicy>(probe),
        Kind::XMesh => read::<api::XMesh>(probe),
        Kind::XTelemetryPolicy => read::<api::XTelemetryPolicy>(probe),
        other => panic!("{other} is not one of our types"),
    };
    result.unwrap_or_else(|e| panic!("{kind}: {e}"));
}

#[derive(Default)]
struct Report {
    /// Fields that a type asked for and the schema lacks.
    unknown: RefCell<BTreeSet<String>>,
    /// Paths at which a type asked for named fields.
    structs: RefCell<BTreeSet<String>>,
}

/// Deserializes `value` and compares the field names that each type asks for with the schema at that place.
struct Probe<'a> {
    value: &'a Value,
    schema: &'a Value,
    path: String,
    report: &'a Report,
}

impl<'de> Deserializer<'de> for Probe<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Number(n) => visitor.visit_i64(n.as_i64().expect("an integer")),
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter(), of: self }),
            Value::Object(map) => visitor.visit_map(Fields { entries: map.iter(), next: None, of: self }),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // CRDs leave `metadata` to the API server: there is nothing to compare with.
        if let Some(properties) = self.schema["properties"].as_object() {
            self.report.structs.borrow_mut().insert(self.path.clone());
            let unknown = fields.iter().filter(|f| !properties.contains_key(**f));
            self.report.unknown.borrow_mut().extend(unknown.map(|f| format!("{}.{f}", self.path)));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text: StrDeserializer<'_, Error> =
            self.value.as_str().expect("an enum is a string").into_deserializer();
        visitor.visit_enum(text)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Fields<'de> {
    entries: serde_json::map::Iter<'de>,
    next: Option<(&'de String, &'de Value)>,
    of: Probe<'de>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.next = self.entries.next();
        let Some((name, _)) = self.next else { return Ok(None) };
        let name: StringDeserializer<Error> = name.clone().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, value) = self.next.expect("a key came first");
        let schema = match self.of.schema["properties"].get(name) {
            Some(schema) => schema,
            None => &self.of.schema["additionalProperties"],
        };
        let path = format!("{}.{name}", self.of.path);
        seed.deserialize(Probe { value, schema, path, report: self.of.report })
    }
}

struct Items<'de> {
    items: std::slice::Iter<'de, Value>,
    of: Probe<'de>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let path = format!("{}[]", self.of.path);
        seed.deserialize(Probe { value, schema: &self.of.schema["items"], path, report: self.of.report })
            .map(Some)
    }
}
