//! Regular expressions: the masters in a snapshot and each worker's own copies.
//!
//! A `Regex` keeps its scratch memory in a pool that threads share under a lock. A clone has a pool of its own, so
//! each worker clones every expression once per generation and never meets another thread.

use std::sync::Arc;

use gateway_ir::{REGEX_SIZE_LIMIT, regex_texts};
use hashbrown::HashMap;
use regex::bytes::{Regex, RegexBuilder};

use crate::Snapshot;
use crate::numbers::Numbers;
use crate::table::query::Scratch;

/// The most memory, in bytes, that one worker spends on the lazily built states of one expression; beyond it the
/// states are thrown away and built anew, which is slower and never wrong.
const STATE_CACHE_LIMIT: usize = 256 << 10;

/// An index into a [`PatternSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PatternId(u32);

/// Every distinct expression of a snapshot. An expression keeps its number from one snapshot to the next, for tables
/// that both share have it written in them; a number that is no longer in use has no expression.
#[derive(Debug, Default)]
pub(crate) struct PatternSet {
    expressions: Vec<Box<str>>,
    regexes: Vec<Option<Regex>>,
}

/// Collects a [`PatternSet`]; equal expressions are compiled once.
pub(crate) struct PatternSetBuilder<'a> {
    previous: &'a Arc<PatternSet>,
    seen: HashMap<&'a str, Result<PatternId, Box<str>>>,
    numbers: Numbers,
    /// Expressions that the previous set does not have.
    new: Vec<(PatternId, Box<str>, Regex)>,
}

/// The expressions at hand in one lookup.
#[derive(Clone, Copy)]
pub(crate) struct Regexes<'a>(&'a [Option<Regex>]);

/// One worker's copies of a snapshot's expressions, and the buffers that matching needs. Made in the prepare step of
/// a publish, used with the snapshot it was made for.
#[derive(Debug)]
pub struct WorkerRegexes {
    patterns: Arc<PatternSet>,
    regexes: Vec<Option<Regex>>,
    scratch: Scratch,
}

impl WorkerRegexes {
    /// Copies every expression of `snapshot`. Call it on the worker's own thread: each copy serves the thread that
    /// uses it first without any synchronisation.
    pub fn new(snapshot: &Snapshot) -> Self {
        let patterns = Arc::clone(snapshot.patterns());
        let regexes = patterns.regexes.clone();
        Self { patterns, regexes, scratch: Scratch::default() }
    }

    /// The copies to use with tables that were compiled with `patterns`. For tables of another snapshot these are
    /// its masters: slower, since shared, but the right expressions.
    pub(crate) fn split<'a>(&'a mut self, patterns: &'a Arc<PatternSet>) -> (Regexes<'a>, &'a mut Scratch) {
        let own = Arc::ptr_eq(&self.patterns, patterns);
        let regexes = if own { &self.regexes } else { &patterns.regexes };
        (Regexes(regexes), &mut self.scratch)
    }
}

impl Regexes<'_> {
    /// No expressions at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(&[])
    }

    /// Whether the whole of `value` matches.
    pub(crate) fn is_match(self, id: PatternId, value: &[u8]) -> bool {
        self.0.get(id.0 as usize).and_then(Option::as_ref).is_some_and(|regex| regex.is_match(value))
    }
}

impl PatternSet {
    /// The expression as the user wrote it.
    pub(crate) fn expression(&self, id: PatternId) -> &str {
        self.expressions.get(id.0 as usize).map_or("", |text| text)
    }
}

impl<'a> PatternSetBuilder<'a> {
    /// Expressions of `previous` keep their numbers.
    pub(crate) fn after(previous: &'a Arc<PatternSet>) -> Self {
        let taken: Vec<bool> = previous.regexes.iter().map(Option::is_some).collect();
        let known = previous.expressions.iter().zip(&taken).zip(0..).filter(|((_, taken), _)| **taken);
        let seen = known.map(|((text, _), id)| (&**text, Ok(PatternId(id)))).collect();
        Self { previous, seen, numbers: Numbers::after(taken), new: Vec::new() }
    }

    /// The number of `expression`, or why it is invalid.
    pub(crate) fn intern(&mut self, expression: &'a str) -> Result<PatternId, Box<str>> {
        let Self { seen, numbers, new, .. } = self;
        let made = seen.entry(expression).or_insert_with(|| {
            let regex = build(expression).map_err(|error| fault(expression, &error))?;
            let id = PatternId(numbers.take().ok_or("too many expressions")?);
            new.push((id, expression.into(), regex));
            Ok(id)
        });
        if let Ok(id) = made {
            numbers.mark(id.0);
        }
        made.clone()
    }

