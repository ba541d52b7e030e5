//! Budgets, and what a count says beside its budget.

use std::fmt;

use anyhow::{Context, Result, bail};
use toml_edit::{DocumentMut, Item, Table, value};

/// The table of budgets in the file: a row's name, and the most instructions that one of its requests
/// may take.
const TABLE: &str = "guard";

/// The file, with its comments.
#[derive(Debug)]
pub(super) struct Budgets(DocumentMut);

/// One row and its budget.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Instructions per request.
    pub(super) count: u64,
    pub(super) budget: Option<u64>,
}

/// A count beside its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Within,
    /// Above the budget, by one instruction or more.
    Over,
    /// So far below that the budget would not show a loss: it has to be lowered.
    Low,
    /// Nothing to compare with, which is a failure.
    NoBudget,
}

impl Budgets {
    /// Reads the file's text.
    ///
    /// # Errors
    /// It is no TOML, has no table `guard`, a budget is no number of instructions, or it belongs to none
    /// of `rows`.
    pub(super) fn parse(text: &str, rows: &[&str]) -> Result<Self> {
        let document: DocumentMut = text.parse()?;
        let table =
            document.get(TABLE).and_then(Item::as_table).context("there is no table [guard]: add it")?;
        for (name, budget) in table {
            if !rows.contains(&name) {
                bail!("[guard] {name}: there is no such row; remove it (rows: {})", rows.join(", "));
            }
            if instructions(budget).is_none() {
                bail!("[guard] {name}: write a whole number of instructions above 0");
            }
        }
        Ok(Self(document))
    }

    /// The budget of a row, in instructions per request.
    pub(super) fn of(&self, row: &str) -> Option<u64> {
        instructions(self.0.get(TABLE)?.get(row)?)
    }

    /// Makes `count` and 1 % more the budget of a row. Room for what is no change of this code: another C
    /// library, or another processor's string functions.
    pub(super) fn set(&mut self, row: &str, count: u64) {
        let budget = value(i64::try_from(count + count / 100).unwrap_or(i64::MAX));
        let table = self.0.entry(TABLE).or_insert(Item::Table(Table::new()));
        match table.get_mut(row).and_then(Item::as_value_mut) {
            // The comment behind it stays.
            Some(old) => {
                let decor = old.decor().clone();
                if let Item::Value(budget) = budget {
                    *old = budget;
                }
                *old.decor_mut() = decor;
            }
            None => table[row] = budget,
        }
    }
}

impl fmt::Display for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of instructions, which is above 0.
fn instructions(budget: &Item) -> Option<u64> {
    budget.as_integer().and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}

impl Row {
    pub(super) fn verdict(&self) -> Verdict {
        match self.budget {
            None => Verdict::NoBudget,
            Some(budget) if self.count > budget => Verdict::Over,
            Some(budget) if self.count.saturating_mul(100) < budget.saturating_mul(95) => Verdict::Low,
            Some(_) => Verdict::Within,
        }
    }

    /// A line of the table.
    pub(super) fn cells(&self) -> Vec<String> {
        let verdict = match self.verdict() {
            Verdict::Within => "within",
            Verdict::Over => "OVER",
            Verdict::Low => "low",
            Verdict::NoBudget => "NO BUDGET",
        };
        vec![
            self.name.to_owned(),
            self.count.to_string(),
            self.budget.map_or_else(String::new, |budget| budget.to_string()),
            self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.4}")),
            verdict.to_owned(),
        ]
    }

    /// The advice about it, unless it is within its budget.
    pub(super) fn advice(&self) -> Option<String> {
        let (name, count, ratio) = (self.name, self.count, self.ratio().unwrap_or_default());
        match self.verdict() {
            Verdict::Within => None,
            Verdict::Over => Some(format!(
                "{name}: {count} instructions per request are {ratio:.4} of the budget. Make it cheaper, or \
                 raise the budget with --write and name both figures and the reason in the commit"
            )),
            Verdict::Low => Some(format!(
                "{name}: {count} instructions per request are {ratio:.4} of the budget. Lower it with \
                 --write, so that a later loss is seen"
            )),
            Verdict::NoBudget => Some(format!("{name}: no budget; run `cargo xtask bench guard --write`")),
        }
    }

    fn ratio(&self) -> Option<f64> {
        self.budget.map(|budget| self.count as f64 / budget as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[&str] = &["keep-alive", "redirect"];

    fn row(count: u64, budget: Option<u64>) -> Row {
        Row { name: "keep-alive", count, budget }
    }

    #[test]
    fn a_budget_is_an_upper_bound_that_is_close() {
        assert_eq!(row(10_000, Some(10_000)).verdict(), Verdict::Within);
        assert_eq!(row(10_001, Some(10_000)).verdict(), Verdict::Over);
        assert_eq!(row(9_500, Some(10_000)).verdict(), Verdict::Within);
        assert_eq!(row(9_499, Some(10_000)).verdict(), Verdict::Low);
        assert_eq!(row(1, None).verdict(), Verdict::NoBudget);
    }

    #[test]
    fn advice_names_the_row_and_the_command() {
        assert_eq!(row(10_000, Some(10_000)).advice(), None);
        for (row, part) in [
            (
                row(10_200, Some(10_000)),
                "1.0200 of the budget. Make it cheaper, or raise the budget with --write",
            ),
            (row(5_000, Some(10_000)), "0.5000 of the budget. Lower it with --write"),
            (row(1, None), "no budget; run `cargo xtask bench guard --write`"),
        ] {
            let advice = row.advice().unwrap();
            assert!(advice.starts_with("keep-alive: ") && advice.contains(part), "{advice}");
        }
        assert_eq!(row(10_200, Some(10_000)).cells(), ["keep-alive", "10200", "10000", "1.0200", "OVER"]);
        assert_eq!(row(7, None).cells(), ["keep-alive", "7", "", "", "NO BUDGET"]);
    }

    #[test]
    fn a_budget_is_replaced_and_comments_stay() {
        let text = "# of all\n[guard]\n# of the row\nkeep-alive = 900 # behind it\n\n[other]\nx = 1.5\n";
        let mut budgets = Budgets::parse(text, ROWS).unwrap();
        assert_eq!((budgets.of("keep-alive"), budgets.of("redirect")), (Some(900), None));
        budgets.set("keep-alive", 1000);
        budgets.set("redirect", 250);
        let written = budgets.to_string();
        let expected = "# of all\n[guard]\n# of the row\nkeep-alive = 1010 # behind it\nredirect = 252\n\n\
                        [other]\nx = 1.5\n";
        assert_eq!(written, expected);
        let again = Budgets::parse(&written, ROWS).unwrap();
        assert_eq!((again.of("keep-alive"), again.of("redirect")), (Some(1010), Some(252)));
    }

    #[test]
    fn a_file_that_says_something_else_is_refused() {
        for (text, part) in [
            ("", "no table [guard]"),
            ("guard = 1\n", "no table [guard]"),
            ("[guard\n", "TOML parse error"),
            ("[guard]\nkeep-alive = 1.5\n", "keep-alive: write a whole number"),
            ("[guard]\nkeep-alive = 0\n", "keep-alive: write a whole number"),
            ("[guard]\nkeep-alive = -1\n", "keep-alive: write a whole number"),
            ("[guard]\nkeepalive = 1\n", "keepalive: there is no such row"),
        ] {
            let error = format!("{:#}", Budgets::parse(text, ROWS).unwrap_err());
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
