//! `cargo xtask http2-compare`: heads that are peculiar and frames out of order, read by Sluice, HAProxy, nghttpd and Go's
//! server. Where they differ, a table has the reason.

mod allowed;
mod cases;
mod exchange;
mod fate;
mod sequences;
mod servers;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use gateway_testkit::netns;
use nix::unistd::geteuid;

use crate::cargo::build_sluice;
use crate::go;
use crate::needs::{self, IP};
use crate::peers::programs::{Program, Programs, Source};
use crate::process;
use cases::Case;
use exchange::Verdict;

/// Flags of `http2-compare`.
#[derive(clap::Args)]
pub struct Args {
    /// Pairs of peculiarities, beside each alone.
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Which pairs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tests this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    sluice: Option<PathBuf>,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
}

/// A head or sequence that a server takes another way than Sluice.
struct Difference {
    names: Vec<&'static str>,
    server: &'static str,
    /// Both did this.
    what: String,
}

/// Asks every server for every head and sequence; fails if one differs from Sluice in a way that has no reason.
///
/// # Errors
/// This process is not root, or a server cannot be fetched, built or started.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "http2-compare makes network namespaces: run it as root");
    needs::ensure(&[IP])?;
    let peers = Programs::find(Source::Sid, &[Program::Haproxy, Program::Nghttpd])?;
    let module = go::module("http2-head");
    let go = go::Program { module: &module, package: ".", name: "http2-head", tests: false, ldflags: "" };
    let go = go.build()?;
    let sluice = match &args.sluice {
        Some(sluice) => fs::canonicalize(sluice).with_context(|| format!("--sluice {}", sluice.display()))?,
        None => build_sluice(&args.profile)?,
    };
    process::stop_on_ctrl_c()?;
    let cases = cases::cases(args.seed, args.pairs);
    let count = cases.len();
    let differences = netns::run("http2-compare", move |inside| {
        let mut servers = servers::start(&sluice, &go, &peers, inside)?;
        let mut found = compare(&mut servers, cases)?;
        found.extend(compare_fates(&mut servers)?);
        anyhow::Ok(found)
    })?;
    let (unknown, known): (Vec<_>, Vec<_>) =
        differences.iter().partition(|one| allowed::reason(&one.names, one.server).is_none());
    let reasons: BTreeSet<_> =
        known.iter().filter_map(|one| allowed::reason(&one.names, one.server)).collect();
    let sequences = sequences::sequences().len();
    println!(
        "{count} heads and {sequences} sequences of frames; {} differences, for these reasons:",
        known.len()
    );
    reasons.iter().for_each(|reason| println!("  {reason}"));
    for Difference { names, server, what } in &unknown {
        eprintln!("error: {}: {server}: {what}", cases::name(names));
    }
    Ok(if unknown.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compare(servers: &mut [servers::Server], cases: Vec<Case>) -> Result<Vec<Difference>> {
    let mut found = Vec::new();
    for case in cases {
        process::check_interrupt()?;
        let mut ours = None;
        for server in servers.iter_mut() {
            server.ensure_running()?;
            let theirs = exchange::ask(server.address, &case.head, server.serves_files)?;
            let Some(ours) = &ours else {
                ours = Some(theirs);
                continue;
            };
            let what = match (ours, &theirs) {
                (Verdict::Served(one), Verdict::Served(other)) if server.tells_heads => {
                    let (one, other) = (head(one), head(other));
                    if one == other {
                        continue;
                    }
                    format!("reads {other:?}, Sluice {one:?}")
                }
                (Verdict::Served(_), Verdict::Served(_)) | (Verdict::Refused, Verdict::Refused) => continue,
                (Verdict::Served(_), Verdict::Refused) => "refuses what Sluice serves".to_owned(),
                (Verdict::Refused, Verdict::Served(_)) => "serves what Sluice refuses".to_owned(),
            };
            found.push(Difference { names: case.names.clone(), server: server.name, what });
        }
    }
    Ok(found)
}

fn compare_fates(servers: &mut [servers::Server]) -> Result<Vec<Difference>> {
    let mut found = Vec::new();
    for sequence in sequences::sequences() {
        process::check_interrupt()?;
        let mut ours = None;
        for server in servers.iter_mut() {
            server.ensure_running()?;
            let theirs = fate::ask(server.address, &sequence, server.serves_files)?;
            let ours = *ours.get_or_insert(theirs);
            if ours != theirs {
                let what = format!("{theirs}, Sluice {ours}");
                found.push(Difference { names: vec![sequence.name], server: server.name, what });
            }
        }
    }
    Ok(found)
}

/// A request's line and its fields in order, without those that gateways add and those of the connection.
fn head(text: &str) -> Vec<String> {
    const OWN: [&str; 4] = ["connection", "x-request-id", "forwarded", "via"];
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().to_owned();
    let mut fields: Vec<String> = lines
        .filter_map(|line| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        })
        .filter(|(name, _)| !OWN.contains(&name.as_str()) && !name.starts_with("x-forwarded-"))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    fields.sort();
    [vec![first], fields].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_compared_without_what_gateways_add() {
        let one = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: b\r\nX-A: 1\r\n\r\n";
        let other = "GET / HTTP/1.1\r\nx-a: 1\r\nhost: a\r\nconnection: close\r\n\r\n";
        assert_eq!(head(one), head(other));
        assert_ne!(head(one), head(&one.replace("X-A: 1", "X-A: 2")));
    }
}
