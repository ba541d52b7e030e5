//! The bill of materials of the binary, by CycloneDX's own tool.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cargo::{cargo, must_succeed, workspace};
use crate::cargo_tool::Tool;

const CARGO_CYCLONEDX: Tool = Tool { name: "cargo-cyclonedx", version: "0.5.9" };
/// The name of the tool's files, without `.json`; ours alone, since it puts one beside every manifest.
const NAME: &str = ".sluice-bill-of-materials";

/// The bill of materials of the package `sluice`, CycloneDX 1.5 in JSON, for a target as Rust names it, or for the one that
/// this machine is.
///
/// # Errors
/// The tool cannot be had or fails.
pub fn of_binary(target: Option<&str>) -> Result<Value> {
    let mut command = CARGO_CYCLONEDX.command()?;
    command.args(["--format", "json", "--spec-version", "1.5", "--quiet", "--override-filename", NAME]);
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    let made = must_succeed(&mut command).and_then(|()| {
        let text = fs::read_to_string(workspace().join("gateway-user/gateway").join(format!("{NAME}.json")))?;
        serde_json::from_str(&text).context("the bill of materials")
    });
    for dir in members()? {
        // The tool fails before it has written all of them, or a member has none.
        let _ = fs::remove_file(dir.join(format!("{NAME}.json")));
    }
    made
}

/// Writes a bill of materials; gives the number of its components.
///
/// # Errors
/// It lists none, or the file cannot be written.
pub fn write(bill: &Value, file: &Path) -> Result<usize> {
    let components = bill["components"].as_array().context("a bill of materials without components")?;
    fs::write(file, format!("{bill:#}\n")).with_context(|| format!("writing {}", file.display()))?;
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
    use gateway_testkit::scratch::Scratch;
    use serde_json::json;

    use super::*;

    #[test]
    fn components_are_counted_and_a_file_without_any_is_no_bill() {
        let dir = Scratch::new("bill").unwrap();
        let file = dir.join("bill.json");
        assert_eq!(write(&json!({"components": [{"name": "a"}, {"name": "b"}]}), &file).unwrap(), 2);
        assert!(write(&json!({}), &file).is_err());
    }

    #[test]
    fn the_binarys_package_is_a_member() {
        assert!(members().unwrap().contains(&workspace().join("gateway-user/gateway")));
    }
}
