//! Rules that are ready, and the numbers that are written in them.

use std::sync::Arc;

use super::clusters::ClusterNumbers;
use crate::pattern::{PatternId, PatternSetBuilder};
use crate::table::condition::Conditions;
use crate::table::path::PathKey;
use crate::{ClusterId, Rule};

/// A rule that is ready, and the numbers that are written in it.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub(super) rule: Arc<Rule>,
    /// One for each of the source's.
    pub(super) matches: Vec<CompiledMatch>,
    /// Names of request fields with `_` in them that it matches or writes, in lower case.
    pub(super) underscores: Box<[Box<str>]>,
    pub(super) clusters: Vec<ClusterId>,
    pub(super) patterns: Vec<PatternId>,
}

#[derive(Debug)]
pub(super) struct CompiledMatch {
    pub(super) path: PathKey,
    /// `None` if only the path is asked for.
    pub(super) conditions: Option<Arc<Conditions>>,
}

/// The numbers that rules have written in them.
pub(super) struct Numbering<'a> {
    pub(super) clusters: ClusterNumbers<'a>,
    pub(super) patterns: PatternSetBuilder<'a>,
}

impl CompiledRule {
    /// Keeps what it refers to.
    pub(super) fn keep(&self, numbering: &mut Numbering<'_>) {
        self.clusters.iter().for_each(|id| numbering.clusters.keep(*id));
        self.patterns.iter().for_each(|id| numbering.patterns.keep(*id));
    }
}
