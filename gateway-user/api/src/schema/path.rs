//! The path of a field while a document is walked.

use std::fmt;

/// Names and indexes from the root; written only when there is something to tell.
#[derive(Default)]
pub(crate) struct Path<'a>(Vec<Step<'a>>);

enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// Runs `then` with a field's path.
    pub(crate) fn field<R>(&mut self, name: &'a str, then: impl FnOnce(&mut Self) -> R) -> R {
        self.within(Step::Field(name), then)
    }

    /// Runs `then` with an item's path.
    pub(crate) fn index<R>(&mut self, index: usize, then: impl FnOnce(&mut Self) -> R) -> R {
        self.within(Step::Index(index), then)
    }

    fn within<R>(&mut self, step: Step<'a>, then: impl FnOnce(&mut Self) -> R) -> R {
        self.0.push(step);
        let result = then(self);
        self.0.pop();
        result
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.0.iter().enumerate() {
            match step {
                // A label is a name with dots and slashes of its own.
                Step::Field(name) if name.contains(['.', '/']) => write!(f, "[{name}]")?,
                Step::Field(name) if n == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
