//! `cargo xtask crash-test`: what is lost by `kill -9` of the gateway under a supervisor, and how long until
//! traffic flows again.

mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use gateway_testkit::crash::{CrashRun, Verdict};
use gateway_testkit::netns;
use nix::unistd::geteuid;

use crate::cargo::{build_sluice, workspace};
use crate::needs::{self, IP};
use crate::peers::sluice::{Io, Steering};
use crate::process::{self, Process};
use crate::testbed::wait_until_listening;

/// Flags of `crash-test`.
#[derive(clap::Args)]
pub struct Args {
    /// How often the gateway is killed in each set-up.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Clients with one request at a time, every other one on a kept connection.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Requests that must be served between two kills.
    #[arg(long, default_value_t = 500)]
    between: u64,
    /// Steering to run with.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Steering::Ebpf, Steering::Reuseport])]
    steering: Vec<Steering>,
    /// I/O to run with.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Io::Uring, Io::Epoll])]
    io: Vec<Io>,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
}

/// The example's listener and backend, in a namespace of our own.
const LISTEN: &str = "127.0.0.1:80";
const BACKEND: &str = "127.0.0.1:8000";

/// Runs each set-up in turn and prints one table; fails if a request was lost for no reason.
///
/// # Errors
/// This process is not root, or the gateway cannot be built, started or killed.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "crash-test makes network namespaces: run it as root");
    needs::ensure(&[IP])?;
    let sluice = build_sluice(&args.profile)?;
    process::stop_on_ctrl_c()?;
    let mut rows = Vec::new();
    for steering in &args.steering {
        for io in &args.io {
            let (steering, io) = (steering.name(), io.name());
            println!("{steering}/{io}: {} kills", args.kills);
            let verdict = run_case(args, &sluice, steering, io)?;
            rows.push((format!("{steering}/{io}"), verdict));
            process::check_interrupt()?;
        }
    }
    table::print(&rows);
    let clean = rows.iter().all(|(_, verdict)| verdict.lost.is_empty());
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_case(args: &Args, sluice: &Path, steering: &str, io: &str) -> Result<Verdict> {
    let crash_run =
        CrashRun { to: LISTEN.parse()?, kills: args.kills, clients: args.clients, between: args.between };
    let flags = ["--steering", steering, "--io", io, "--access-log", "off"].map(str::to_owned);
    let sluice = sluice.to_owned();
    netns::run("crash", move |inside| {
        let dir = inside.scratch().path();
        let mut backend = Command::new(&sluice);
        backend.args(["echo", "--listen", BACKEND]);
        let mut backend = Process::spawn("backend", dir, &mut backend)?;
        wait_until_listening(&mut backend, "the backend", BACKEND)?;
        let (state, bpffs) = (dir.join("state"), inside.bpffs().to_owned());
        let gateway = move || command(&sluice, &state, &bpffs, &flags);
        crash_run.run(gateway).context("the gateway")
    })
}

fn command(sluice: &Path, state: &PathBuf, bpffs: &Path, flags: &[String]) -> Command {
    let mut command = Command::new(sluice);
    command.arg("run").arg(workspace().join("examples/shared-gateway"));
    command.arg("--state-dir").arg(state).arg("--bpffs").arg(bpffs).args(flags);
    // The example lies where it was checked out, which may be closed to other users.
    command.args(["--user", "keep"]);
    command
}
