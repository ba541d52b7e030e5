//! The `--config` file: one YAML mapping of setting names to values.

use std::collections::BTreeMap;
use std::fmt;

use gateway_api_types::suggest;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::table::TABLE;

/// The file's text, read but not yet checked setting by setting.
#[derive(Debug, Default)]
pub(super) struct FileSettings {
    /// Name → where it stands and what was written; lists are joined by commas.
    pub(super) values: BTreeMap<String, (u64, u64, String)>,
}

impl FileSettings {
    /// Reads the mapping.
    ///
    /// # Errors
    /// One line per mistake: the file is no mapping, or a key is no setting.
    pub(super) fn parse(path: &str, text: &str) -> Result<Self, Vec<String>> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let parsed: Result<Option<Entries>, _> = serde_saphyr::from_str_with_options(text, options);
        let entries = match parsed {
            Ok(entries) => entries.unwrap_or_default().0,
            Err(error) => return Err(vec![syntax_error(path, &error)]),
        };
        let mut values = BTreeMap::new();
        let mut unknown = Vec::new();
        for (key, value) in entries {
            if TABLE.iter().any(|row| row.name() == key.value) {
                let at = value.referenced;
                values.insert(key.value, (at.line(), at.column(), value.value.0));
            } else {
                let at = key.referenced;
                unknown.push(unknown_key(path, at.line(), at.column(), &key.value));
            }
        }
        if unknown.is_empty() { Ok(Self { values }) } else { Err(unknown) }
    }
}

fn syntax_error(path: &str, error: &serde_saphyr::Error) -> String {
    let place = error.location().map_or(String::new(), |at| format!("{}:{}:", at.line(), at.column()));
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    format!("{path}:{place} {first}; write one `name: value` per line")
}

fn unknown_key(path: &str, line: u64, column: u64, key: &str) -> String {
    let names: Vec<String> = TABLE.iter().map(super::Setting::name).collect();
    let near = nearest(key, names.iter().map(String::as_str));
    let hint =
        near.map_or_else(|| "see `sluice run --help`".to_owned(), |name| format!("did you mean {name}?"));
    format!("{path}:{line}:{column}: {key}: no such setting; {hint}")
}

/// The name that `word` is most likely a slip of.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    suggest::closest(&word.replace('_', "-"), candidates)
}

/// The mapping in its order, with places; which a map type would not keep.
#[derive(Debug, Default)]
struct Entries(Vec<(Spanned<String>, Spanned<ScalarText>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings as `name: value`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

/// A scalar or a list of scalars, as text.
#[derive(Debug)]
struct ScalarText(String);

impl<'de> Deserialize<'de> for ScalarText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = ScalarText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value or a list of values")
    }

    fn visit_str<E>(self, text: &str) -> Result<ScalarText, E> {
        Ok(ScalarText(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<ScalarText, E> {
        Ok(ScalarText(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ScalarText, E> {
        Ok(ScalarText(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ScalarText, E> {
        Ok(ScalarText(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<ScalarText, E> {
        Ok(ScalarText(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<ScalarText, E> {
        Ok(ScalarText(String::new()))
    }

    fn visit_none<E>(self) -> Result<ScalarText, E> {
        Ok(ScalarText(String::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ScalarText, A::Error> {
        let mut items = Vec::new();
        while let Some(ScalarText(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(ScalarText(items.join(",")))
    }
}
