//! Regular expressions with a price.
//!
//! A [`Library`] makes an [`Expression`] of a text, once for all who ask. Building it gives a [`Matcher`] or
//! an [`Error`], which depends on the text and the limit alone: every node comes to the same verdict. A
//! matcher is an automaton built to the end, so a match is one pass over the value whatever the expression:
//! no cache that fills, no lock, no second look. It is shared by all workers.
//!
//! The syntax is that of the crate `regex` with Unicode off, as in RE2: `\w`, `\d`, `\b` and `(?i)` mean
//! ASCII, `.` is any byte but a line feed, and `(?u)` turns Unicode on for what follows. An expression
//! matches whole values only.
#![forbid(unsafe_code)]

mod build;
mod error;
mod expression;
mod library;
mod matcher;
mod parse;
mod table;
mod tail;

pub use error::Error;
pub use expression::{Expression, Verdict};
pub use library::Library;
pub use matcher::Matcher;
pub use parse::is_valid;

/// The most that one expression may cost unless configured otherwise, in bytes; see [`Matcher::cost`].
pub const DEFAULT_LIMIT: usize = 1 << 20;
