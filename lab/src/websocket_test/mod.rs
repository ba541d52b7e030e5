//! `cargo xtask websocket-test`: Autobahn's client suite against its own echo server, direct and through the gateway in clear
//! text and over TLS. Every verdict must be the same, of the end of connections too.

mod environment;
mod results;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::tls::SelfSigned;
use nix::unistd::geteuid;

use crate::cargo::{build_sluice, must_succeed};
use crate::needs::{self, IP};
use crate::peers::sluice::{self, HEALTH};
use crate::process::{self, Process};
use crate::testbed::wait_until_listening;
use results::Results;

const RESOURCES: &str = include_str!("resources.yaml");
/// Where the server listens. It refuses a `Host` of another port, so the route's filter leaves the port out.
const SERVER: &str = "127.0.0.1:80";
/// The agent that others are held against.
const DIRECT: &str = "direct";
/// Ways to the server, and their URLs. The gateway ends TLS, so the server is the same in clear text.
const AGENTS: [(&str, &str); 2] = [(DIRECT, "ws://127.0.0.1"), ("gateway", "ws://127.0.0.1:8080")];
const OVER_TLS: [(&str, &str); 2] = [AGENTS[0], ("gateway over TLS", "wss://127.0.0.1:8443")];
const EVERY_AGENT: [(&str, &str); 3] = [AGENTS[0], AGENTS[1], OVER_TLS[1]];
/// Framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, and a case of its own.
const CASES: [&str; 8] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];
/// The same in short: an eighth of the cases about UTF-8, of which there are most.
const SHORT: [&str; 8] = ["1.*", "2.*", "3.*", "4.1.*", "5.*", "6.1.*", "7.*", "10.*"];
/// Cases that TLS has a part in, in short: lengths, fragments that come in pieces, and the end of connections.
const SHORT_OVER_TLS: [&str; 4] = ["1.*", "5.*", "7.*", "10.*"];
/// Large messages, and compressed ones.
const ALL: [&str; 3] = ["9.*", "12.*", "13.*"];

/// Ways that are held against each other, and the cases that are made over each of them.
struct Round {
    agents: &'static [(&'static str, &'static str)],
    cases: Vec<&'static str>,
}

/// Flags of `websocket-test`.
#[derive(clap::Args)]
pub struct Args {
    /// Tests this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    sluice: Option<PathBuf>,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Fewer cases, in a minute.
    #[arg(long, conflicts_with = "all")]
    short: bool,
    /// All cases, large and compressed messages included.
    #[arg(long)]
    all: bool,
}

/// Runs the suite and prints its sums; fails if a verdict differs from the direct one.
///
/// # Errors
/// This process is not root, or the gateway or the suite cannot be built or started.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "websocket-test makes network namespaces: run it as root");
    needs::ensure(&[IP])?;
    let python = environment::wstest()?;
    let sluice = match &args.sluice {
        Some(sluice) => fs::canonicalize(sluice).with_context(|| format!("--sluice {}", sluice.display()))?,
        None => build_sluice(&args.profile)?,
    };
    let rounds = match (args.short, args.all) {
        (true, _) => {
            vec![Round::of(&AGENTS, SHORT.to_vec()), Round::of(&OVER_TLS, SHORT_OVER_TLS.to_vec())]
        }
        (_, true) => vec![Round::of(&EVERY_AGENT, [&CASES[..], &ALL].concat())],
        _ => vec![Round::of(&EVERY_AGENT, CASES.to_vec())],
    };
    process::stop_on_ctrl_c()?;
    let results = netns::run("websocket-test", move |inside| judge(&sluice, &python, &rounds, inside))?;
    let mut differences = Vec::new();
    for results in &results {
        for (agent, all, good) in results.sums() {
            println!("Autobahn, {agent}: {good} of {all} cases as they should be");
        }
        differences.extend(results.differences(DIRECT));
    }
    differences.iter().for_each(|difference| eprintln!("error: {difference}"));
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Round {
    fn of(agents: &'static [(&'static str, &'static str)], cases: Vec<&'static str>) -> Self {
        Self { agents, cases }
    }
}

/// Starts the server and the gateway, and has the suite make its cases, round by round.
fn judge(program: &Path, python: &Path, rounds: &[Round], inside: &Inside) -> Result<Vec<Results>> {
    let dir = inside.scratch().path().to_owned();
    let wstest = || {
        let mut command = Command::new(python);
        command.args(["-m", "autobahntestsuite.wstest", "--mode"]).current_dir(&dir);
        command
    };
    let url = format!("ws://{SERVER}");
    let mut server_process = Process::spawn("wstest", &dir, wstest().args(["echoserver", "--wsuri", &url]))?;
    wait_until_listening(&mut server_process, "wstest", SERVER)?;
    let mut gateway = start(program, inside, &dir)?;
    let mut all = Vec::new();
    for (number, Round { agents, cases }) in rounds.iter().enumerate() {
        let server = |(agent, url): &(&str, &str)| serde_json::json!({"agent": agent, "url": url});
        let reports = format!("reports-{number}");
        let spec = serde_json::json!({
            "outdir": reports,
            "servers": agents.iter().map(server).collect::<Vec<_>>(),
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        fs::write(dir.join("spec.json"), spec.to_string())?;
        must_succeed(
            wstest().args(["fuzzingclient", "--spec", "spec.json"]).stdout(std::process::Stdio::null()),
        )?;
        gateway.ensure_running()?;
        server_process.ensure_running()?;
        all.push(Results::read(&dir.join(reports))?);
    }
    Ok(all)
}

fn start(program: &Path, inside: &Inside, dir: &Path) -> Result<Process> {
    sluice::write_config(dir, RESOURCES)?;
    let secret = SelfSigned::new(&["127.0.0.1"]).secret("websocket", "certificate");
    fs::write(sluice::config_dir(dir).join("secret.yaml"), secret)?;
    let mut command = sluice::run(Command::new(program), dir, inside.bpffs());
    command.args(["--workers", "2", "--drain-min", "0s"]);
    command.args(["--health-address", HEALTH, "--metrics-address", "off", "--access-log", "off"]);
    let mut gateway = Process::spawn("sluice", dir, &mut command)?;
    sluice::wait_until_ready(&mut gateway)?;
    Ok(gateway)
}
