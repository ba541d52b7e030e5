//! Rules as the data plane uses them. They are shared by reference count: a long stream keeps its rule, not
//! the tables.

use std::sync::Arc;

use gateway_ir::{PathMatch, Retry, RouteId, RuleError, Timeouts};

use crate::rewrite::Redirect;
use crate::{Filters, Mirror, Picker};

/// A cluster's place in [`Snapshot::clusters`](crate::Snapshot::clusters). Numbers differ between snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(
    /// Index into the snapshot's clusters.
    pub u32,
);

/// A route's name, written out once for logs and metrics.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteLabel {
    /// The route.
    pub id: RouteId,
    /// `namespace/name`.
    pub text: Box<str>,
}

/// One rule of a route.
#[derive(Debug)]
pub struct Rule {
    /// The route that it belongs to.
    pub route: Arc<RouteLabel>,
    /// Its position in the route's `rules`.
    pub index: u32,
    /// Its `name`, if it has one.
    pub name: Option<Box<str>>,
    /// The rule's own filters. For a request that is forwarded, take the [`Target`]'s, which contain them.
    pub filters: Arc<Filters>,
    /// The action.
    pub action: Action,
    /// The rule's time limits.
    pub timeouts: Timeouts,
    /// Further attempts of its requests.
    pub retry: Option<Box<Retry>>,
    /// The path condition of each match.
    pub(crate) paths: Box<[PathMatch]>,
}

/// The action of a rule.
#[derive(Debug)]
pub enum Action {
    /// Send it to one of these.
    Forward(Picker),
    /// Respond with a redirect; [`rewrite::write_location`](crate::rewrite::write_location) makes its
    /// `Location`.
    Redirect(Redirect),
    /// Respond 500.
    Fail(RuleError),
}

/// One backend of a rule.
#[derive(Debug)]
pub struct Target {
    /// The destination of requests.
    pub destination: Destination,
    /// The rule's filters followed by those of this backend.
    pub filters: Arc<Filters>,
    /// Destinations of copies: the rule's, followed by those of this backend.
    pub mirrors: Box<[Mirror]>,
}

/// The destination of a [`Target`]'s share of requests.
#[derive(Debug)]
pub enum Destination {
    /// The endpoints of a cluster; without any: 503.
    Cluster(ClusterId),
    /// The reference is broken: 500.
    Fail(RuleError),
}

impl Rule {
    /// The path patterns of all of the rule's matches, as the route wrote them.
    pub fn path_patterns(&self) -> impl Iterator<Item = &str> {
        (0..self.paths.len() as u32).map(|index| self.path_pattern(index))
    }

    /// The path pattern of one of the rule's matches, as the route wrote it.
    pub fn path_pattern(&self, match_index: u32) -> &str {
        match self.paths.get(match_index as usize) {
            Some(PathMatch::Exact(text) | PathMatch::Prefix(text) | PathMatch::Regex(text)) => text,
            None => "",
        }
    }
}
