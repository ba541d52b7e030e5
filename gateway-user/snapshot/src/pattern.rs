//! Regular expressions: those of a snapshot, which all workers share, and a worker's memory of one request.
//!
//! A match is one pass over the value by an automaton that is complete when the snapshot is (crate
//! `gateway-regex`): no worker builds anything, no cache fills, no lock is taken. A request pays for an
//! expression on a value once, however many rules ask, and translation bounds how many there can be.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use gateway_regex::{Expression, Library, Matcher};
use hashbrown::{HashMap, HashSet};

use crate::Snapshot;
use crate::numbers::Numbers;
use crate::table::query::Scratch;

/// An index into a [`PatternSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PatternId(u32);

/// The part of a request that an expression is matched with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject<'a> {
    Path,
    /// The value of the header of this name.
    Header(&'a str),
    /// The value of the query parameter of this name.
    Query(&'a str),
}

/// Every expression of a snapshot, once for each part of a request that it is matched with. One keeps its
/// number from one snapshot to the next, for tables that both share have it written in them; a number that is
/// no longer in use has none.
#[derive(Debug, Default)]
pub(crate) struct PatternSet(Vec<Option<Pattern>>);

#[derive(Clone, Debug)]
struct Pattern {
    subject: SubjectKind,
    /// The header or parameter.
    name: Arc<str>,
    expression: Arc<Expression>,
    matcher: Arc<Matcher>,
}

#[derive(Clone, Copy, Debug)]
enum SubjectKind {
    Path,
    Header,
    Query,
}

/// Number of different expressions of a snapshot, and their memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegexTotals {
    /// Number of different texts.
    pub expressions: usize,
    /// Bytes of their automata, which all workers share.
    pub bytes: usize,
}

/// Collects a [`PatternSet`]; equal expressions are built once.
pub(crate) struct PatternSetBuilder<'a> {
    library: &'a Library,
    previous: &'a Arc<PatternSet>,
    seen: HashMap<(Subject<'a>, &'a str), Result<PatternId, Box<str>>>,
    numbers: Numbers,
    /// Expressions that the previous set does not have.
    new: Vec<(PatternId, Pattern)>,
}

/// The expressions at hand in one lookup.
#[derive(Clone, Copy)]
pub(crate) struct Regexes<'a> {
    patterns: &'a [Option<Pattern>],
    memo: &'a [Cell<u64>],
    lookup: u64,
    scanned: &'a Cell<u64>,
    step: &'a Step,
}

/// The part of a lookup that is gone through at once.
#[derive(Debug, Default)]
struct Step {
    /// Bytes that may still be scanned in it.
    left: Cell<u64>,
    /// More was asked for: from then on no verdict means anything.
    is_over: Cell<bool>,
    /// The expressions that were matched in it. Has room for all, so that noting one allocates nothing.
    asked: RefCell<Vec<PatternId>>,
}

/// One worker's memory for lookups: which expressions matched in this one, and the buffers that matching
/// needs. Made in the prepare step of a publish for a snapshot, so that lookups in that allocate nothing.
#[derive(Debug, Default)]
pub struct WorkerRegexes {
    /// By number: the last lookup that asked, times two, plus one if it matched.
    memo: Vec<Cell<u64>>,
    lookup: u64,
    scanned: Cell<u64>,
    step: Step,
    scratch: Scratch,
}

impl WorkerRegexes {
    /// Memory for lookups in `snapshot`.
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut fresh = Self::default();
        fresh.make_room(snapshot.patterns());
        fresh
    }

    fn make_room(&mut self, patterns: &PatternSet) {
        if self.memo.len() < patterns.0.len() {
            self.memo.resize(patterns.0.len(), Cell::new(0));
            self.step.asked.get_mut().reserve(patterns.0.len());
        }
    }

    /// Bytes of values that expressions were matched with since it was made. A lookup adds at most the length
    /// of a value times the number of different expressions for it.
    pub fn scanned(&self) -> u64 {
        self.scanned.get()
    }

    /// Begins a step of a lookup in tables that were compiled with `patterns`: it may scan `limit`, or one
    /// value more, and earlier steps came to these verdicts.
    pub(crate) fn split<'a>(
        &'a mut self,
        patterns: &'a PatternSet,
        limit: u64,
        known: &[(PatternId, bool)],
    ) -> (Regexes<'a>, &'a mut Scratch) {
        self.make_room(patterns);
        self.lookup += 1;
        self.step.left.set(limit);
        self.step.is_over.set(false);
        self.step.asked.get_mut().clear();
        let Self { memo, lookup, scanned, step, scratch } = self;
        let regexes = Regexes { patterns: &patterns.0, memo, lookup: *lookup, scanned, step };
        known.iter().for_each(|(id, is_match)| regexes.note(*id, *is_match));
        (regexes, scratch)
    }
}

