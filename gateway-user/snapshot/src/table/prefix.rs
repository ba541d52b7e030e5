//! Path prefixes as a trie of path elements.
//!
//! A lookup walks down one hashed step an element until no edge fits, then follows links to the shorter prefixes that
//! have entries. Its cost is the length of the path's known part, whatever the number of prefixes, and a path of
//! thousands of slashes ends at the first element that no prefix has.

use hashbrown::{Equivalent, HashMap};

use super::Entry;

/// Entries by path prefix.
#[derive(Debug)]
pub(crate) struct PrefixTable {
    /// The first node is the prefix `/`.
    nodes: Vec<Node>,
    edges: HashMap<Edge, usize>,
}

#[derive(Debug, Default)]
struct Node {
    /// In order of precedence.
    entries: Vec<Entry>,
    /// The closest node above that has entries.
    shorter: Option<usize>,
}

/// The step from one node to the next by one path element.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Edge {
    parent: usize,
    element: Box<[u8]>,
}

/// An [`Edge`] to look for. It hashes like one: a boxed slice hashes as the slice does.
#[derive(Hash)]
struct EdgeRef<'a> {
    parent: usize,
    element: &'a [u8],
}

impl Equivalent<Edge> for EdgeRef<'_> {
    fn equivalent(&self, edge: &Edge) -> bool {
        self.parent == edge.parent && *self.element == *edge.element
    }
}

impl Default for PrefixTable {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], edges: HashMap::new() }
    }
}

impl PrefixTable {
    /// Adds an entry behind those that its prefix has. `prefix` goes without its trailing `/`, so `/` is the empty
    /// one. A prefix that does not start with `/` covers no path and is left out.
    pub(crate) fn push(&mut self, prefix: &str, entry: Entry) {
        let mut at = 0;
        if !prefix.is_empty() {
            let Some(rest) = prefix.strip_prefix('/') else { return };
            for element in rest.bytes_elements() {
                let next = self.nodes.len();
                let edge = Edge { parent: at, element: element.into() };
                at = *self.edges.entry(edge).or_insert(next);
                if at == next {
                    self.nodes.push(Node::default());
                }
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.entries.push(entry);
        }
    }

    /// Sets the links to shorter prefixes; to be called once after the last [`PrefixTable::push`].
    pub(crate) fn finish(&mut self) {
        let mut parents = vec![0; self.nodes.len()];
        for (edge, child) in &self.edges {
            parents[*child] = edge.parent;
        }
        // A parent is older than its children, so its own link is set before they ask for it.
        for (at, parent) in parents.into_iter().enumerate().skip(1) {
            let above = &self.nodes[parent];
            self.nodes[at].shorter = if above.entries.is_empty() { above.shorter } else { Some(parent) };
        }
        self.nodes.shrink_to_fit();
        self.edges.shrink_to_fit();
    }

    /// The entries of all prefixes that cover `path`, the longest prefix first.
    pub(crate) fn covering<'s>(&'s self, path: &[u8]) -> impl Iterator<Item = &'s Entry> {
        let mut at = self.deepest(path);
        std::iter::from_fn(move || {
            let node = self.nodes.get(at?)?;
            at = node.shorter;
            Some(node.entries.iter())
        })
        .flatten()
    }

    fn deepest(&self, path: &[u8]) -> Option<usize> {
        let mut at = 0;
        if path.is_empty() {
            return Some(at);
        }
        for element in path.strip_prefix(b"/")?.bytes_elements() {
            match self.edges.get(&EdgeRef { parent: at, element }) {
                Some(next) => at = *next,
                None => break,
            }
        }
        Some(at)
    }

    /// Every entry, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.nodes.iter().flat_map(|node| &node.entries)
    }
}

trait Elements {
    /// The parts between slashes; an empty one counts, so `/a//` has three.
    fn bytes_elements(&self) -> impl Iterator<Item = &[u8]>;
}

impl<T: AsRef<[u8]> + ?Sized> Elements for T {
    fn bytes_elements(&self) -> impl Iterator<Item = &[u8]> {
        self.as_ref().split(|byte| *byte == b'/')
    }
}
