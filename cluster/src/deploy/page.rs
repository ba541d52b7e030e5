//! The commands of docs/install.md by which an operator installs Sluice and serves the example.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::image;
use crate::cargo::workspace;

const PAGE: &str = "docs/install.md";
const SECTION: &str = "## With Helm\n";
/// Parts of the page's commands that stand for what is the reader's own.
const DEFINITIONS: &str = "gateway-api-v1.7.0/standard-install.yaml";
const REPOSITORY: &str = "image.repository=registry.example/sluice";

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) program: String,
    pub(super) words: Vec<String>,
}

/// All of them, in order, with the definitions of the Gateway API in these files and the image of the lab.
///
/// # Errors
/// The page cannot be read, or has no commands where they should be.
pub(super) fn commands(definitions: &[PathBuf]) -> Result<Vec<Line>> {
    let page = fs::read_to_string(workspace().join(PAGE)).context(PAGE)?;
    let lines = read(&page).with_context(|| format!("{PAGE} has no commands in its section {SECTION}"))?;
    Ok(lines.into_iter().map(|line| line.in_the_lab(definitions)).collect())
}

/// Lines of the section's first block of the console that begin with a prompt; a backslash at the end goes on in the next line.
fn read(page: &str) -> Option<Vec<Line>> {
    let (_, section) = page.split_once(SECTION)?;
    let (_, block) = section.split_once("```console\n")?;
    let (block, _) = block.split_once("```")?;
    let joined = block.replace("\\\n", " ");
    let line = |line: &str| {
        let command = line.strip_prefix("$ ")?;
        let command = command.split_once(" # ").map_or(command, |(command, _)| command);
        let mut words = command.split_whitespace().map(str::to_owned);
        Some(Line { program: words.next()?, words: words.collect() })
    };
    let lines: Vec<_> = joined.lines().filter_map(line).collect();
    (!lines.is_empty()).then_some(lines)
}

impl Line {
    /// True if these are its first words after the program.
    pub(super) fn begins(&self, words: &[&str]) -> bool {
        self.words.len() >= words.len() && self.words.iter().zip(words).all(|(own, word)| own == word)
    }

    /// As the page has it, but for what is the reader's own.
    fn in_the_lab(self, definitions: &[PathBuf]) -> Self {
        let (repository, _) = image::NAME.rsplit_once(':').unwrap_or((image::NAME, ""));
        let mut words = Vec::new();
        for word in self.words {
            match word.as_str() {
                // kubectl takes several files in one word.
                DEFINITIONS => words.push(joined(definitions)),
                REPOSITORY => words.push(format!("image.repository={repository}")),
                _ => words.push(word),
            }
        }
        Self { program: self.program, words }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.program, self.words.join(" "))
    }
}

fn joined(files: &[PathBuf]) -> String {
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    files.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_five_commands() {
        let lines = commands(&["/a.yaml".into(), "/b.yaml".into()]).unwrap();
        let programs: Vec<_> = lines.iter().map(|line| line.program.as_str()).collect();
        assert_eq!(programs, ["kubectl", "helm", "helm", "kubectl", "kubectl"]);
        assert_eq!(lines[0].words, ["apply", "--server-side", "-f", "/a.yaml,/b.yaml"]);
        assert!(lines[2].begins(&["install", "sluice", "deploy/chart"]), "{:?}", lines[2]);
        assert_eq!(lines[2].words[3..], ["--set", "image.repository=docker.io/library/sluice"]);
    }

    #[test]
    fn the_last_applies_all_of_the_example() {
        let lines = commands(&[]).unwrap();
        let files: Vec<_> = lines[4].words.iter().filter(|word| word.ends_with(".yaml")).collect();
        assert_eq!(files[0], "examples/shared-gateway/namespaces.yaml", "what comes next is in those");
        for entry in fs::read_dir(workspace().join("examples/shared-gateway")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_applied = files.iter().any(|file| file.ends_with(&format!("/{name}")));
            assert!(is_applied, "{name} is not applied: {files:?}");
        }
        assert!(files.iter().all(|file| workspace().join(file).exists()), "{files:?}");
    }

    #[test]
    fn lines_go_on_after_a_backslash_and_end_before_a_comment() {
        let page = "# T\n\n## With Helm\n\n```console\n$ a -f b \\\n    -f c   # why\nsaid\n$ d\n```\n";
        let line = |program: &str, words: &[&str]| Line {
            program: program.to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        assert_eq!(read(page), Some(vec![line("a", &["-f", "b", "-f", "c"]), line("d", &[])]));
        assert_eq!(read("## With Helm\n"), None);
    }
}
