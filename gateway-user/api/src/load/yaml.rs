//! YAML and JSON text → trees. A broken document costs itself, not the ones after it.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput, Tag};

use super::Position;
use super::tree::{Entry, Node, Tree};
use super::{hints, json, scalar};

/// Largest file, in bytes.
pub(crate) const MAX_FILE_BYTES: usize = 64 << 20;
/// Most levels of a document; the API needs fewer than 30.
pub(crate) const MAX_DEPTH: usize = 100;
/// Most nodes (see [`Node::weight`]) that the anchors and aliases of one file may copy: a chain of aliases
/// grows exponentially ("billion laughs").
pub(crate) const MAX_COPIED: usize = 200_000;
/// Faults after which the rest of a file is not read: finding the next document costs a look at the text.
pub(crate) const MAX_ERRORS: usize = 100;

/// A fault in the text.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) at: Position,
    pub(crate) message: String,
}

/// Every document of `text`, at most [`MAX_FILE_BYTES`] long: its tree, or what is wrong with it. Empty
/// documents are left out.
pub(crate) fn documents(text: &str) -> Vec<Result<Node, Error>> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes; split it, the limit is {MAX_FILE_BYTES}", text.len());
        return vec![Err(Error { at: Position { line: 1, column: 1 }, message })];
    }
    let mut documents = Vec::new();
    let mut errors_left = MAX_ERRORS;
    for piece in json::pieces(text) {
        let from = documents.len();
        read(piece.text, &mut documents, &mut errors_left);
        documents.iter_mut().skip(from).for_each(|document| piece.place(document));
        if errors_left == 0 {
            let at =
                documents.iter().rev().find_map(|document| document.as_ref().err().map(|error| error.at));
            let message = format!("YAML: {MAX_ERRORS} faults in one file; the rest of it is not read");
            documents.push(Err(Error { at: at.unwrap_or_default(), message }));
            break;
        }
    }
    documents
}

