//! The entries of one host by path, in order of precedence.

use std::sync::Arc;

use gateway_grammar::path::{normalize_route_path, normalize_route_prefix};
use hashbrown::HashMap;

use super::prefix::PrefixTable;
use super::{Entry, Extent};
use crate::pattern::{PatternId, Regexes};

/// Entries by path condition. Exact paths go before expressions, expressions before prefixes; see
/// [`crate::order`].
#[derive(Debug, Default)]
pub(crate) struct PathTable {
    exact: HashMap<Arc<[u8]>, Vec<Entry>>,
    regex: Vec<(PatternId, Entry)>,
    prefix: PrefixTable,
}

/// A path condition in compiled form, normalised as requests are. The text is shared by the tables of all
/// hosts that the route is on.
#[derive(Clone, Debug)]
pub(crate) enum PathKey {
    Exact(Arc<[u8]>),
    Regex(PatternId),
    /// Without its trailing `/`.
    Prefix(Arc<[u8]>),
    /// An invalid expression: it matches no path.
    Broken,
}

impl PathKey {
    pub(crate) fn exact(path: &str) -> Self {
        Self::Exact(normalize_route_path(path).as_bytes().into())
    }

    pub(crate) fn prefix(path: &str) -> Self {
        Self::Prefix(normalize_route_prefix(path).as_bytes().into())
    }

    pub(crate) fn extent(&self) -> Extent {
        match self {
            Self::Prefix(prefix) => Extent::Prefix(prefix.len()),
            Self::Exact(_) | Self::Regex(_) | Self::Broken => Extent::Whole,
        }
    }
}

impl PathTable {
    /// Adds an entry. Entries come in order of precedence.
    pub(crate) fn push(&mut self, path: &PathKey, entry: Entry) {
        match path {
            PathKey::Exact(path) => self.exact.entry(Arc::clone(path)).or_default().push(entry),
            PathKey::Regex(id) => self.regex.push((*id, entry)),
            PathKey::Prefix(prefix) => self.prefix.push(prefix, entry),
            PathKey::Broken => {}
        }
    }

    /// Makes the table ready for lookups.
    pub(crate) fn finish(&mut self) {
        self.prefix.finish();
        self.exact.shrink_to_fit();
        self.regex.shrink_to_fit();
    }

    /// The entries whose path condition holds, in order of precedence.
    pub(crate) fn matching<'s>(
        &'s self,
        path: &[u8],
        regexes: Regexes<'_>,
    ) -> impl Iterator<Item = &'s Entry> {
        let exact = self.exact.get(path).into_iter().flatten();
        let regex =
            self.regex.iter().filter(move |(id, _)| regexes.is_match(*id, path)).map(|(_, entry)| entry);
        exact.chain(regex).chain(self.prefix.covering(path))
    }

    /// Every entry, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        let regex = self.regex.iter().map(|(_, entry)| entry);
        self.exact.values().flatten().chain(regex).chain(self.prefix.entries())
    }
}
