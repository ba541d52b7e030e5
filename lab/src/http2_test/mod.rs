//! `cargo xtask http2-test`: h2spec, then every attack of the test kit with what it cost, over clear text and TLS.
//!
//! While each attack goes on, clients that have nothing to do with it make requests of the same worker.

mod attacks;
mod cost;
mod h2spec;
mod neighbour;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use gateway_testkit::netns;
use nix::unistd::geteuid;

use crate::cargo::build_sluice;
use crate::clients::{HTTP, HTTPS, Testbed};
use crate::needs::{self, IP};
use crate::process;
use h2spec::Score;

/// Flags of `http2-test`.
#[derive(clap::Args)]
pub struct Args {
    /// Tests this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    sluice: Option<PathBuf>,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
}

/// Runs the judge and the attacks and prints both tables; fails if a case failed, an attack was not ended within its
/// bounds of frames, CPU time and memory, or a neighbour was not served meanwhile.
///
/// # Errors
/// This process is not root, or the gateway or the judge cannot be built or started.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "http2-test makes network namespaces: run it as root");
    needs::ensure(&[IP])?;
    let judge = h2spec::build()?;
    let sluice = match &args.sluice {
        Some(sluice) => fs::canonicalize(sluice).with_context(|| format!("--sluice {}", sluice.display()))?,
        None => build_sluice(&args.profile)?,
    };
    let optimised = args.profile == "release";
    process::stop_on_ctrl_c()?;
    let (scores, costs) = netns::run("http2-test", move |inside| {
        // One worker: neighbours are those of the attack.
        let mut testbed = Testbed::start_with(&sluice, inside, 1)?;
        let scores = [score(&judge, HTTP, false)?, score(&judge, HTTPS, true)?];
        let costs = attacks::run(&mut testbed, optimised)?;
        anyhow::Ok((scores, costs))
    })?;
    for score in &scores {
        println!("h2spec --strict over {}: {} of {} passed", score.over(), score.passed, score.total);
    }
    costs.print();
    let failures: Vec<String> = scores.iter().flat_map(Score::failures).chain(costs.failures()).collect();
    failures.iter().for_each(|failure| eprintln!("error: {failure}"));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn score(judge: &Path, port: u16, tls: bool) -> Result<Score> {
    process::check_interrupt()?;
    h2spec::run(judge, port, tls)
}
