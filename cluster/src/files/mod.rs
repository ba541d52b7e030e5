//! `cargo xtask files`: files as people write them, checked by a real API server and by `sluice check`.
//!
//! Those of `conformance/files` must be accepted or refused as their folder says; of others, which `--sample`
//! names, a draw is compared.

mod project_files;
mod sample;
mod server;
mod sluice;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;

use crate::cargo::{QUICK, build_sluice};
use crate::handle::Cluster;
use crate::launch::Lifetime;
use crate::machines::Nodes;
use crate::process;
use crate::version::Suite;
use sample::Sample;
use server::Server;

/// Flags of `files`.
#[derive(clap::Args)]
pub struct Args {
    /// The CRDs of this suite's release are installed.
    #[arg(long, value_enum, default_value_t = Suite::V1_7_0)]
    suite: Suite,
    /// Also draws from the files below this folder that name the Gateway API.
    #[arg(long, value_name = "DIR")]
    sample: Option<PathBuf>,
    /// How many are drawn.
    #[arg(long, default_value_t = 100, requires = "sample")]
    count: usize,
    /// Draws the same files again; without it a seed is made up and printed.
    #[arg(long, requires = "sample")]
    seed: Option<u64>,
    /// Asks this binary instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// The verdict on a file, with the lines that say why it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused(Vec<String>),
}

impl Verdict {
    /// No line speaks against it.
    fn of(lines: Vec<String>) -> Self {
        if lines.is_empty() { Self::Accepted } else { Self::Refused(lines) }
    }

    fn lines(&self) -> &[String] {
        match self {
            Self::Accepted => &[],
            Self::Refused(lines) => lines,
        }
    }
}

/// Compares both verdicts; the exit code says whether the project's own files got the verdict
/// of their folder.
///
/// # Errors
/// The API server cannot be started, or one of the two gives no verdict.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "files starts an API server in namespaces of its own: run it as root");
    let sample = args.sample.as_deref().map(|dir| Sample::draw(dir, args.seed, args.count)).transpose()?;
    let sluice = match &args.binary {
        Some(binary) => fs::canonicalize(binary).with_context(|| format!("--binary {}", binary.display()))?,
        None => build_sluice(QUICK)?,
    };
    process::stop_on_ctrl_c()?;
    let cluster = Cluster::of(&format!("files-{}", std::process::id()))?;
    let judged = cluster
        .start(args.suite, Nodes::None, Lifetime::Bound)
        .and_then(|()| check(&Server::ready(&cluster)?, &sluice, sample.as_ref()));
    cluster.end()?;
    Ok(if judged? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// True if the project's own files got the verdict of their folder. Differences over a sample are printed
/// and no failure.
fn check(server: &Server<'_>, sluice: &Path, sample: Option<&Sample>) -> Result<bool> {
    let as_wanted = project_files::check(server, sluice)?;
    if let Some(sample) = sample {
        sample.compare(server, sluice)?;
    }
    Ok(as_wanted)
}
