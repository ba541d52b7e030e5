//! Log lines of findings: each is written once when it appears and once when it is gone, however often the
//! configuration is read.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use gateway_api_types::load::{Diagnostic, Severity};
use tracing::{error, info, warn};

/// One line for people, with its severity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Severity.
    pub severity: Severity,
    /// Place, object, field and fix.
    pub text: String,
}

impl Line {
    /// A warning.
    pub fn warning(text: impl ToString) -> Self {
        Self { severity: Severity::Warning, text: text.to_string() }
    }

    /// An error.
    pub fn error(text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, text: text.into() }
    }
}

impl From<&Diagnostic> for Line {
    fn from(diagnostic: &Diagnostic) -> Self {
        Self { severity: diagnostic.severity, text: diagnostic.to_string() }
    }
}

impl From<&gateway_translate::Diagnostic> for Line {
    fn from(finding: &gateway_translate::Diagnostic) -> Self {
        Self { severity: finding.severity, text: finding.to_string() }
    }
}

/// Lines that were logged and still hold.
#[derive(Debug, Default)]
pub struct LogDeduplicator {
    standing: BTreeSet<Line>,
}

/// Lines that changed since the last update.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Lines that were not there before, errors first.
    pub new: Vec<Line>,
    /// Lines that hold no more.
    pub gone: Vec<Line>,
}

impl LogDeduplicator {
    /// Replaces the lines that hold. Returns those that came and went.
    pub fn update(&mut self, lines: impl IntoIterator<Item = Line>) -> Changes {
        let now: BTreeSet<Line> = lines.into_iter().collect();
        let mut new: Vec<Line> = now.difference(&self.standing).cloned().collect();
        // Stable, so that lines of one severity stay in the order of their texts.
        new.sort_by_key(|line| Reverse(line.severity));
        let changes = Changes { new, gone: self.standing.difference(&now).cloned().collect() };
        self.standing = now;
        changes
    }
}

impl Changes {
    /// Writes them to the log.
    pub fn log(&self) {
        for Line { severity, text } in &self.new {
            match severity {
                Severity::Error => error!("{text}"),
                Severity::Warning => warn!("{text}"),
                Severity::Note => info!("{text}"),
            }
        }
        for Line { severity, text } in &self.gone {
            if *severity != Severity::Note {
                info!("resolved: {text}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_new_once_and_gone_once() {
        let mut log_deduplicator = LogDeduplicator::default();
        let (a, b) = (Line::error("a"), Line { severity: Severity::Note, text: "b".into() });
        let first = log_deduplicator.update([b.clone(), a.clone()]);
        assert_eq!(first.new, [a.clone(), b.clone()], "errors first");
        assert_eq!(log_deduplicator.update([a.clone(), b.clone()]), Changes::default());
        let last = log_deduplicator.update([a.clone()]);
        assert_eq!(last, Changes { new: vec![], gone: vec![b] });
    }
}
