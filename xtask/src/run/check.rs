//! `cargo xtask run --check`: the scenario's requests, made with curl, with their responses compared.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use gateway_testkit::{http, scratch::Scratch};
use serde_json::Value;

use super::stack::{Output, Stack};
use super::{example, rights};

/// A request path and what must come of it: a status, and the URL path that the backend saw.
const CASES: &[(&str, u16, Option<&str>)] = &[
    ("/httpbin/get", 200, Some("/get")),
    ("/httpbin/get?a=1&b=%20x", 200, Some("/get?a=1&b=%20x")),
    ("/httpbin", 200, Some("/")),
    ("/httpbin/", 200, Some("/")),
    ("/httpbin?q=1", 200, Some("/?q=1")),
    ("/httpbin//get", 200, Some("/get")),
    ("/httpbinx", 404, None),
    ("/", 404, None),
    ("/httpbin/status/418", 418, None),
];

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
        for (target, status, seen) in CASES {
            check_one(&format!("{base}{target}"), *status, *seen)?;
            asked += 1;
        }
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

fn check_one(url: &str, status: u16, seen: Option<&str>) -> Result<()> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--globoff", "--path-as-is", "--max-time", "30"])
        .args(["--write-out", "\n%{http_code}", url])
        .output()
        .context("starting curl")?;
    ensure!(output.status.success(), "curl {url}: {}", String::from_utf8_lossy(&output.stderr).trim());
    let text = String::from_utf8_lossy(&output.stdout);
    let (body, code) = text.rsplit_once('\n').context("curl printed no status")?;
    println!("curl {url} → {code}");
    ensure!(code == status.to_string(), "curl {url}: expected {status}, got {code}: {body}");
    if let Some(path) = seen {
        let document: Value = serde_json::from_str(body).with_context(|| format!("curl {url}: {body}"))?;
        let url_seen = document["url"].as_str().unwrap_or_default();
        ensure!(
            url_seen.strip_prefix("http://").and_then(|rest| rest.find('/').map(|at| &rest[at..]))
                == Some(path),
            "curl {url}: the backend should have seen {path}, it saw {url_seen}"
        );
    }
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
