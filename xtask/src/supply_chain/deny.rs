//! cargo-deny on the workspace.

use std::path::Path;

use anyhow::Result;
use sluice_tooling::cargo_tool::Tool;

use crate::cargo::must_succeed;

const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

/// Runs the named checks of cargo-deny by `config`; what they find is on the terminal.
///
/// # Errors
/// Something is not allowed, or cargo-deny cannot be had.
pub(super) fn check(what: &[&str], config: &Path) -> Result<()> {
    let mut command = CARGO_DENY.command()?;
    command.arg("--config").arg(config).args(["--workspace", "--locked"]);
    if what == ["advisories"] {
        // By the database that is there, and by none that is fetched.
        command.arg("--offline");
    }
    command.arg("check").args(what);
    must_succeed(&mut command)
}
