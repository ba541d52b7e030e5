//! `sluice version`.

use serde::Serialize;

use crate::cli::Output;

/// Versions that a bug report needs.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Versions {
    /// Sluice's own.
    pub(crate) version: &'static str,
    /// Commit that it was built from, if the build said so in `SLUICE_COMMIT`.
    pub(crate) commit: Option<&'static str>,
    /// Gateway API release whose types and semantics it has.
    pub(crate) gateway_api: &'static str,
}

/// The versions of this program.
pub(crate) const VERSIONS: Versions = Versions {
    version: env!("CARGO_PKG_VERSION"),
    commit: option_env!("SLUICE_COMMIT"),
    gateway_api: "v1.7.0",
};

/// Prints them.
pub(crate) fn run(output: Output) -> anyhow::Result<()> {
    let text = match output {
        Output::Json => super::to_json(&VERSIONS)?,
        Output::Yaml => super::to_yaml(&VERSIONS)?,
        Output::Table | Output::Wide => {
            let Versions { version, commit, gateway_api } = VERSIONS;
            let commit = commit.map_or(String::new(), |commit| format!(" (commit {commit})"));
            format!("sluice {version}{commit}, Gateway API {gateway_api}\n")
        }
    };
    super::print(&text)
}
