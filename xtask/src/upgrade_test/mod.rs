//! `cargo xtask upgrade-test`: are requests lost while a proxy is replaced?
//!
//! Each proxy runs in a network namespace of its own, between the judge's clients and its backend (`sluice-bench`),
//! with wrk beside them, and is replaced again and again the way its operators would.

mod clients;
mod contender;
mod course;
mod haproxy;
mod nginx;
mod proxy;
mod sluice;
mod table;
mod wrk;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use gateway_testkit::netns;
use nix::unistd::geteuid;
use serde::Serialize;

use crate::cargo::{build_binary, build_sluice};
use crate::needs::{self, IP, WRK};
use crate::process;
use clients::ClientMode;
use contender::{Contender, Peer};
use course::{Course, Outcome};
use sluice::{Io, Steering};

/// Flags of `upgrade-test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each proxy is replaced, evenly over its run.
    #[arg(long, default_value_t = 20)]
    upgrades: u32,
    /// Short requests for each proxy, divided between keep-alive and per-connection clients; transfers come on top.
    #[arg(long, default_value_t = 200_000)]
    requests: u64,
    /// Short requests per second, all clients together.
    #[arg(long, default_value_t = 2500.0)]
    rate: f64,
    /// Proxies to judge.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    peer: Vec<Peer>,
    /// Clients, all at once.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = ClientMode::ALL)]
    mode: Vec<ClientMode>,
    /// Steering that Sluice is judged with.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Steering::Ebpf, Steering::Reuseport])]
    steering: Vec<Steering>,
    /// I/O that Sluice is judged with.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Io::Uring, Io::Epoll])]
    io: Vec<Io>,
    /// Connections of wrk beside the clients; 0 runs no wrk.
    #[arg(long, default_value_t = 8)]
    wrk_connections: u32,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Writes the JSON there instead of printing it.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What became of one proxy.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    proxy: String,
    variant: String,
    /// Absent if the run itself failed.
    outcome: Option<Outcome>,
    error: Option<String>,
}

/// Judges each proxy in turn; fails if Sluice lost anything, or if a run did not come to its end.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "upgrade-test makes network namespaces: run it as root");
    ensure!(args.rate.is_finite() && args.rate > 0.0, "--rate {}: write a positive number", args.rate);
    let contenders = contender::chosen(&args.peer, &args.steering, &args.io);
    let mut wanted = vec![IP, WRK];
    wanted.extend(contenders.iter().filter_map(Contender::need));
    needs::ensure(&wanted)?;
    let bench = build_binary("sluice-bench", &args.profile)?;
    let sluice = match contenders.iter().any(Contender::is_sluice) {
        true => Some(build_sluice(&args.profile)?),
        false => None,
    };
    process::stop_on_ctrl_c()?;
    let course = Course {
        bench,
        sluice,
        upgrades: args.upgrades,
        clients: clients::plan(&args.mode, args.requests, args.rate, args.upgrades),
        wrk_connections: args.wrk_connections,
    };
    let mut findings = Vec::new();
    for contender in contenders {
        println!("{contender}: {} upgrades, about {} s", args.upgrades, course.length().as_secs());
        findings.push(judge(&course, contender));
        process::check_interrupt()?;
    }
    table::print(&findings);
    let json = serde_json::to_string_pretty(&findings)?;
    match &args.json {
        Some(path) => fs::write(path, json + "\n").with_context(|| format!("--json {}", path.display()))?,
        None => println!("\n{json}"),
    }
    Ok(verdict(&findings, args.upgrades))
}

fn judge(course: &Course, contender: Contender) -> Finding {
    let course = course.clone();
    let outcome = netns::run("upgrade", move |inside| course.run(contender, inside));
    let (proxy, variant) = (contender.name().to_owned(), contender.variant());
    match outcome {
        Ok(outcome) => Finding { proxy, variant, outcome: Some(outcome), error: None },
        Err(error) => {
            eprintln!("{contender}: {error:#}");
            Finding { proxy, variant, outcome: None, error: Some(format!("{error:#}")) }
        }
    }
}

fn verdict(findings: &[Finding], upgrades: u32) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for finding in findings {
        if let Some(complaint) = finding.complaint(upgrades) {
            eprintln!("error: {} {}: {complaint}", finding.proxy, finding.variant);
            code = ExitCode::FAILURE;
        }
    }
    code
}

impl Finding {
    /// Peers may lose requests: that is their finding. Sluice may not, and nobody may fail to run.
    fn complaint(&self, upgrades: u32) -> Option<String> {
        let Some(outcome) = &self.outcome else {
            return Some("did not come to the end of its run".to_owned());
        };
        if outcome.under_load < upgrades {
            return Some(format!("{} of {upgrades} upgrades were under load", outcome.under_load));
        }
        match outcome.lost() {
            lost if lost > 0 && self.proxy == contender::SLUICE => Some(format!("lost {lost} requests")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::wrk::WrkReport;
    use super::*;

    fn finding(proxy: &str, read_errors: u64) -> Finding {
        let wrk = Some(WrkReport { read_errors, ..WrkReport::default() });
        let outcome = Outcome { upgrades: Vec::new(), under_load: 2, clients: Vec::new(), wrk };
        Finding { proxy: proxy.to_owned(), variant: String::new(), outcome: Some(outcome), error: None }
    }

    #[test]
    fn sluice_may_lose_nothing_and_nobody_may_fail_to_run() {
        assert_eq!(finding("sluice", 0).complaint(2), None);
        assert!(finding("sluice", 1).complaint(2).is_some());
        assert_eq!(finding("nginx", 1).complaint(2), None);
        for proxy in ["sluice", "nginx"] {
            assert!(finding(proxy, 0).complaint(3).is_some(), "an upgrade came too late to be judged");
            assert!(Finding { outcome: None, ..finding(proxy, 0) }.complaint(2).is_some());
        }
    }
}
