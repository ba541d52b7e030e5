//! `cargo xtask supply-chain`: licenses, bans and sources of all that is built in, known advisories where a
//! database is at hand, and the bill of materials of the binary.

mod advisories;
mod deny;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use sluice_tooling::bill;

use crate::cargo::workspace;

/// Flags of `supply-chain`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A clone of the RustSec advisory database; without it and without one that cargo-deny has fetched,
    /// advisories are printed as not run.
    #[arg(long, env = "SLUICE_ADVISORY_DB", value_name = "DIR")]
    advisory_db: Option<PathBuf>,
    /// File that the bill of materials of the `sluice` binary is written to (CycloneDX, JSON).
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    deny::check(&["licenses", "bans", "sources"], &workspace().join("deny.toml"))?;
    println!("licenses, bans, sources: held");
    match advisories::check(args.advisory_db.as_deref())? {
        Some(date) => println!("advisories: none, by a database of {date}"),
        None => println!(
            "advisories: NOT RUN, no database at hand; name a clone of the RustSec advisory database with --advisory-db"
        ),
    }
    if let Some(file) = &args.sbom {
        let components = bill::write(&bill::of_binary(None)?, file)?;
        println!("bill of materials: {components} components, {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}
