//! `cargo xtask http2-test`: h2spec over clear text and TLS, then every attack of the test kit with what it cost.
//!
//! Beside each attack a client that has nothing to do with it makes a request.

mod cost;
mod h2spec;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use gateway_testkit::http2::attacks::{Attack, FLOODS, HEADS, PROVOKED_RESETS};
use gateway_testkit::netns;
use nix::unistd::geteuid;

use crate::cargo::build_sluice;
use crate::clients::{HTTP, HTTPS, Testbed};
use crate::needs::{self, IP};
use crate::process;
use crate::table::render;
use cost::Cost;
use h2spec::Score;

/// Most frames that an attack sends.
const MAX_FRAMES: usize = 10_000;

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

/// Runs the judge and the attacks and prints both tables; fails if a case failed, an attack was not ended, or a
/// neighbour was not served.
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
    process::stop_on_ctrl_c()?;
    let (scores, costs) = netns::run("http2-test", move |inside| {
        let mut testbed = Testbed::start(&sluice, inside)?;
        let scores = [score(&judge, HTTP, false)?, score(&judge, HTTPS, true)?];
        let costs = attack(&mut testbed)?;
        anyhow::Ok((scores, costs))
    })?;
    for score in &scores {
        println!("h2spec --strict over {}: {} of {} passed", score.over(), score.passed, score.total);
    }
    println!("\n{}", table(&costs));
    let failures: Vec<String> =
        scores.iter().flat_map(Score::failures).chain(costs.iter().filter_map(Cost::failure)).collect();
    failures.iter().for_each(|failure| eprintln!("error: {failure}"));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn score(judge: &Path, port: u16, tls: bool) -> Result<Score> {
    process::check_interrupt()?;
    h2spec::run(judge, port, tls)
}

fn attack(testbed: &mut Testbed) -> Result<Vec<Cost>> {
    let to = SocketAddr::from(([127, 0, 0, 1], HTTP));
    let all = FLOODS.iter().chain(PROVOKED_RESETS).chain(HEADS);
    all.map(|attack: &Attack| {
        process::check_interrupt()?;
        testbed.ensure_running()?;
        cost::of(attack, to, testbed.pid(), MAX_FRAMES)
    })
    .collect()
}

fn table(costs: &[Cost]) -> String {
    let rows = costs.iter().map(|cost| {
        let code = cost.ended.goaway.map_or_else(|| "–".to_owned(), |code| code.to_string());
        vec![
            cost.name.to_owned(),
            cost.ended.frames.to_string(),
            if cost.ended.closed { "closed" } else { "open" }.to_owned(),
            code,
            format!("{:.2}", cost.cpu.as_secs_f64()),
            cost.rss_kib.to_string(),
            cost.neighbour
                .map_or_else(|| "not served".to_owned(), |time| format!("{:.1}", time.as_secs_f64() * 1e3)),
        ]
    });
    render(["attack", "frames", "end", "GOAWAY", "CPU s", "RSS +KiB", "neighbour ms"], &[0, 2], rows)
}
