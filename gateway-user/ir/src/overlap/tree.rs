//! Matches by the elements of their paths.

use std::collections::HashMap;

use super::form::{Conditions, Path};

/// Entries that one place of the tree holds at most: a match is compared with so many at each element of its
/// path.
const KEPT_MAX: usize = 16;
/// Of those, entries of one namespace.
const PER_NAMESPACE_MAX: usize = 2;

/// Choice of the entries that a place keeps, of more than it can hold.
pub(super) trait Retention {
    /// The property by which an entry is kept.
    type Key<'a>: Copy;

    /// Adds an entry, or leaves it out, or drops another one for it.
    fn add<'a>(&self, kept: &mut Vec<(usize, Self::Key<'a>)>, new: usize, key: Self::Key<'a>);
}

/// Those with the fewest conditions: they cover the most.
pub(super) struct FewestConditions;

/// The first that come, of each namespace a few: nobody fills a place with entries of its own.
pub(super) struct ByNamespace;

impl Retention for FewestConditions {
    type Key<'a> = &'a Conditions<'a>;

    fn add<'a>(&self, kept: &mut Vec<(usize, Self::Key<'a>)>, new: usize, key: Self::Key<'a>) {
        kept.push((new, key));
        let most = kept.iter().enumerate().max_by_key(|(_, (_, key))| key.count()).map(|(at, _)| at);
        if let Some(most) = most.filter(|_| kept.len() > KEPT_MAX) {
            kept.remove(most);
        }
    }
}

impl Retention for ByNamespace {
    type Key<'a> = &'a str;

    fn add<'a>(&self, kept: &mut Vec<(usize, Self::Key<'a>)>, new: usize, key: Self::Key<'a>) {
        let own = kept.iter().filter(|(_, namespace)| *namespace == key).count();
        if kept.len() < KEPT_MAX && own < PER_NAMESPACE_MAX {
            kept.push((new, key));
        }
    }
}

/// Entries by path.
pub(super) struct Tree<'a, K: Retention> {
    keep: K,
    /// The first one is the root.
    nodes: Vec<Node<'a, K>>,
    expressions: HashMap<&'a str, Vec<(usize, K::Key<'a>)>>,
}

struct Node<'a, K: Retention> {
    children: HashMap<&'a str, usize>,
    /// `PathPrefix` conditions that end here, at the root also expressions that every path matches.
    prefixes: Vec<(usize, K::Key<'a>)>,
    /// `Exact` conditions that end here.
    exact: Vec<(usize, K::Key<'a>)>,
}

impl<'a, K: Retention> Tree<'a, K> {
    pub(super) fn new(keep: K) -> Self {
        Self { keep, nodes: vec![Node::default()], expressions: HashMap::new() }
    }

    /// Entries with a path condition that holds wherever this one does.
    pub(super) fn above(&self, path: &Path<'_>) -> impl Iterator<Item = usize> {
        let (mut found, mut here, mut whole) = (Vec::new(), self.nodes.first(), true);
        let mut take = |kept: &[(usize, K::Key<'a>)]| found.extend(kept.iter().map(|(index, _)| *index));
        // An expression may match what is no path, such as the `*` of OPTIONS.
        let rooted = !matches!(path, Path::Regex(text) if !text.trim_start_matches('^').starts_with('/'));
        if let Some(root) = here.filter(|_| rooted) {
            take(&root.prefixes);
        }
        for element in path.elements() {
            here = here.and_then(|node| node.children.get(element)).and_then(|child| self.nodes.get(*child));
            match here {
                Some(node) => take(&node.prefixes),
                None => {
                    whole = false;
                    break;
                }
            }
        }
        match (path, here.filter(|_| whole)) {
            (Path::Exact(_), Some(node)) => take(&node.exact),
            (Path::Regex(text), _) => take(self.expressions.get(text).map(Vec::as_slice).unwrap_or_default()),
            _ => {}
        }
        found.into_iter()
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, path: &'a Path<'a>, entry: usize, key: K::Key<'a>) {
        if let Path::Regex(text) = path {
            self.keep.add(self.expressions.entry(text).or_default(), entry, key);
            if !path.takes_all() {
                return;
            }
        }
        let mut at = 0;
        for element in path.elements() {
            let next = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            at = *node.children.entry(element).or_insert(next);
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            let list = if matches!(path, Path::Exact(_)) { &mut node.exact } else { &mut node.prefixes };
            self.keep.add(list, entry, key);
        }
    }
}

impl<K: Retention> Default for Node<'_, K> {
    fn default() -> Self {
        Self { children: HashMap::new(), prefixes: Vec::new(), exact: Vec::new() }
    }
}
