//! The tables: by host, then by path, then the conditions that are left.

pub(crate) mod condition;
pub(crate) mod host;
pub(crate) mod path;
pub(crate) mod prefix;
pub(crate) mod query;

use std::sync::Arc;

use crate::Rule;
use crate::hit::RouteMiss;
use condition::Conditions;

/// One match of one rule, under the path that it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The rule that a request wins by it.
    pub(crate) rule: Arc<Rule>,
    /// Index of the match in the rule.
    pub(crate) match_index: u32,
    /// The part of the path that is matched.
    pub(crate) extent: Extent,
    /// The other conditions; `None` for none.
    pub(crate) conditions: Option<Arc<Conditions>>,
}

/// The part of the path that a match covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// This many bytes.
    Prefix(usize),
}

/// The first condition of an entry that did not hold; the number is its place among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Method,
    /// It is no gRPC request, but for its method.
    ContentType,
    /// It is one of another method, or its path is none of gRPC's.
    GrpcMethod,
    Header(usize),
    Query(usize),
}

impl Extent {
    pub(crate) fn of(self, path: &[u8]) -> usize {
        match self {
            Self::Whole => path.len(),
            Self::Prefix(len) => len,
        }
    }
}

impl From<Mismatch> for RouteMiss {
    fn from(mismatch: Mismatch) -> Self {
        match mismatch {
            Mismatch::Method => Self::MethodMismatch,
            Mismatch::GrpcMethod => Self::NoRuleForPath,
            Mismatch::ContentType | Mismatch::Header(_) => Self::HeaderMismatch,
            Mismatch::Query(_) => Self::QueryMismatch,
        }
    }
}
