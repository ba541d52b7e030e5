//! Values that are to be rendered, and values that are to be refused: the files of `conformance/chart`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::CHART;
use super::helm::Helm;
use crate::cargo::workspace;
use crate::documents::{self, Document};

/// The objects that the chart makes of one file of values.
pub(super) struct Rendering {
    /// The file's name.
    pub(super) name: String,
    /// The objects.
    pub(super) documents: Vec<Document>,
}

/// Renders each file of `values`. Lines `# has: TEXT` and `# has not: TEXT` of a file say what must be in the result.
pub(super) fn renderings(helm: &Helm) -> Result<Vec<Rendering>> {
    let mut all = Vec::new();
    for path in files("values")? {
        let name = path.file_name().map(|name| name.display().to_string()).unwrap_or_default();
        let text = helm.template(CHART, &["--values", &path.display().to_string()])?;
        expect(&fs::read_to_string(&path)?, &text).with_context(|| path.display().to_string())?;
        all.push(Rendering { name, documents: documents::split(&text)? });
    }
    println!("helm template: {} files of values", all.len());
    Ok(all)
}

/// Has each file of `refused` refused, with the message that its first line names.
pub(super) fn must_refuse(helm: &Helm) -> Result<()> {
    let all = files("refused")?;
    for path in &all {
        let text = fs::read_to_string(path)?;
        let wanted = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let wanted =
            wanted.with_context(|| format!("{}: its first line names no message", path.display()))?;
        let said = helm.refusal(path)?;
        ensure!(said.contains(wanted), "{}: refused, but not with {wanted:?}: {said}", path.display());
    }
    println!("values.schema.json: {} files of values are refused as they should be", all.len());
    Ok(())
}

fn expect(values: &str, rendered: &str) -> Result<()> {
    for line in values.lines() {
        if let Some(part) = line.strip_prefix("# has: ") {
            ensure!(rendered.contains(part), "the result has no {part:?}");
        }
        if let Some(part) = line.strip_prefix("# has not: ") {
            ensure!(!rendered.contains(part), "the result has {part:?}");
        }
    }
    Ok(())
}

fn files(folder: &str) -> Result<Vec<PathBuf>> {
    let dir = workspace().join("conformance/chart").join(folder);
    let entries = fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{} is empty", dir.display());
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_is_to_come_of_it() {
        assert!(expect("# has: a\n# has not: b\nx: 1\n", "an a").is_ok());
        assert!(expect("# has: a\n", "b").is_err());
        assert!(expect("# has not: b\n", "b").is_err());
    }

    #[test]
    fn every_refused_file_names_its_message() {
        for path in files("refused").unwrap() {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("# ") && text.lines().count() > 1, "{}", path.display());
        }
    }
}
