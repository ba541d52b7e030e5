//! Files that are made from the charts, and committed so that nobody needs helm to read or apply them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::helm::Helm;
use super::{CHART, CRDS, chart, values};
use crate::cargo::workspace;
use crate::documents;

/// The place in README.md that the table stands after.
const MARK: &str = "<!-- Made from values.yaml by `cargo xtask chart --write`. -->\n";
/// Manifests, and the flags that they are rendered with.
pub(super) const MANIFESTS: [(&str, &[&str]); 2] = [
    ("deploy/kubernetes/apart.yaml", &["--set", "roles=apart"]),
    ("deploy/kubernetes/together.yaml", &["--set", "roles=together"]),
];
/// Sluice's own definitions.
const DEFINITIONS: &str = "deploy/crds";

/// Writes every file that is not as it should be.
pub(super) fn write(helm: &Helm) -> Result<()> {
    for (path, text) in all(helm)? {
        if fs::read_to_string(workspace().join(&path)).ok().as_ref() != Some(&text) {
            fs::write(workspace().join(&path), text).with_context(|| path.display().to_string())?;
            println!("wrote {}", path.display());
        }
    }
    Ok(())
}

/// An error unless every file is as it should be.
pub(super) fn check(helm: &Helm) -> Result<()> {
    let all = all(helm)?;
    for (path, text) in &all {
        let found = fs::read_to_string(workspace().join(path)).unwrap_or_default();
        ensure!(&found == text, "{} is stale: run `cargo xtask chart --write`", path.display());
    }
    println!("made from the charts: {} files are current", all.len());
    Ok(())
}

fn all(helm: &Helm) -> Result<Vec<(PathBuf, String)>> {
    let mut all = vec![(PathBuf::from(CHART).join("README.md"), readme()?)];
    for (path, flags) in MANIFESTS {
        all.push((path.into(), manifest(&helm.template(CHART, flags)?, flags[1])?));
    }
    for entry in fs::read_dir(workspace().join(DEFINITIONS)).context(DEFINITIONS)? {
        let entry = entry?;
        let copy = PathBuf::from(CRDS).join("files").join(entry.file_name());
        all.push((copy, fs::read_to_string(entry.path())?));
    }
    Ok(all)
}

/// The page with a new table.
fn readme() -> Result<String> {
    let text = fs::read_to_string(chart().join("README.md")).context("README.md of the chart")?;
    let (before, _) = text.split_once(MARK).with_context(|| format!("README.md has no line {MARK}"))?;
    let rows = values::rows(&fs::read_to_string(chart().join("values.yaml"))?)?;
    Ok(format!("{before}{MARK}\n{}", values::table(&rows)))
}

/// A rendering as a file: helm's own lines are of no use there.
fn manifest(rendered: &str, shape: &str) -> Result<String> {
    let lines = rendered.lines().filter(|line| !line.starts_with("# Source: "));
    let text = lines.map(|line| format!("{}\n", line.trim_end())).collect::<String>();
    let documents = documents::split(&text)?;
    ensure!(!documents.is_empty(), "nothing was rendered");
    Ok(format!(
        "# Rendered from deploy/chart by `cargo xtask chart --write`, with {shape}; docs/install.md says how to apply it.\n{}",
        documents::join(&documents)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_keeps_comments_and_loses_helms_lines() {
        let text =
            manifest("---\n# Source: a/b.yaml\n# Why.\nkind: A\nmetadata: {name: a}\n", "roles=x").unwrap();
        assert!(
            text.starts_with("# Rendered from deploy/chart by ") && text.contains("with roles=x;"),
            "{text}"
        );
        assert!(text.ends_with("\n---\n# Why.\nkind: A\nmetadata: {name: a}\n"), "{text}");
    }

    #[test]
    fn the_table_is_current() {
        let text = fs::read_to_string(chart().join("README.md")).unwrap();
        assert_eq!(text, readme().unwrap(), "run `cargo xtask chart --write`");
    }

    /// The pod that takes over must fit beside the other one.
    #[test]
    fn a_nodes_pod_asks_for_no_more_than_a_quarter_of_a_core() {
        for (path, _) in MANIFESTS {
            let documents = documents::split(&fs::read_to_string(workspace().join(path)).unwrap()).unwrap();
            let set = documents.iter().find(|one| one.kind() == "DaemonSet").unwrap();
            let pod = &set.object["spec"]["template"]["spec"];
            let lists = ["initContainers", "containers"].map(|list| pod[list].as_array().unwrap());
            let containers: Vec<_> = lists.into_iter().flatten().collect();
            let asked = containers.iter().map(|one| {
                let cpu = one["resources"]["requests"]["cpu"].as_str().unwrap();
                cpu.strip_suffix('m').unwrap().parse::<u32>().unwrap()
            });
            let sum: u32 = asked.sum();
            assert!(sum > 0 && sum <= 250, "{path}: {sum}m");
            assert_eq!(set.object["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], 0);
            assert!(
                containers.iter().all(|one| one["ports"].is_null()),
                "{path}: ports keep a second pod away"
            );
        }
    }
}