    /// Keeps the expression of a rule that is taken over.
    pub(crate) fn keep(&mut self, id: PatternId) {
        self.numbers.mark(id.0);
    }

    /// The expressions that were interned or kept; the previous set itself if those are the same.
    pub(crate) fn finish(self) -> Arc<PatternSet> {
        if !self.numbers.changed() {
            return Arc::clone(self.previous);
        }
        let mut set = PatternSet {
            expressions: self.previous.expressions.clone(),
            regexes: self.previous.regexes.clone(),
        };
        set.expressions.resize(self.numbers.len(), Box::default());
        set.regexes.resize(self.numbers.len(), None);
        for (PatternId(id), expression, regex) in self.new {
            set.expressions[id as usize] = expression;
            set.regexes[id as usize] = Some(regex);
        }
        for id in self.numbers.unused() {
            set.expressions[id] = Box::default();
            set.regexes[id] = None;
        }
        Arc::new(set)
    }
}

fn build(expression: &str) -> Result<Regex, regex::Error> {
    let (alone, anchored) = regex_texts(expression);
    let compile = |text: &str| {
        RegexBuilder::new(text).size_limit(REGEX_SIZE_LIMIT).dfa_size_limit(STATE_CACHE_LIMIT).build()
    };
    compile(&alone)?;
    compile(&anchored)
}

/// One line: the crate draws a syntax error over several, the last of which says what is wrong.
fn fault(expression: &str, error: &regex::Error) -> Box<str> {
    let text = error.to_string();
    let why = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
    format!("{expression:?} is not a usable regular expression (Rust regex syntax): {why}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_whole_values_only() {
        let regex = build("a|bc").unwrap();
        for (value, want) in
            [("a", true), ("bc", true), ("abc", false), ("a\n", false), ("xa", false), ("", false)]
        {
            assert_eq!(regex.is_match(value.as_bytes()), want, "{value:?}");
        }
    }

    #[test]
    fn an_expression_cannot_break_out_of_its_anchors() {
        for bad in ["a)|(?:b", "(?x)a)#", "a\\", "(", "[z-a]", "a{1000}{1000}{1000}"] {
            assert!(build(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_can_be_matched() {
        assert!(build("caf.+").unwrap().is_match(b"caf\xe9"));
    }

    #[test]
    fn equal_expressions_are_compiled_once() {
        let none = Arc::default();
        let mut builder = PatternSetBuilder::after(&none);
        assert_eq!(builder.intern("a+").unwrap(), builder.intern("a+").unwrap());
        assert!(builder.intern("(").is_err());
        assert_ne!(builder.intern("b").unwrap(), builder.intern("a+").unwrap());
        assert_eq!(builder.finish().regexes.len(), 2);
    }

    /// The texts by number after a set of these, and the set.
    fn next<'a>(previous: &'a Arc<PatternSet>, expressions: &[&'a str]) -> (Vec<String>, Arc<PatternSet>) {
        let mut builder = PatternSetBuilder::after(previous);
        for expression in expressions {
            builder.intern(expression).unwrap();
        }
        let set = builder.finish();
        for (text, regex) in set.expressions.iter().zip(&set.regexes) {
            assert_eq!(regex.is_some(), !text.is_empty());
            assert!(regex.as_ref().is_none_or(|regex| regex.is_match(text.as_bytes())));
        }
        (set.expressions.iter().map(ToString::to_string).collect(), set)
    }

    #[test]
    fn expressions_keep_their_numbers_and_leave_none_behind() {
        let (texts, first) = next(&Arc::default(), &["a", "b", "c"]);
        assert_eq!(texts, ["a", "b", "c"]);
        let (_, same) = next(&first, &["c", "a", "b"]);
        assert!(Arc::ptr_eq(&first, &same));
        let (texts, second) = next(&first, &["c", "a", "d"]);
        assert_eq!(texts, ["a", "", "c", "d"], "a number is free only once no table in use has it");
        let (texts, _) = next(&second, &["d", "e", "c", "f"]);
        assert_eq!(texts, ["", "e", "c", "d", "f"]);
    }
}
