//! Expressions by text: equal ones are one.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use hashbrown::HashMap;

use crate::{DEFAULT_LIMIT, Expression};

/// Texts that are never worth a look for those that are gone.
const FEW: usize = 64;

/// Every expression that anybody holds. For the control plane: a lookup takes a lock.
#[derive(Debug)]
pub struct Library {
    /// The most that one of them may cost, in bytes.
    limit: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    expressions: HashMap<Box<str>, Weak<Expression>>,
    /// Number of expressions that were left when those that are gone were last taken out.
    kept: usize,
}

impl Library {
    /// An empty one, in which an expression may cost `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, entries: Mutex::default() }
    }

    /// The expression of this text: the same one for everybody as long as anybody holds it. Builds nothing.
    pub fn get(&self, text: &str) -> Arc<Expression> {
        // Every change is one insertion, so a panic elsewhere leaves nothing half done.
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(expression) = entries.expressions.get(text).and_then(Weak::upgrade) {
            return expression;
        }
        let expression = Arc::new(Expression::new(text, self.limit));
        entries.expressions.insert(text.into(), Arc::downgrade(&expression));
        entries.sweep();
        expression
    }

    /// Number of expressions that anybody holds.
    pub fn len(&self) -> usize {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.expressions.values().filter(|expression| expression.strong_count() > 0).count()
    }

    /// True if nobody holds any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Library {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Entries {
    /// Takes out those that are gone once there may be as many of them as of the others.
    fn sweep(&mut self) {
        if self.expressions.len() > FEW && self.expressions.len() > self.kept * 2 {
            self.expressions.retain(|_, expression| expression.strong_count() > 0);
            self.kept = self.expressions.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_expressions_are_one_and_forgotten_with_their_last_holder() {
        let library = Library::default();
        let first = library.get("a+");
        assert!(first.known().is_none(), "asking builds nothing");
        assert!(first.verdict().is_ok());
        assert!(Arc::ptr_eq(&first, &library.get("a+")) && library.len() == 1);
        drop(first);
        assert!(library.is_empty());
        assert!(library.get("a+").known().is_none());
    }

    #[test]
    fn texts_that_are_gone_take_no_room() {
        let library = Library::default();
        let held: Vec<_> = (0..10).map(|number| library.get(&format!("held-{number}"))).collect();
        (0..10_000).for_each(|number| drop(library.get(&format!("gone-{number}"))));
        let kept = library.entries.lock().unwrap().expressions.len();
        assert!(
            library.len() == held.len() && kept <= 2 * FEW,
            "{kept} texts for {} expressions",
            held.len()
        );
    }
}
