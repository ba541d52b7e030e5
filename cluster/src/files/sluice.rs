//! The verdict of `sluice check`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Verdict;

/// Everything that `sluice check` takes for an error in these files.
pub(super) fn check(sluice: &Path, files: &[&Path]) -> Result<Verdict> {
    let output = Command::new(sluice).arg("check").args(files).output().context("starting sluice")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut errors: Vec<String> = said.lines().filter(|line| is_error(line)).map(str::to_owned).collect();
    // The last line is the count.
    errors.pop();
    match output.status.code() {
        Some(0) => Ok(Verdict::Accepted),
        Some(1) if !errors.is_empty() => Ok(Verdict::of(errors)),
        _ => bail!("sluice check: {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}

/// Of these lines, those about the file itself. Findings about several objects, which an API server does not
/// check, have a line and no column.
pub(super) fn of_the_file(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|line| has_column(line)).cloned().collect()
}

fn is_error(line: &str) -> bool {
    !line.contains(": warning: ") && !line.contains(": note: ")
}

fn has_column(line: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let location = line.split(": ").next().unwrap_or_default();
    let mut parts = location.rsplit(':');
    parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_the_file_have_a_column() {
        let lines =
            ["d/x.yaml:3:4: Service a: b", "d/x.yaml:3: Gateway a: b", "d/x.yaml: c"].map(str::to_owned);
        assert_eq!(of_the_file(&lines), lines[..1]);
        assert!(!is_error("x.yaml:3: warning: Gateway a: b") && is_error(&lines[1]));
    }
}
