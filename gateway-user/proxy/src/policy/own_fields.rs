//! Fields that a filter writes into a response, wherever that comes from.

use gateway_grammar::token::{eq_ignore_case, list};
use gateway_http::head::{EditError, Fields, HeadEdits};

const VARY: &str = "vary";
const VARIES_BY: &[u8] = b"Origin";

/// Fields of one response. They stand in place of all others that have one of `names`: a backend has no say in them.
#[derive(Debug, Default)]
pub struct OwnFields {
    /// The names that are the filter's alone, in lower case.
    names: &'static [&'static str],
    lines: Vec<(&'static str, Vec<u8>)>,
    /// The response depends on `Origin`, which caches must be told (RFC 9110 section 12.5.5).
    varies: bool,
}

impl OwnFields {
    pub(super) fn new(names: &'static [&'static str], varies: bool) -> Self {
        Self { names, lines: Vec::new(), varies }
    }

    /// Adds a line of one of the filter's names.
    pub(super) fn put(&mut self, name: &'static str, value: impl Into<Vec<u8>>) {
        self.lines.push((name, value.into()));
    }

    /// Adds the changes to those of a backend's response, which come first.
    #[cold]
    #[inline(never)]
    pub(crate) fn edit(&self, fields: Fields<'_>, edits: &mut HeadEdits) -> Result<(), EditError> {
        self.names.iter().try_for_each(|name| edits.remove(name.as_bytes()))?;
        self.lines.iter().try_for_each(|(name, value)| edits.add(name.as_bytes(), value))?;
        if self.varies && !tells(edits.values(fields, VARY.as_bytes())) {
            edits.add(VARY.as_bytes(), VARIES_BY)?;
        }
        Ok(())
    }

    /// The fields of a local reply that has these already.
    #[cold]
    #[inline(never)]
    pub fn beside<'a>(&'a self, fields: &[(&'a str, &'a [u8])]) -> Vec<(&'a str, &'a [u8])> {
        let mut all: Vec<_> = fields.iter().copied().filter(|(name, _)| !self.names.contains(name)).collect();
        all.extend(self.lines.iter().map(|(name, value)| (*name, value.as_slice())));
        let vary = all.iter().filter(|(name, _)| *name == VARY).map(|(_, value)| *value);
        if self.varies && !tells(vary) {
            all.push((VARY, VARIES_BY));
        }
        all
    }
}

/// True if values of `Vary` name `Origin`, or everything.
fn tells<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
    values.flat_map(list).any(|name| name == b"*" || eq_ignore_case(name, VARIES_BY))
}
