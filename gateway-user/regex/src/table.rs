//! A deterministic automaton as one table: a number for each state and class of bytes.
//!
//! The library's own takes four bytes for each of them and rounds the classes up to a power of two. With two
//! bytes and no rounding a list of 4,096 characters in any case fits the limit, at the price of a
//! multiplication a byte.

use hashbrown::HashMap;
use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, StartError, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

use crate::tail::Tail;

/// The library's automaton.
type Dense = dense::DFA<Vec<u32>>;

/// The state that nothing leads out of.
const DEAD: u16 = 0;
/// The state in which only the tail is left.
const TAIL: u16 = 1;

#[derive(Debug)]
pub(crate) struct Table {
    /// The class of each byte.
    classes: Box<[u8; 256]>,
    /// Number of classes.
    width: usize,
    /// `width` numbers for each state: the next one.
    next: Box<[u16]>,
    /// For each state whether a value may end in it.
    accepting: Box<[bool]>,
    start: u16,
}

impl Table {
    /// The part of `dfa` that a search from the start of a value can reach, up to its first match if a tail
    /// follows that; `None` if it takes more than `limit` bytes or more states than there are numbers.
    pub(crate) fn of(dfa: &Dense, tail: Option<Tail>, limit: usize) -> Option<Self> {
        let classes = classes_of(dfa, tail);
        // A byte of each class; they are numbered as bytes first have them, but for the line feed's own.
        let width = classes.iter().max().map_or(0, |last| usize::from(*last) + 1);
        let byte_of =
            |class: usize| (0..=u8::MAX).find(|byte| usize::from(classes[usize::from(*byte)]) == class);
        let bytes: Vec<u8> = (0..width).filter_map(byte_of).collect();
        let mut table = Self {
            classes: Box::new(classes),
            width,
            next: Box::default(),
            accepting: Box::default(),
            start: DEAD,
        };
        let mut walk = Walk::new();
        let (mut next, mut accepting) = (vec![DEAD; table.width], vec![false]);
        let in_tail = |byte| if tail.is_some_and(|tail| tail.admits(byte)) { TAIL } else { DEAD };
        next.extend(bytes.iter().map(|byte| in_tail(*byte)));
        accepting.push(true);
        table.start = walk.number(dfa, start_of(dfa).ok()?)?;
        let mut at = usize::from(TAIL) + 1;
        while let Some(state) = walk.states.get(at).copied() {
            for byte in &bytes {
                let after = dfa.next_state(state, *byte);
                // A match is known one byte late: this one is the tail's first.
                let is_over = tail.is_some() && dfa.is_match_state(after);
                next.push(if is_over { in_tail(*byte) } else { walk.number(dfa, after)? });
            }
            accepting.push(dfa.is_match_state(dfa.next_eoi_state(state)));
            if size(walk.states.len(), table.width) > limit {
                return None;
            }
            at += 1;
        }
        table.next = next.into();
        table.accepting = accepting.into();
        Some(table)
    }

    /// True if the whole of `value` is matched. Looks at each byte at most once.
    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        let mut state = self.start;
        for byte in value {
            if state == DEAD {
                return false;
            }
            let class = usize::from(self.classes[usize::from(*byte)]);
            state = self.next.get(usize::from(state) * self.width + class).copied().unwrap_or(DEAD);
        }
        self.accepting.get(usize::from(state)).copied().unwrap_or(false)
    }

    pub(crate) fn memory_usage(&self) -> usize {
        size(self.accepting.len(), self.width)
    }
}

/// The class of each byte. A tail tells the line feed from bytes that are all the same to what comes before
/// it.
fn classes_of(dfa: &Dense, tail: Option<Tail>) -> [u8; 256] {
    let mut classes = [0; 256];
    for (byte, class) in (0..=u8::MAX).zip(&mut classes) {
        *class = dfa.byte_classes().get(byte);
    }
    let own = classes[usize::from(b'\n')];
    let is_shared = classes.iter().filter(|class| **class == own).count() > 1;
    if tail == Some(Tail::Line) && is_shared {
        classes[usize::from(b'\n')] = classes.iter().max().map_or(0, |last| last + 1);
    }
    classes
}

fn size(states: usize, width: usize) -> usize {
    states * width * size_of::<u16>() + states * size_of::<bool>() + 256
}

/// The state at the start of a value, with nothing before it.
fn start_of(dfa: &Dense) -> Result<StateID, StartError> {
    dfa.start_state(&start::Config::new().anchored(Anchored::Yes))
}

/// Numbers for states in the order in which they are met.
struct Walk {
    numbers: HashMap<StateID, u16>,
    states: Vec<StateID>,
}

impl Walk {
    /// [`DEAD`] and [`TAIL`] are no states of the library's.
    fn new() -> Self {
        Self { numbers: HashMap::new(), states: vec![StateID::ZERO; 2] }
    }

    fn number(&mut self, dfa: &Dense, state: StateID) -> Option<u16> {
        if dfa.is_dead_state(state) {
            return Some(DEAD);
        }
        if let Some(number) = self.numbers.get(&state) {
            return Some(*number);
        }
        let number = u16::try_from(self.states.len()).ok()?;
        self.states.push(state);
        self.numbers.insert(state, number);
        Some(number)
    }
}
