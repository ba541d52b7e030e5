//! Path prefixes as a trie of path elements.
//!
//! A node stands for a prefix that has entries, or where two prefixes part; what lies between a node and the
//! one above is one label, however many elements it has. A prefix of 1,024 bytes can have 511 elements, and a
//! node for each of them, on each host that the route is on, would let one route fill the memory: 7 MiB a
//! host.
//!
//! A lookup walks down one hashed step a label until none fits, then follows links to the shorter prefixes
//! that have entries. Its cost is the length of the path's known part, whatever the number of prefixes, and a
//! path of thousands of slashes ends at the first element that no prefix has.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};

use super::Entry;

/// Entries by path prefix.
#[derive(Debug)]
pub(crate) struct PrefixTable {
    /// The first node is the prefix `/`.
    nodes: Vec<Node>,
    edges: HashMap<Edge, u32>,
}

#[derive(Debug)]
struct Node {
    /// The edge from the node above: elements with the slashes between them, without one before or after.
    label: Slice,
    /// The node above; the first one's is itself.
    parent: u32,
    /// Bytes of the whole prefix: fewer than those of any node below.
    length: u32,
    /// In order of precedence.
    entries: Vec<Entry>,
    /// The closest node above that has entries.
    shorter: Option<u32>,
}

/// The step from one node to the next: the first element of the next one's label. No two labels below a node
/// share it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Edge {
    parent: u32,
    element: Slice,
}

/// An [`Edge`] to look for. It hashes like one: a slice of a text hashes as the bytes do.
#[derive(Hash)]
struct EdgeRef<'a> {
    parent: u32,
    element: &'a [u8],
}

/// A part of a prefix, whose text is shared by all tables.
#[derive(Clone, Debug)]
struct Slice {
    text: Arc<[u8]>,
    start: u32,
    end: u32,
}

impl Slice {
    fn bytes(&self) -> &[u8] {
        self.text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// From this many bytes on.
    fn from(&self, at: usize) -> Self {
        Self { start: self.end.min(self.start + at as u32), ..self.clone() }
    }

    /// So many bytes.
    fn to(&self, at: usize) -> Self {
        Self { end: self.end.min(self.start + at as u32), ..self.clone() }
    }
}

impl PartialEq for Slice {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Slice {}

impl Hash for Slice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl Equivalent<Edge> for EdgeRef<'_> {
    fn equivalent(&self, edge: &Edge) -> bool {
        self.parent == edge.parent && self.element == edge.element.bytes()
    }
}

impl Default for PrefixTable {
    fn default() -> Self {
        let root = Slice { text: Arc::default(), start: 0, end: 0 };
        Self { nodes: vec![Node::new(root, 0, 0)], edges: HashMap::new() }
    }
}

impl Node {
    fn new(label: Slice, parent: u32, length: u32) -> Self {
        Self { label, parent, length, entries: Vec::new(), shorter: None }
    }
}

impl PrefixTable {
    /// Adds an entry behind those that its prefix has. `prefix` goes without its trailing `/`, so `/` is the
    /// empty one. A prefix that does not start with `/` covers no path and is left out.
    pub(crate) fn push(&mut self, prefix: &Arc<[u8]>, entry: Entry) {
        let at = match (prefix.first(), u32::try_from(prefix.len())) {
            (None, _) => 0,
            (Some(b'/'), Ok(end)) => self.place(Slice { text: Arc::clone(prefix), start: 1, end }),
            _ => return,
        };
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.entries.push(entry);
        }
    }

    /// The node of a prefix, made if it is not there.
    fn place(&mut self, prefix: Slice) -> u32 {
        let (mut at, mut rest) = (0, prefix);
        loop {
            let step = EdgeRef { parent: at, element: first(rest.bytes()) };
            let Some(next) = self.edges.get(&step).copied() else { return self.add(rest, at) };
            let Some(label) = self.nodes.get(next as usize).map(|node| node.label.clone()) else { return at };
            let common = common(label.bytes(), rest.bytes());
            at = if common < label.bytes().len() { self.split(next, common) } else { next };
            if common == rest.bytes().len() {
                return at;
            }
            rest = rest.from(common + 1);
        }
    }

