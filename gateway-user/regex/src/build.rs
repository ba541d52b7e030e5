//! Syntax tree → matcher, with as much work as it is charged for.

use regex_automata::MatchKind;
use regex_automata::dfa::{StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_syntax::hir::{Hir, Look};

use crate::matcher::{Kind, Matcher};
use crate::table::Table;
use crate::tail::{self, Tail};
use crate::{Error, parse};

/// The least that an expression is charged with.
const LEAST: usize = 1 << 10;
/// Memory of a nondeterministic automaton for each byte of the price.
const NFA_PER_BYTE: usize = 8;
/// Bytes of that automaton for each position, at least.
const NFA_POSITION: usize = 32;
/// Steps of the subset construction for each byte of the price: 16 million for one mebibyte, measured as 50
/// to 350 ms. A step is a byte of a state's description, for each class of bytes that leads out of it.
const STEPS_PER_BYTE: usize = 16;
/// Room for the library's own automaton, whose states take up to eight times as much as ours do.
const DENSE_PER_BYTE: usize = 8;
/// Memory of the crate's automaton besides states.
const DENSE_FIXED: usize = 16 << 10;

/// Builds an expression that may cost at most `limit` bytes.
pub(crate) fn build(text: &str, limit: usize) -> Result<Matcher, Error> {
    let hir = parse::parse(text)?;
    if let Some(literals) = parse::literals(&hir) {
        let kind = Kind::literals(literals);
        let cost = kind.memory_usage().max(LEAST);
        return match cost <= limit {
            true => Ok(Matcher::new(kind, cost)),
            false => Err(Error::size(text, limit)),
        };
    }
    // Nothing has been built yet, so this costs nothing.
    if parse::positions(&hir) > limit.saturating_mul(NFA_PER_BYTE) / NFA_POSITION {
        return Err(Error::size(text, limit));
    }
    // Whole values only: the search begins at the start, and the end is part of the expression or of its
    // tail.
    let (hir, tail) = match tail::split(&hir) {
        Some((hir, tail)) => (hir, Some(tail)),
        None => (Hir::concat(vec![hir, Hir::look(Look::End)]), None),
    };
    let nfa = nfa(&hir, limit).map_err(|error| match error.size_limit() {
        Some(_) => Error::size(text, limit).at_cost(limit),
        None => Error::syntax(text, &*error),
    })?;
    let (table, work) = determinize(text, &nfa, tail, limit)?;
    let cost = table.memory_usage().max(work);
    match cost <= limit {
        true => Ok(Matcher::new(Kind::Table(table), cost)),
        false => Err(Error::size(text, limit).at_cost(limit)),
    }
}

fn nfa(hir: &Hir, limit: usize) -> Result<NFA, Box<thompson::BuildError>> {
    let config = thompson::Config::new()
        .utf8(false)
        .shrink(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(limit.saturating_mul(NFA_PER_BYTE)));
    thompson::Compiler::new().configure(config).build_from_hir(hir).map_err(Box::new)
}

/// The automaton, and what building it is charged with: the work is given in doubling portions until one
/// suffices, so an expression pays for the work that it needs, and all portions together are less than twice
/// the last one.
fn determinize(text: &str, nfa: &NFA, tail: Option<Tail>, limit: usize) -> Result<(Table, usize), Error> {
    let refused = || Error::size(text, limit).at_cost(limit);
    let classes = nfa.byte_classes().alphabet_len();
    let mut portion = (nfa.memory_usage() / NFA_PER_BYTE).max(LEAST).min(limit);
    loop {
        let config = dense::Config::new()
            .match_kind(if tail.is_some() { MatchKind::LeftmostFirst } else { MatchKind::All })
            .start_kind(StartKind::Anchored)
            .accelerate(false)
            .minimize(false)
            .determinize_size_limit(Some(portion.saturating_mul(STEPS_PER_BYTE) / classes))
            .dfa_size_limit(Some(limit.saturating_mul(DENSE_PER_BYTE).saturating_add(DENSE_FIXED)));
        match dense::Builder::new().configure(config).build_from_nfa(nfa) {
            Ok(dfa) => {
                let table = Table::of(&dfa, tail, limit);
                return table.map(|table| (table, portion)).ok_or_else(refused);
            }
            Err(error) if !error.is_size_limit_exceeded() => return Err(Error::syntax(text, &error)),
            Err(_) if portion >= limit => return Err(refused()),
            Err(_) => portion = portion.saturating_mul(2).min(limit),
        }
    }
}
