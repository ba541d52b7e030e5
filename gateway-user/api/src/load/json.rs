//! JSON objects one after the other, as `kubectl`, `jq -c` and `ingress2gateway` print them. YAML has no such
//! text.

use serde::de::IgnoredAny;

use super::tree::{Node, Tree};
use super::yaml;

/// A piece of a text, and the line (from 0) and column (in characters, from 0) at which it begins.
pub(super) struct Piece<'t> {
    pub(super) text: &'t str,
    line: u32,
    column: u32,
}

/// Cuts off the JSON objects that a text begins with, if it has several of them; what follows them is the
/// last piece, and a text that is anything else is one piece. JSON that breaks off is part of what follows.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut cuts = Vec::new();
    let begin = text.len() - text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).len();
    if text.get(begin..).is_some_and(|rest| rest.starts_with('{')) {
        let rest = text.get(begin..).unwrap_or_default();
        let mut objects = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        while let Some(Ok(_)) = objects.next() {
            let end = begin + objects.byte_offset();
            cuts.push(end);
            if !text.get(end..).is_some_and(|after| after.trim_start().starts_with('{')) {
                break;
            }
        }
    }
    let after = cuts.last().and_then(|end| text.get(*end..));
    match after.map(str::trim) {
        // One object is what YAML reads as well, whatever follows it but another one.
        _ if cuts.len() < 2 && !after.is_some_and(|after| after.trim_start().starts_with('{')) => {
            cuts = vec![text.len()];
        }
        Some("") | None => {}
        Some(_) => cuts.push(text.len()),
    }
    let (mut from, mut line, mut column) = (0, 0, 0);
    let mut pieces = Vec::with_capacity(cuts.len());
    for to in cuts {
        let piece = text.get(from..to).unwrap_or_default();
        pieces.push(Piece { text: piece, line, column });
        for letter in piece.chars() {
            (line, column) = if letter == '\n' { (line + 1, 0) } else { (line, column + 1) };
        }
        from = to;
    }
    pieces
}

impl Piece<'_> {
    /// True if positions in it are those in the whole file.
    fn is_first(&self) -> bool {
        (self.line, self.column) == (0, 0)
    }

    /// Turns places in the piece into places in the text.
    pub(super) fn place(&self, document: &mut Result<Node, yaml::Error>) {
        match document {
            _ if self.is_first() => {}
            Ok(node) => self.place_node(node),
            Err(error) => self.shift(&mut error.at),
        }
    }

    fn place_node(&self, node: &mut Node) {
        self.shift(&mut node.at);
        match &mut node.tree {
            Tree::List(items) => items.iter_mut().for_each(|item| self.place_node(item)),
            Tree::Map(entries) => {
                for entry in entries {
                    self.shift(&mut entry.key_at);
                    self.place_node(&mut entry.value);
                }
            }
            _ => {}
        }
    }

    fn shift(&self, at: &mut super::Position) {
        if at.line == 1 {
            at.column = at.column.saturating_add(self.column);
        }
        at.line = at.line.saturating_add(self.line);
    }
}