/// The documents of a text that is YAML, until no fault is left.
fn read(text: &str, documents: &mut Vec<Result<Node, Error>>, errors_left: &mut usize) {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut reader =
        Reader { text, parser: Parser::new_from_str_with_options(text, options), copies_left: MAX_COPIED };
    loop {
        match reader.document() {
            Ok(Some(node)) if node.tree == Tree::Null => {}
            Ok(Some(node)) => documents.push(Ok(node)),
            Ok(None) => return,
            Err(mut error) => {
                hints::explain(text, &mut error);
                documents.push(Err(error));
                *errors_left -= 1;
                if *errors_left == 0 || !matches!(reader.parser.proceed_next_document(), Ok(true)) {
                    return;
                }
            }
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    copies_left: usize,
}

/// A collection that is not closed yet.
struct Open {
    at: Position,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashSet<String>, key: Option<(String, Position)>, merge: Vec<Node> },
}

impl<'t> Reader<'t> {
    /// The next document; `None` at the end of the text.
    fn document(&mut self) -> Result<Option<Node>, Error> {
        loop {
            match self.event()? {
                None | Some((Event::StreamEnd, _)) => return Ok(None),
                Some((Event::DocumentStart(..), _)) => break,
                Some(_) => {}
            }
        }
        let mut anchors = HashMap::new();
        let mut open: Vec<Open> = Vec::new();
        let mut root = None;
        loop {
            let Some((event, span)) = self.event()? else { return Ok(root) };
            let at = position(span);
            let (node, anchor) = match event {
                Event::DocumentEnd | Event::StreamEnd => return Ok(root),
                Event::SequenceStart(_, anchor, tag) => {
                    check_tag(tag.as_deref(), "seq", at)?;
                    push(&mut open, Open { at, anchor, items: Items::List(Vec::new()) })?;
                    continue;
                }
                Event::MappingStart(_, anchor, tag) => {
                    check_tag(tag.as_deref(), "map", at)?;
                    let items = Items::Map {
                        entries: Vec::new(),
                        seen: HashSet::new(),
                        key: None,
                        merge: Vec::new(),
                    };
                    push(&mut open, Open { at, anchor, items })?;
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                    Some(done) => (self.close(done.at, done.items)?, done.anchor),
                    None => continue,
                },
                Event::Scalar(text, style, anchor, tag) => {
                    (Node { at, tree: scalar_tree(&text, style, tag.as_deref(), at)? }, anchor)
                }
                Event::Alias(id) => (self.copy(&anchors, id, at, open.len())?, 0),
                _ => continue,
            };
            if anchor != 0 {
                self.spend(&node, at)?;
                anchors.insert(anchor, node.clone());
            }
            match open.last_mut() {
                None => root = Some(node),
                Some(parent) => add(&mut parent.items, node)?,
            }
        }
    }

    fn event(&mut self) -> Result<Option<(Event<'t>, Span)>, Error> {
        let text = self.text;
        self.parser.next_event().transpose().map_err(|error| {
            let mark = error.marker();
            let at = Position { line: number(mark.line()), column: number(mark.col() + 1) };
            // What a parser says of a tab depends on where it was: in the middle of a value, or before one.
            let met_tab = error.info().contains("tab");
            match indenting_tab(text, at.line, if met_tab { usize::MAX } else { 1 }) {
                Some(at) => {
                    Error { at, message: "YAML: this line is indented with a tab; use spaces".to_owned() }
                }
                None => Error { at, message: format!("YAML: {}", error.info()) },
            }
        })
    }

    /// The value of an alias, at the place of the alias, `level` levels down.
    fn copy(
        &mut self,
        anchors: &HashMap<usize, Node>,
        id: usize,
        at: Position,
        level: usize,
    ) -> Result<Node, Error> {
        let Some(node) = anchors.get(&id) else {
            return Err(Error { at, message: "YAML: the alias stands inside what it names".to_owned() });
        };
        if level + node.depth() > MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.spend(node, at)?;
        Ok(Node { at, tree: node.tree.clone() })
    }

    fn spend(&mut self, node: &Node, at: Position) -> Result<(), Error> {
        match self.copies_left.checked_sub(node.weight()) {
            Some(left) => self.copies_left = left,
            None => {
                let message = "YAML: anchors and aliases copy too much; write it out".to_owned();
                return Err(Error { at, message });
            }
        }
        Ok(())
    }

    /// A finished collection; `<<` merges go under what the map itself says (YAML 1.1 merge keys, as kubectl
    /// does).
    fn close(&mut self, at: Position, items: Items) -> Result<Node, Error> {
        let (mut entries, mut seen, merge) = match items {
            Items::List(list) => return Ok(Node { at, tree: Tree::List(list) }),
            Items::Map { entries, seen, merge, .. } => (entries, seen, merge),
        };
        for source in merge {
            let Tree::Map(merged) = source.tree else {
                return Err(Error { at: source.at, message: "YAML: << merges objects only".to_owned() });
            };
            entries.extend(merged.into_iter().filter(|e| seen.insert(e.key.clone())));
        }
        Ok(Node { at, tree: Tree::Map(entries) })
    }
}

fn push(open: &mut Vec<Open>, next: Open) -> Result<(), Error> {
    if open.len() >= MAX_DEPTH {
        return Err(too_deep(next.at));
    }
    open.push(next);
    Ok(())
}

fn too_deep(at: Position) -> Error {
    Error { at, message: format!("YAML: nested deeper than {MAX_DEPTH} levels") }
}

/// Adds a finished node to the collection around it: an item, a key, or the value of the key before it.
fn add(items: &mut Items, node: Node) -> Result<(), Error> {
    match items {
        Items::List(list) => list.push(node),
        Items::Map { entries, seen, key, merge } => match key.take() {
            None => {
                let name = key_text(&node)?;
                if let Some(message) = hints::odd_key(&name) {
                    return Err(Error { at: node.at, message });
                }
                *key = Some((name, node.at));
            }
            Some((name, _)) if name == "<<" => match node.tree {
                Tree::List(sources) => merge.extend(sources),
                _ => merge.push(node),
            },
            Some((name, key_at)) => {
                if !seen.insert(name.clone()) {
                    let first = entries.iter().find(|e| e.key == name).map_or(0, |e| e.key_at.line);
                    let message = format!("YAML: duplicate key {name:?}, first on line {first}; keep one");
                    return Err(Error { at: key_at, message });
                }
                entries.push(Entry { key: name, key_at, value: node });
            }
        },
    }
    Ok(())
}

/// A key as text: JSON has no other keys, so `80:` is `"80":`.
fn key_text(node: &Node) -> Result<String, Error> {
    match &node.tree {
        Tree::String { text, .. } => Ok(text.clone()),
        Tree::Bool(b) => Ok(b.to_string()),
        Tree::Int(i) => Ok(i.to_string()),
        Tree::Float(x) => Ok(x.to_string()),
        Tree::Null | Tree::List(_) | Tree::Map(_) => {
            Err(Error { at: node.at, message: format!("YAML: a key is a string, not {}", node.type_name()) })
        }
    }
}

fn scalar_tree(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Result<Tree, Error> {
    let string = || Tree::String { text: text.to_owned(), ambiguous: false };
    match tag {
        None if style == ScalarStyle::Plain => Ok(scalar::resolve(text)),
        None => Ok(string()),
        Some(tag) if tag.core_suffix() == Some("str") || (tag.handle().is_empty() && tag.suffix() == "!") => {
            Ok(string())
        }
        Some(tag) => {
            let tree = scalar::resolve(text);
            let fits = match tag.core_suffix() {
                Some("null") => matches!(tree, Tree::Null),
                Some("bool") => matches!(tree, Tree::Bool(_)),
                Some("int") => matches!(tree, Tree::Int(_)),
                Some("float") => matches!(tree, Tree::Int(_) | Tree::Float(_)),
                _ => false,
            };
            let message =
                || format!("YAML: {text:?} does not fit the tag {}; remove the tag", tag.original());
            if fits { Ok(tree) } else { Err(Error { at, message: message() }) }
        }
    }
}

fn check_tag(tag: Option<&Tag>, expected: &str, at: Position) -> Result<(), Error> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(expected) => {
            Err(Error { at, message: format!("YAML: unknown tag {}; remove it", tag.original()) })
        }
        _ => Ok(()),
    }
}

/// The first tab that indents one of `lines` lines from `line` on. A tab is the usual reason for a line that
/// looks right.
fn indenting_tab(text: &str, line: u32, lines: usize) -> Option<Position> {
    let from = line.saturating_sub(1) as usize;
    text.lines().enumerate().skip(from).take(lines).find_map(|(at, content)| {
        let indent = content.get(..content.len() - content.trim_start().len())?;
        let column = indent.find('\t')?;
        Some(Position { line: number(at + 1), column: number(column + 1) })
    })
}

fn position(span: Span) -> Position {
    Position { line: number(span.start.line()), column: number(span.start.col() + 1) }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
