//! The bill of materials of the binary, by CycloneDX's own tool.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::tool::Tool;
use crate::cargo::{cargo, must_succeed, workspace};

const CARGO_CYCLONEDX: Tool = Tool { name: "cargo-cyclonedx", version: "0.5.9" };
/// The name of the tool's files, without `.json`; ours alone, since it puts one beside every manifest.
const NAME: &str = ".sluice-bill-of-materials";

/// Writes the bill of materials of the package `sluice`, CycloneDX 1.5 in JSON, for the target that this
/// machine is; gives the number of components.
///
/// # Errors
/// The tool cannot be had or fails, or `file` cannot be written.
pub(super) fn write(file: &Path) -> Result<usize> {
    let mut command = CARGO_CYCLONEDX.command()?;
    command.args(["--format", "json", "--spec-version", "1.5", "--quiet", "--override-filename", NAME]);
    let made = must_succeed(&mut command).and_then(|()| {
        let text = fs::read_to_string(workspace().join("gateway-user/gateway").join(format!("{NAME}.json")))?;
        let components = components(&text)?;
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        Ok(components)
    });
    for dir in members()? {
        // The tool fails before it has written all of them, or a member has none.
        let _ = fs::remove_file(dir.join(format!("{NAME}.json")));
    }
    made
}

/// Components that a bill of materials lists.
fn components(text: &str) -> Result<usize> {
    let bill: Value = serde_json::from_str(text).context("the bill of materials")?;
    let components = bill["components"].as_array().context("a bill of materials without components")?;
    Ok(components.len())
}

/// The folders of the workspace's packages.
fn members() -> Result<Vec<PathBuf>> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("no packages")?.iter();
    let manifests = packages.filter_map(|package| package["manifest_path"].as_str().map(PathBuf::from));
    Ok(manifests.filter_map(|manifest| manifest.parent().map(Path::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_counted_and_a_file_without_any_is_no_bill() {
        assert_eq!(components(r#"{"components": [{"name": "a"}, {"name": "b"}]}"#).unwrap(), 2);
        assert!(components("{}").is_err());
    }

    #[test]
    fn the_binarys_package_is_a_member() {
        assert!(members().unwrap().contains(&workspace().join("gateway-user/gateway")));
    }
}
