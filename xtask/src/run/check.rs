//! `cargo xtask run --check`: the scenario's requests, made with curl, with their responses compared.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail, ensure};
use gateway_testkit::{http, scratch::Scratch};
use sluice_tooling::scenario;

use super::stack::{Output, Stack};
use super::{example, rights};

pub(crate) fn run(sluice: &Path, bpffs: Option<&Path>) -> Result<ExitCode> {
    let state = Scratch::new("check")?;
    let done = checked(sluice, &state, bpffs);
    if let Err(e) = &done {
        eprintln!("error: {e:#}");
        for name in ["backend.log", "gateway.log"] {
            eprintln!("--- {name}\n{}", fs::read_to_string(state.join(name)).unwrap_or_default());
        }
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn checked(sluice: &Path, state: &Scratch, bpffs: Option<&Path>) -> Result<()> {
    let stack = Stack::start(sluice, &example(), state.path(), bpffs, Output::Files)?;
    let base = stack.base_url()?;
    let bases = [base.clone(), base.replace("127.0.0.1", "[::1]")];
    let mut asked = 0;
    for base in &bases {
        asked += scenario::check(base, || Ok(Command::new("curl")))?;
    }
    let steered = steered_connections()?;
    match rights::may_load_programs()? {
        true => ensure!(steered >= asked, "{asked} connections were made and sk_lookup steered {steered}"),
        false => println!("no BPF rights here: served without kernel programs"),
    }
    stack.stop()?;
    if let Some(bpffs) = bpffs {
        let left = walk(&bpffs.join("sluice"))?;
        ensure!(left.is_empty(), "pins were left behind: {left:?}");
    }
    println!(
        "check: {asked} requests served as they should be, {steered} connections steered, nothing left behind"
    );
    Ok(())
}

/// Connections that the kernel program counted, from the gateway's own metrics.
fn steered_connections() -> Result<u64> {
    let metrics = http::get("127.0.0.1:19001".parse()?, "localhost", "/metrics")?.text();
    let line = metrics.lines().find(|line| {
        line.starts_with("sluice_steering_verdicts_total{") && line.contains("verdict=\"steered\"")
    });
    match line.and_then(|line| line.rsplit(' ').next()) {
        Some(value) => Ok(value.parse::<f64>().map(|v| v as u64)?),
        None => Ok(0),
    }
}

/// Every file below a directory, which need not be there.
fn walk(dir: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if !dir.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(walk(&entry.path())?);
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    if found.len() > 1000 {
        bail!("more than 1,000 files in {}", dir.display());
    }
    Ok(found)
}
