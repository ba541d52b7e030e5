//! Matches by the elements of their paths.

use std::collections::HashMap;

use super::form::{Conditions, Path};

/// Entries that one place of the tree holds at most: a match is compared with so many at each element of its path.
const KEPT: usize = 16;
/// Of those, entries of one namespace.
const OF_ONE_NAMESPACE: usize = 2;

/// Which entries a place keeps, of more than it can hold.
pub(super) trait Keep {
    /// What is known of an entry.
    type About<'a>: Copy;

    /// Adds an entry, or leaves it out, or drops another one for it.
    fn add<'a>(&self, kept: &mut Vec<(usize, Self::About<'a>)>, new: usize, about: Self::About<'a>);
}

/// Those with the fewest conditions: they cover the most.
pub(super) struct FewestConditions;

/// The first that come, of each namespace a few: nobody fills a place with entries of its own.
pub(super) struct ByNamespace;

impl Keep for FewestConditions {
    type About<'a> = &'a Conditions<'a>;

    fn add<'a>(&self, kept: &mut Vec<(usize, Self::About<'a>)>, new: usize, about: Self::About<'a>) {
        kept.push((new, about));
        let most = kept.iter().enumerate().max_by_key(|(_, (_, about))| about.count()).map(|(at, _)| at);
        if let Some(most) = most.filter(|_| kept.len() > KEPT) {
            kept.remove(most);
        }
    }
}

impl Keep for ByNamespace {
    type About<'a> = &'a str;

    fn add<'a>(&self, kept: &mut Vec<(usize, Self::About<'a>)>, new: usize, about: Self::About<'a>) {
        let own = kept.iter().filter(|(_, namespace)| *namespace == about).count();
        if kept.len() < KEPT && own < OF_ONE_NAMESPACE {
            kept.push((new, about));
        }
    }
}

/// Entries by path.
pub(super) struct Tree<'a, K: Keep> {
    keep: K,
    /// The first one is the root.
    nodes: Vec<Node<'a, K>>,
    expressions: HashMap<&'a str, Vec<(usize, K::About<'a>)>>,
}

struct Node<'a, K: Keep> {
    children: HashMap<&'a str, usize>,
    /// `PathPrefix` conditions that end here, at the root also expressions that every path matches.
    prefixes: Vec<(usize, K::About<'a>)>,
    /// `Exact` conditions that end here.
    exact: Vec<(usize, K::About<'a>)>,
}

impl<'a, K: Keep> Tree<'a, K> {
    pub(super) fn new(keep: K) -> Self {
        Self { keep, nodes: vec![Node::default()], expressions: HashMap::new() }
    }

    /// Entries with a path condition that holds wherever this one does.
    pub(super) fn above(&self, path: &Path<'_>) -> impl Iterator<Item = usize> {
        let (mut found, mut here, mut whole) = (Vec::new(), self.nodes.first(), true);
        let mut take = |kept: &[(usize, K::About<'a>)]| found.extend(kept.iter().map(|(index, _)| *index));
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
    pub(super) fn insert(&mut self, path: &'a Path<'a>, entry: usize, about: K::About<'a>) {
        if let Path::Regex(text) = path {
            self.keep.add(self.expressions.entry(text).or_default(), entry, about);
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
            self.keep.add(list, entry, about);
        }
    }
}

impl<K: Keep> Default for Node<'_, K> {
    fn default() -> Self {
        Self { children: HashMap::new(), prefixes: Vec::new(), exact: Vec::new() }
    }
}
