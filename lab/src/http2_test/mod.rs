//! `cargo xtask http2-test`: h2spec, then every attack of the test kit with what it cost, over clear text and TLS, then the
//! memory of connections and streams on which nothing happens.
//!
//! While each attack goes on, clients that have nothing to do with it make requests of the same worker.

mod attacks;
mod cost;
mod h2spec;
mod memory;
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
use crate::table::render;
use crate::testbed::raise_open_files;
use attacks::Costs;
use h2spec::Score;
use memory::Held;

/// Descriptors for the connections that are held, and for those of the backend.
const MIN_OPEN_FILES: u64 = 16_384;

/// Flags of `http2-test`.
#[derive(clap::Args)]
pub struct Args {
    /// Tests this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    sluice: Option<PathBuf>,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Does a part alone.
    #[arg(long, value_enum)]
    only: Option<Part>,
}

/// A part of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    H2spec,
    Attacks,
    Memory,
}

/// Runs the judge and the attacks, measures, and prints the tables; fails if a case failed, an attack was not ended within
/// its bounds of frames, CPU time and memory, a neighbour was not served meanwhile, or something holds more than it may.
///
/// # Errors
/// This process is not root, or the gateway or the judge cannot be built or started.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "http2-test makes network namespaces: run it as root");
    needs::ensure(&[IP])?;
    let has = |part| args.only.is_none_or(|only| only == part);
    let judge = has(Part::H2spec).then(h2spec::build).transpose()?;
    let sluice = match &args.sluice {
        Some(sluice) => fs::canonicalize(sluice).with_context(|| format!("--sluice {}", sluice.display()))?,
        None => build_sluice(&args.profile)?,
    };
    let optimised = args.profile == "release";
    // The clients are threads of this process.
    raise_open_files(MIN_OPEN_FILES)?;
    process::stop_on_ctrl_c()?;
    let (attacks, memory) = (has(Part::Attacks), has(Part::Memory));
    let (scores, costs, held) = netns::run("http2-test", move |inside| {
        // One worker: neighbours are those of the attack. No connection that is held is to be ended for its silence.
        let start = || Testbed::with(&sluice, inside, 1, &["--client-idle-timeout", "1h"]);
        let mut testbed = start()?;
        let scores = match judge {
            Some(judge) => vec![score(&judge, HTTP, false)?, score(&judge, HTTPS, true)?],
            None => vec![],
        };
        let costs = if attacks { Some(attacks::run(&mut testbed, optimised)?) } else { None };
        drop(testbed);
        let held = if memory { memory::measure(&mut start()?)? } else { vec![] };
        anyhow::Ok((scores, costs, held))
    })?;
    for score in &scores {
        println!("h2spec --strict over {}: {} of {} passed", score.over(), score.passed, score.total);
    }
    if let Some(costs) = &costs {
        costs.print();
    }
    if memory {
        println!("\n{}", memory_table(&held));
    }
    let of_attacks = costs.iter().flat_map(Costs::failures);
    let failed = scores.iter().flat_map(Score::failures).chain(of_attacks);
    let failures: Vec<String> = failed.chain(held.iter().filter_map(Held::failure)).collect();
    failures.iter().for_each(|failure| eprintln!("error: {failure}"));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn score(judge: &Path, port: u16, tls: bool) -> Result<Score> {
    process::check_interrupt()?;
    h2spec::run(judge, port, tls)
}

fn memory_table(held: &[Held]) -> String {
    let rows = held.iter().map(|held| {
        vec![
            held.name.to_owned(),
            held.count.to_string(),
            held.bytes.to_string(),
            held.most.to_string(),
            (held.left / 1024).to_string(),
            format!("{:.1}", held.returned.as_secs_f64()),
        ]
    });
    render(["held", "count", "bytes each", "at most", "left KiB", "after s"], &[0], rows)
}
