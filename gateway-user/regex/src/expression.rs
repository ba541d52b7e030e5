//! A text and the result of building it.

use std::sync::{Arc, OnceLock};

use crate::build::build;
use crate::{Error, Matcher};

/// The result of building an expression.
pub type Verdict = Result<Arc<Matcher>, Error>;

/// A user's expression. The first caller that asks for its verdict builds it; the others wait for that.
#[derive(Debug)]
pub struct Expression {
    text: Box<str>,
    limit: usize,
    verdict: OnceLock<Verdict>,
}

impl Expression {
    pub(crate) fn new(text: &str, limit: usize) -> Self {
        Self { text: text.into(), limit, verdict: OnceLock::new() }
    }

    /// As the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The result; built now if it is not yet. Depends on the text and the library's limit alone.
    pub fn verdict(&self) -> &Verdict {
        self.verdict.get_or_init(|| build(&self.text, self.limit).map(Arc::new))
    }

    /// The result, if it is known already.
    pub fn known(&self) -> Option<&Verdict> {
        self.verdict.get()
    }

    /// The cost in bytes; built now if it is not yet.
    pub fn cost(&self) -> usize {
        match self.verdict() {
            Ok(matcher) => matcher.cost(),
            Err(error) => error.cost(),
        }
    }
}
