//! `cargo xtask grpc-test`: every case of gRPC's interop suite direct, then through the gateway in clear text and over
//! TLS. A case that passes direct must pass both ways.

mod interop;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::tls::SelfSigned;
use nix::unistd::geteuid;

use crate::cargo::build_sluice;
use crate::needs::{self, IP};
use crate::peers::sluice::{self, HEALTH};
use crate::process::{self, Process};
use crate::table::render;
use interop::{CASES, HOST, Interop, Outcome, Way};

/// The ports of resources.yaml.
const HTTP: u16 = 8080;
const HTTPS: u16 = 8443;
const RESOURCES: &str = include_str!("resources.yaml");

/// Flags of `grpc-test`.
#[derive(clap::Args)]
pub struct Args {
    /// Tests this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    sluice: Option<PathBuf>,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Runs these cases only.
    #[arg(long, value_name = "CASE", value_delimiter = ',')]
    only: Vec<String>,
}

/// One case's outcomes: direct, in clear text, over TLS.
struct Row {
    case: String,
    outcomes: [Outcome; 3],
}

/// Runs the cases and prints a table; fails if one that passes direct does not pass through the gateway.
///
/// # Errors
/// This process is not root, a case is none, or something cannot be built or started.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "grpc-test makes network namespaces: run it as root");
    needs::ensure(&[IP])?;
    let cases = cases(&args.only)?;
    let interop = Interop::build()?;
    let sluice = match &args.sluice {
        Some(sluice) => fs::canonicalize(sluice).with_context(|| format!("--sluice {}", sluice.display()))?,
        None => build_sluice(&args.profile)?,
    };
    process::stop_on_ctrl_c()?;
    let rows = netns::run("grpc-test", move |inside| judge(&interop, &sluice, inside, &cases))?;
    println!("{}", table(&rows));
    let failures: Vec<_> = rows.iter().flat_map(Row::failures).collect();
    failures.iter().for_each(|failure| eprintln!("error: {failure}"));
    ensure!(rows.iter().any(|row| row.outcomes[0].failure.is_none()), "no case passes direct");
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cases(only: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = only.iter().find(|case| !CASES.contains(&case.as_str())) {
        anyhow::bail!("--only {unknown}: no such case; there are {}", CASES.join(", "));
    }
    let chosen = CASES.into_iter().filter(|case| only.is_empty() || only.iter().any(|one| one == case));
    Ok(chosen.map(str::to_owned).collect())
}

fn judge(
    interop: &Interop,
    program: &std::path::Path,
    inside: &Inside,
    cases: &[String],
) -> Result<Vec<Row>> {
    let dir = inside.scratch().path().to_owned();
    let mut server = interop.serve(&dir)?;
    sluice::write_config(&dir, RESOURCES)?;
    let certificate = SelfSigned::new(&[HOST]);
    let authority = dir.join("ca.pem");
    fs::write(&authority, &certificate.certificate)?;
    fs::write(sluice::config_dir(&dir).join("secret.yaml"), certificate.secret("calls", "certificate"))?;
    let mut command = sluice::run(Command::new(program), &dir, inside.bpffs());
    command.args(["--workers", "2", "--drain-min", "0s"]);
    command.args(["--health-address", HEALTH, "--metrics-address", "off", "--access-log", "off"]);
    let mut gateway = Process::spawn("sluice", &dir, &mut command)?;
    sluice::wait_until_ready(&mut gateway)?;
    let mut rows = Vec::new();
    for case in cases {
        process::check_interrupt()?;
        server.ensure_running()?;
        gateway.ensure_running()?;
        let ways = [Way::Direct, Way::ClearText(HTTP), Way::Tls(HTTPS, &authority)];
        let [direct, clear, tls] = ways.map(|way| interop.run(case, way));
        rows.push(Row { case: case.clone(), outcomes: [direct?, clear?, tls?] });
    }
    Ok(rows)
}

impl Row {
    /// Failures of a case that passes direct.
    fn failures(&self) -> Vec<String> {
        let [direct, clear, tls] = &self.outcomes;
        if direct.failure.is_some() {
            return Vec::new();
        }
        let named = [("in clear text", clear), ("over TLS", tls)];
        let failed = named.into_iter().filter_map(|(way, outcome)| Some((way, outcome.failure.as_ref()?)));
        failed.map(|(way, said)| format!("{} {way}: {said}", self.case)).collect()
    }
}

fn table(rows: &[Row]) -> String {
    let cell = |outcome: &Outcome| match outcome.failure {
        None => format!("passed in {:.2} s", outcome.took.as_secs_f64()),
        Some(_) => "failed".to_owned(),
    };
    let rows = rows.iter().map(|row| {
        let [direct, clear, tls] = &row.outcomes;
        vec![row.case.clone(), cell(direct), cell(clear), cell(tls)]
    });
    render(["case", "direct", "clear text", "TLS"], &[0, 1, 2, 3], rows)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_passes_direct_must_pass_through_the_gateway() {
        let outcome =
            |failed: bool| Outcome { took: Duration::ZERO, failure: failed.then(|| "no".to_owned()) };
        let row = |outcomes: [bool; 3]| Row { case: "c".to_owned(), outcomes: outcomes.map(outcome) };
        assert!(row([true, true, true]).failures().is_empty());
        assert!(row([false, false, false]).failures().is_empty());
        assert_eq!(row([false, true, false]).failures(), ["c in clear text: no"]);
        assert_eq!(row([false, true, true]).failures().len(), 2);
    }

    #[test]
    fn cases_are_chosen_by_name() {
        assert_eq!(cases(&[]).unwrap().len(), CASES.len());
        assert_eq!(cases(&["ping_pong".to_owned()]).unwrap(), ["ping_pong"]);
        assert!(cases(&["pong".to_owned()]).is_err());
    }
}