impl Regexes<'_> {
    /// True if the whole of `value` matches. `value` must be the same whenever one lookup asks for `id`: a
    /// number stands for an expression and the part of the request that it is for.
    pub(crate) fn is_match(self, id: PatternId, value: &[u8]) -> bool {
        let at = id.0 as usize;
        let Some(memo) = self.memo.get(at) else { return false };
        let known = memo.get();
        if known >> 1 == self.lookup {
            return known & 1 == 1;
        }
        let Some(pattern) = self.patterns.get(at).and_then(Option::as_ref) else { return false };
        let left = self.step.left.get();
        if left == 0 {
            self.step.is_over.set(true);
            return false;
        }
        let is_match = pattern.matcher.is_match(value);
        self.scanned.set(self.scanned.get() + value.len() as u64);
        self.step.left.set(left.saturating_sub(pattern.matcher.effort(value)));
        self.step.asked.borrow_mut().push(id);
        self.note(id, is_match);
        is_match
    }

    /// True if the lookup has to be interrupted. Results after that are not valid.
    pub(crate) fn is_over(self) -> bool {
        self.step.is_over.get()
    }

    /// Adds the verdicts of this step to those of earlier ones.
    pub(crate) fn save(self, known: &mut Vec<(PatternId, bool)>) {
        let verdict =
            |id: &PatternId| (*id, self.memo.get(id.0 as usize).is_some_and(|memo| memo.get() & 1 == 1));
        known.extend(self.step.asked.borrow().iter().map(verdict));
    }

    fn note(self, id: PatternId, is_match: bool) {
        if let Some(memo) = self.memo.get(id.0 as usize) {
            memo.set(self.lookup << 1 | u64::from(is_match));
        }
    }
}

impl PatternSet {
    /// The expression as the user wrote it.
    pub(crate) fn expression(&self, id: PatternId) -> &str {
        let pattern = self.0.get(id.0 as usize).and_then(Option::as_ref);
        pattern.map_or("", |pattern| pattern.expression.text())
    }

    pub(crate) fn totals(&self) -> RegexTotals {
        let mut counted = HashSet::new();
        let once = self.0.iter().flatten().filter(|one| counted.insert(Arc::as_ptr(&one.matcher)));
        let bytes = once.map(|one| one.matcher.memory_usage()).sum();
        RegexTotals { expressions: counted.len(), bytes }
    }
}

impl<'a> Subject<'a> {
    fn parts(self) -> (SubjectKind, &'a str) {
        match self {
            Self::Path => (SubjectKind::Path, ""),
            Self::Header(name) => (SubjectKind::Header, name),
            Self::Query(name) => (SubjectKind::Query, name),
        }
    }
}

impl Pattern {
    fn subject(&self) -> Subject<'_> {
        match self.subject {
            SubjectKind::Path => Subject::Path,
            SubjectKind::Header => Subject::Header(&self.name),
            SubjectKind::Query => Subject::Query(&self.name),
        }
    }
}

impl<'a> PatternSetBuilder<'a> {
    /// Expressions of `previous` keep their numbers; new ones come from `library`.
    pub(crate) fn after(previous: &'a Arc<PatternSet>, library: &'a Library) -> Self {
        let taken = previous.0.iter().map(Option::is_some).collect();
        let known = previous.0.iter().zip(0..).filter_map(|(pattern, id)| Some((pattern.as_ref()?, id)));
        let seen =
            known.map(|(pattern, id)| ((pattern.subject(), pattern.expression.text()), Ok(PatternId(id))));
        let seen = seen.collect();
        Self { library, previous, seen, numbers: Numbers::after(taken), new: Vec::new() }
    }

    /// The number of `expression` for this part of requests, or why it is invalid.
    pub(crate) fn intern(
        &mut self,
        subject: Subject<'a>,
        expression: &'a str,
    ) -> Result<PatternId, Box<str>> {
        let Self { library, seen, numbers, new, .. } = self;
        let made = seen.entry((subject, expression)).or_insert_with(|| {
            let expression = library.get(expression);
            let matcher = expression.verdict().as_ref().map_err(|error| error.to_string())?;
            let matcher = Arc::clone(matcher);
            let id = PatternId(numbers.take().ok_or("too many expressions")?);
            let (subject, name) = subject.parts();
            new.push((id, Pattern { subject, name: name.into(), expression, matcher }));
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
        let mut patterns = self.previous.0.clone();
        patterns.resize(self.numbers.len(), None);
        for (PatternId(id), pattern) in self.new {
            patterns[id as usize] = Some(pattern);
        }
        for id in self.numbers.unused() {
            patterns[id] = None;
        }
        Arc::new(PatternSet(patterns))
    }
}

#[cfg(test)]
impl Regexes<'static> {
    /// No expressions at all.
    pub(crate) fn none() -> Self {
        thread_local! {
            static SCANNED: &'static Cell<u64> = Box::leak(Box::default());
            static STEP: &'static Step = Box::leak(Box::default());
        }
        let (scanned, step) = (SCANNED.with(|cell| *cell), STEP.with(|step| *step));
        Self { patterns: &[], memo: &[], lookup: 1, scanned, step }
    }
}

#[cfg(test)]
mod tests;
