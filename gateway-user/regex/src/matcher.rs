//! Matchers of values.

use crate::table::Table;

/// Memory of a literal of a list besides its bytes.
const LITERAL: usize = size_of::<Box<[u8]>>();

/// Tables up to this size stay in the CPU's first cache beside everything else.
const SMALL: usize = 16 << 10;
/// Factor by which a step in a larger table takes longer: 10 to 20 ns were measured instead of 4.
const LARGE_STEP: u64 = 4;

/// An expression that is ready: one pass over a value says whether the whole of it matches.
#[derive(Debug)]
pub struct Matcher {
    kind: Kind,
    cost: usize,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// A list of values, sorted: `a|b|c`.
    Literals(Box<[Box<[u8]>]>),
    Table(Table),
}

impl Matcher {
    pub(crate) fn new(kind: Kind, cost: usize) -> Self {
        Self { kind, cost }
    }

    /// True if the whole of `value` matches. The work is at most one step a byte of it, whatever the
    /// expression; it needs no memory and no lock.
    pub fn is_match(&self, value: &[u8]) -> bool {
        match &self.kind {
            Kind::Table(table) => table.is_match(value),
            Kind::Literals(literals) => literals.binary_search_by(|literal| (**literal).cmp(value)).is_ok(),
        }
    }

    /// Most steps that [`Self::is_match`] takes, counted in steps of a small table, which takes one a byte.
    /// For callers that divide work into parts.
    pub fn effort(&self, value: &[u8]) -> u64 {
        let step = match &self.kind {
            Kind::Table(table) if table.memory_usage() > SMALL => LARGE_STEP,
            Kind::Table(_) | Kind::Literals(_) => 1,
        };
        value.len() as u64 * step
    }

    /// The memory that it holds, in bytes.
    pub fn memory_usage(&self) -> usize {
        self.kind.memory_usage()
    }

    /// The cost in bytes: its memory, or a byte for every 16 steps of building it if those are more.
    pub fn cost(&self) -> usize {
        self.cost
    }
}

impl Kind {
    pub(crate) fn literals(literals: Vec<&[u8]>) -> Self {
        let mut literals: Vec<Box<[u8]>> = literals.into_iter().map(Into::into).collect();
        literals.sort_unstable();
        literals.dedup();
        Self::Literals(literals.into())
    }

    pub(crate) fn memory_usage(&self) -> usize {
        match self {
            Self::Table(table) => table.memory_usage(),
            Self::Literals(literals) => literals.iter().map(|literal| literal.len() + LITERAL).sum(),
        }
    }
}
