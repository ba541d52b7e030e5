//! The bars of `bench/bars.toml` that commands of this crate hold times against.

use std::fs;

use anyhow::{Context, Result};

use crate::cargo::workspace;

/// The file of all bars.
const FILE: &str = "bench/bars.toml";

/// Seconds of a row.
///
/// # Errors
/// The file cannot be read, or has no such row with a figure above 0.
pub(crate) fn seconds(table: &str) -> Result<f64> {
    let text = fs::read_to_string(workspace().join(FILE)).context(FILE)?;
    read(&text, table)
}

fn read(text: &str, table: &str) -> Result<f64> {
    let bars: toml_edit::DocumentMut = text.parse().context(FILE)?;
    let value = bars.get(table).and_then(|table| table.get("seconds")).and_then(toml_edit::Item::as_value);
    let number = value.and_then(|value| value.as_float().or(value.as_integer().map(|number| number as f64)));
    number
        .filter(|number| *number > 0.0)
        .with_context(|| format!("{FILE}: [{table}] has no number seconds above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_the_file() {
        assert!(seconds("moves").unwrap() > 0.0);
        assert!(
            read("[moves]\nseconds = 0\n", "moves").unwrap_err().to_string().contains("no number seconds")
        );
        assert!(read("[other]\n", "moves").is_err());
    }
}