    /// Adds a node below another one.
    fn add(&mut self, label: Slice, parent: u32) -> u32 {
        let id = self.nodes.len() as u32;
        let element = label.to(first(label.bytes()).len());
        let above = self.nodes.get(parent as usize).map_or(0, |node| node.length);
        let length = above + 1 + label.bytes().len() as u32;
        self.nodes.push(Node::new(label, parent, length));
        self.edges.insert(Edge { parent, element }, id);
        id
    }

    /// Puts a node between this one and the one above, after so many bytes of its label; gives the new one.
    fn split(&mut self, below: u32, common: usize) -> u32 {
        let middle = self.nodes.len() as u32;
        let Some(node) = self.nodes.get_mut(below as usize) else { return below };
        let (upper, lower) = (node.label.to(common), node.label.from(common + 1));
        let parent = std::mem::replace(&mut node.parent, middle);
        node.label = lower.clone();
        let length = node.length - lower.bytes().len() as u32 - 1;
        self.nodes.push(Node::new(upper.clone(), parent, length));
        let element = |label: &Slice| label.to(first(label.bytes()).len());
        self.edges.insert(Edge { parent, element: element(&upper) }, middle);
        self.edges.insert(Edge { parent: middle, element: element(&lower) }, below);
        middle
    }

    /// Sets the links to shorter prefixes; to be called once after the last [`PrefixTable::push`].
    pub(crate) fn finish(&mut self) {
        // A node comes after the one above it, so that its link is set before theirs are.
        let mut order: Vec<u32> = (1..self.nodes.len() as u32).collect();
        order.sort_by_key(|node| self.nodes.get(*node as usize).map(|node| node.length));
        for at in order {
            let Some(parent) = self.nodes.get(at as usize).map(|node| node.parent) else { continue };
            let Some(above) = self.nodes.get(parent as usize) else { continue };
            let shorter = if above.entries.is_empty() { above.shorter } else { Some(parent) };
            if let Some(node) = self.nodes.get_mut(at as usize) {
                node.shorter = shorter;
            }
        }
        self.nodes.iter_mut().for_each(|node| node.entries.shrink_to_fit());
        self.nodes.shrink_to_fit();
        self.edges.shrink_to_fit();
    }

    /// The entries of all prefixes that cover `path`, the longest prefix first.
    pub(crate) fn covering<'s>(&'s self, path: &[u8]) -> impl Iterator<Item = &'s Entry> {
        let mut at = self.deepest(path);
        std::iter::from_fn(move || {
            let node = self.nodes.get(at? as usize)?;
            at = node.shorter;
            Some(node.entries.iter())
        })
        .flatten()
    }

    fn deepest(&self, path: &[u8]) -> Option<u32> {
        let mut at = 0;
        if path.is_empty() {
            return Some(at);
        }
        let mut rest = path.strip_prefix(b"/")?;
        while let Some(next) = self.edges.get(&EdgeRef { parent: at, element: first(rest) }) {
            let Some(after) = rest.strip_prefix(self.nodes.get(*next as usize)?.label.bytes()) else { break };
            match after {
                [] => return Some(*next),
                [b'/', after @ ..] => (at, rest) = (*next, after),
                _ => break,
            }
        }
        Some(at)
    }

    /// Every entry, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.nodes.iter().flat_map(|node| &node.entries)
    }

    /// Number of nodes.
    #[cfg(test)]
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }
}

/// The first element: an element may be empty, so `/a//` has three.
fn first(elements: &[u8]) -> &[u8] {
    memchr::memchr(b'/', elements).and_then(|slash| elements.get(..slash)).unwrap_or(elements)
}

/// The length of the elements that both begin with. Their first elements are the same.
fn common(one: &[u8], other: &[u8]) -> usize {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let ends = |text: &[u8]| text.get(same).is_none_or(|byte| *byte == b'/');
    if ends(one) && ends(other) {
        return same;
    }
    one.get(..same).and_then(|begin| memchr::memrchr(b'/', begin)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
