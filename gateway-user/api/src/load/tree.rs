//! A document as a tree that knows where each value stands.

use serde_json::{Map, Number, Value};

use super::Position;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) tree: Tree,
}

/// A JSON value, with the parts that only the reader of YAML knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// `ambiguous`: written without quotes, and another type to readers of YAML 1.1 such as kubectl.
    String {
        text: String,
        ambiguous: bool,
    },
    List(Vec<Node>),
    /// In the order written; keys are unique.
    Map(Vec<Entry>),
}

/// A field of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Node,
}

impl Node {
    /// The field of that name, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// The field of that name, to change it.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.tree {
            Tree::Map(entries) => entries.iter_mut().find(|e| e.key == key).map(|e| &mut e.value),
            _ => None,
        }
    }

    /// Puts a field where none of that name is, at the place of the map itself.
    pub(crate) fn put(&mut self, key: &str, tree: Tree) {
        let at = self.at;
        if let Tree::Map(entries) = &mut self.tree {
            entries.push(Entry { key: key.to_owned(), key_at: at, value: Self { at, tree } });
        }
    }

    /// Takes a field out.
    pub(crate) fn take(&mut self, key: &str) -> Option<Self> {
        let Tree::Map(entries) = &mut self.tree else { return None };
        let index = entries.iter().position(|e| e.key == key)?;
        Some(entries.remove(index).value)
    }

    /// The fields, if this is a map.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.tree {
            Tree::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text, if this is a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.tree {
            Tree::String { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The node without places. A float that JSON cannot say (infinite, not a number) becomes null.
    pub(crate) fn to_value(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Bool(b) => Value::Bool(*b),
            Tree::Int(i) => Value::Number((*i).into()),
            Tree::Float(x) => Number::from_f64(*x).map_or(Value::Null, Value::Number),
            Tree::String { text, .. } => Value::String(text.clone()),
            Tree::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Tree::Map(entries) => Value::Object(
                entries.iter().map(|e| (e.key.clone(), e.value.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// A node whose values all stand at `at`.
    pub(crate) fn from_value(value: &Value, at: Position) -> Self {
        let tree = match value {
            Value::Null => Tree::Null,
            Value::Bool(b) => Tree::Bool(*b),
            Value::Number(n) => match n.as_i64() {
                Some(i) => Tree::Int(i),
                None => Tree::Float(n.as_f64().unwrap_or(f64::INFINITY)),
            },
            Value::String(text) => Tree::String { text: text.clone(), ambiguous: false },
            Value::Array(items) => Tree::List(items.iter().map(|v| Self::from_value(v, at)).collect()),
            Value::Object(map) => Tree::Map(
                map.iter()
                    .map(|(k, v)| Entry { key: k.clone(), key_at: at, value: Self::from_value(v, at) })
                    .collect(),
            ),
        };
        Self { at, tree }
    }

    /// The cost of a copy: one for every node, and one for every 64 bytes of text.
    pub(crate) fn weight(&self) -> usize {
        1 + match &self.tree {
            Tree::String { text, .. } => text.len() / 64,
            Tree::List(items) => items.iter().map(Self::weight).sum(),
            Tree::Map(entries) => entries.iter().map(|e| e.key.len() / 64 + e.value.weight()).sum(),
            _ => 0,
        }
    }

    /// Number of levels of collections.
    pub(crate) fn depth(&self) -> usize {
        match &self.tree {
            Tree::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Tree::Map(entries) => 1 + entries.iter().map(|e| e.value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The type, in the words of a message.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.tree {
            Tree::Null => "nothing",
            Tree::Bool(_) => "a boolean",
            Tree::Int(_) | Tree::Float(_) => "a number",
            Tree::String { .. } => "a string",
            Tree::List(_) => "a list",
            Tree::Map(_) => "an object",
        }
    }
}
