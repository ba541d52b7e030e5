//! The reason why an expression cannot be used, in one line for its author.

use std::fmt;

/// Expressions are quoted up to this many characters: they may be thousands of characters long.
const QUOTED: usize = 80;

/// The reason why an expression cannot be used, as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: Box<str>,
    cost: usize,
}

impl Error {
    /// The cost of finding it out, in bytes like [`Matcher::cost`](crate::Matcher::cost): an expression that
    /// is refused only after its automaton has grown to the limit counts as one that reaches the limit.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// The text is no expression.
    pub(crate) fn syntax(text: &str, why: &dyn fmt::Display) -> Self {
        let quoted = quote(text);
        let message = format!("{quoted} is not a usable regular expression (Rust regex syntax): {why}");
        Self { message: message.into(), cost: 0 }
    }

    /// The expression would take more than `limit` bytes.
    pub(crate) fn size(text: &str, limit: usize) -> Self {
        let message = format!(
            "{} takes more than {} compiled, the limit of one expression (--regex-bytes): shorten its counted \
             repetitions, or split it",
            quote(text),
            bytes(limit)
        );
        Self { message: message.into(), cost: 0 }
    }

    pub(crate) fn at_cost(self, cost: usize) -> Self {
        Self { cost, ..self }
    }
}

/// The whole line.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The expression in quotes, its end left out if it is long.
fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
    }
}

/// A number of bytes in the largest unit in which it is whole.
fn bytes(count: usize) -> String {
    match count {
        _ if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        _ if count >= 1 << 10 && count.is_multiple_of(1 << 10) => format!("{} KiB", count >> 10),
        _ => format!("{count} bytes"),
    }
}
