//! `cargo xtask clients`: the responses that the clients people use did not see.
//!
//! Each client makes each case that it can make, over clear text and each version of TLS, through a gateway
//! in a network namespace of its own. A client saw a response if it has the right status and the whole
//! content; all else is lost.

mod backend;
mod call;
mod case;
mod chromium;
mod client;
mod content;
mod curl;
mod h2load;
mod job;
mod nghttp;
mod observation;
mod openssl;
mod pipes;
mod program;
mod programs;
mod python;
mod result;
mod script;
mod selection;
mod table;
mod testbed;
mod transport;
mod wget;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use gateway_testkit::netns;
use nix::unistd::geteuid;
use serde::Serialize;

use crate::cargo::build_sluice;
use crate::needs::{self, IP};
use crate::process;
use client::Client;
use job::Job;
use observation::Observation;
use program::Program;
use result::{CaseResult, ClientStatus};
use selection::Selection;
pub(crate) use testbed::{HOST, HTTP, HTTPS, Testbed};
use transport::Transport;

/// Flags of `clients`.
#[derive(clap::Args)]
pub struct Args {
    /// Clients to run, cases to make, or both, by name; all by default. One that is named must be installed.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// How often each client makes each case.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    tries: u32,
    /// Sizes of uploads and downloads, in MB.
    #[arg(long, value_delimiter = ',', value_name = "MB", default_value = "5",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    sizes: Vec<u32>,
    /// Installs heavy clients as well: Python, Node, Java and Chromium.
    #[arg(long)]
    all: bool,
    /// Tests this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    sluice: Option<PathBuf>,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Writes what was found there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Everything that was found.
#[derive(Serialize)]
struct Report<'a> {
    clients: &'a [ClientStatus],
    #[serde(rename = "findings")]
    results: &'a [CaseResult],
}

/// A client that was found, and what it has to do.
struct Plan {
    client: &'static Client,
    program: Program,
    jobs: Vec<Job>,
}

/// Runs every client and prints the tables; fails if a client did not see a response.
///
/// # Errors
/// This process is not root, an argument is wrong, or the gateway or a client cannot be started.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "clients makes network namespaces: run it as root");
    let selection = Selection::of(&args.only)?;
    needs::ensure(&[IP])?;
    programs::install(args.all);
    let (statuses, plans) = plan(args, &selection)?;
    let sluice = match &args.sluice {
        Some(sluice) => fs::canonicalize(sluice).with_context(|| format!("--sluice {}", sluice.display()))?,
        None => build_sluice(&args.profile)?,
    };
    process::stop_on_ctrl_c()?;
    let results = netns::run("clients", move |inside| judge(&sluice, inside, &plans))?;
    table::print(&statuses, &results);
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&Report { clients: &statuses, results: &results })? + "\n";
        fs::write(path, json).with_context(|| format!("--json {}", path.display()))?;
    }
    let failures = result::failures(&statuses, &results);
    println!();
    failures.iter().for_each(|failure| eprintln!("error: {failure}"));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Finds the clients that were chosen and says what each has to do.
fn plan(args: &Args, selection: &Selection) -> Result<(Vec<ClientStatus>, Vec<Plan>)> {
    let sizes: Vec<usize> = args.sizes.iter().map(|size| *size as usize * 1_000_000).collect();
    let (mut statuses, mut plans) = (Vec::new(), Vec::new());
    for client in selection.clients() {
        let program = programs::find(client.name).with_context(|| format!("finding {}", client.name))?;
        statuses.push(ClientStatus {
            client: client.name,
            version: program.as_ref().map(|program| program.version.clone()),
            source: client.source,
            named: selection.names(client),
        });
        if let Some(program) = program {
            plans.push(Plan { client, program, jobs: selection.jobs(client, &sizes, args.tries) });
        }
    }
    Ok((statuses, plans))
}

fn judge(sluice: &Path, inside: &netns::Inside, plans: &[Plan]) -> Result<Vec<CaseResult>> {
    let mut testbed = Testbed::start(sluice, inside)?;
    let mut results = Vec::new();
    for Plan { client, program, jobs } in plans {
        println!("{}", client.name);
        for transport in Transport::ALL {
            let jobs: Vec<Job> = jobs.iter().filter(|job| job.transport == *transport).cloned().collect();
            if jobs.is_empty() {
                continue;
            }
            let tries = client.run(&testbed, program, *transport, &jobs)?;
            testbed
                .ensure_running()
                .with_context(|| format!("with {} over {}", client.name, transport.name()))?;
            results.extend(jobs.iter().enumerate().map(|(number, job)| of(client.name, number, job, &tries)));
        }
    }
    Ok(results)
}

/// The finding of one job among the tries of all.
fn of(client: &'static str, number: usize, job: &Job, tries: &[(usize, Observation)]) -> CaseResult {
    CaseResult::of(client, job, tries.iter().filter(|(of, _)| *of == number).map(|(_, seen)| seen))
}
