//! Test binaries of the workspace, as cargo builds them.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::cargo::{QUICK, cargo};

/// Everything that has tests for this machine.
const WORKSPACE: [&str; 3] = ["--workspace", "--exclude", "gateway-ebpf"];

/// A program that runs the tests of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binary {
    /// Its source, below the workspace where it can be said so: `gateway-user/http/src/lib.rs`.
    pub(super) source: PathBuf,
    /// The target's name: of an integration test that of its file or folder.
    pub(super) name: String,
    /// The directory of its package, in which cargo runs it.
    pub(super) package: PathBuf,
    pub(super) executable: PathBuf,
}

impl Binary {
    /// True for an integration test of the whole gateway.
    pub(super) fn is_of_gateway(&self) -> bool {
        self.source.to_string_lossy().contains("gateway-user/gateway/tests/")
    }
}

/// Builds all of them.
pub(super) fn build() -> Result<Vec<Binary>> {
    let mut command = cargo(&["test", "--profile", QUICK, "--no-run"]);
    command.args(WORKSPACE).args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = command.output().context("starting cargo")?;
    if !output.status.success() {
        bail!("the tests cannot be built");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| binary(&serde_json::from_str(line).ok()?)).collect())
}

/// The binary that one of cargo's messages is about.
fn binary(message: &Value) -> Option<Binary> {
    let text = |value: &Value| value.as_str().map(PathBuf::from);
    if message["profile"]["test"] != true {
        return None;
    }
    let package = text(&message["manifest_path"])?.parent()?.to_owned();
    let source = text(&message["target"]["src_path"])?;
    let below = crate::cargo::workspace();
    Some(Binary {
        source: source.strip_prefix(below).unwrap_or(&source).to_owned(),
        name: message["target"]["name"].as_str()?.to_owned(),
        package,
        executable: text(&message["executable"])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_in_what_cargo_says() {
        let message = serde_json::json!({
            "reason": "compiler-artifact", "executable": "/t/debug/deps/traffic-1",
            "manifest_path": "/s/gateway-user/gateway/Cargo.toml", "profile": {"test": true},
            "target": {"kind": ["test"], "name": "traffic", "src_path": "/s/gateway-user/gateway/tests/traffic.rs"},
        });
        let found = binary(&message).unwrap();
        assert_eq!((found.name.as_str(), found.is_of_gateway()), ("traffic", true));
        assert_eq!(found.package, PathBuf::from("/s/gateway-user/gateway"));
        let mut other = message.clone();
        other["target"]["src_path"] = "/s/gateway-user/proxy/tests/traffic.rs".into();
        assert!(!binary(&other).unwrap().is_of_gateway());
        other["profile"]["test"] = false.into();
        assert_eq!(binary(&other), None, "the program itself");
    }
}
