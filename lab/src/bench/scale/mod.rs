//! `cargo xtask bench scale`: what many routes on a real API server cost, and how soon a change of
//! one is served.

mod api;
mod objects;
mod run;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use gateway_testkit::scratch::Scratch;
use nix::unistd::geteuid;

use crate::bars::{Bars, Scale};
use crate::cargo::{build_binary, build_sluice};
use crate::process;
use run::Figures;
use sluice_cluster::conformance::gateway::Roles;
use sluice_cluster::handle::Cluster;
use sluice_cluster::launch::Lifetime;
use sluice_cluster::machines::Nodes;
use sluice_cluster::version::Suite;

/// Flags of `bench scale`.
#[derive(clap::Args)]
pub struct Args {
    /// Numbers of routes, each with a host and a path of its own, each on a fresh cluster.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 5000])]
    routes: Vec<usize>,
    /// Routes that are changed one after another.
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Measures this gateway instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Writes the figures there as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The processes that the gateway is made of.
    #[arg(long, value_enum, default_value_t)]
    roles: Roles,
}

struct Programs {
    sluice: PathBuf,
    bench: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "bench scale makes namespaces: run it as root");
    let bars = Bars::read()?.scale;
    ensure!(args.changes > 0 && !args.routes.contains(&0), "nothing to measure with 0 changes or 0 routes");
    let programs = Programs {
        bench: build_binary("sluice-bench", &args.profile)?,
        sluice: match &args.binary {
            Some(binary) => {
                fs::canonicalize(binary).with_context(|| format!("--binary {}", binary.display()))?
            }
            None => build_sluice(&args.profile)?,
        },
    };
    process::stop_on_ctrl_c()?;
    let mut all_figures = Vec::new();
    for routes in &args.routes {
        let scratch = Scratch::new("scale")?;
        all_figures.push(measure(args, &programs, scratch.path(), *routes)?);
    }
    print(&all_figures);
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_string_pretty(&all_figures)? + "\n")
            .with_context(|| format!("--json {}", path.display()))?;
    }
    let failures: Vec<_> = all_figures.iter().flat_map(|figures| failures(&bars, figures)).collect();
    for failure in &failures {
        eprintln!("error: {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(args: &Args, programs: &Programs, dir: &Path, routes: usize) -> Result<Figures> {
    let cluster = Cluster::of(&format!("scale-{}", std::process::id()))?;
    let found = cluster
        .start(Suite::REFERENCE, Nodes::None, Lifetime::Bound)
        .and_then(|()| run::run(args, programs, &cluster, dir, routes));
    cluster.end()?;
    found
}

/// Reasons for which the run fails.
fn failures(bars: &Scale, figures: &Figures) -> Vec<String> {
    let mut all = Vec::new();
    if figures.lost > 0 {
        all.push(format!(
            "{} routes: {} of {} requests were lost",
            figures.routes, figures.lost, figures.sent
        ));
    }
    let (of_node, node) = match figures.controller {
        Some(_) => (bars.node_kib_per_route, " of the node"),
        None => (bars.run_kib_per_route, ""),
    };
    let of_node = (Some(figures.kib_per_route()), of_node, node);
    let of_controller =
        (figures.controller_kib_per_route(), bars.controller_kib_per_route, " of the controller");
    for (each, most, whose) in [of_node, of_controller] {
        if let Some(each) = each.filter(|each| *each > most.figure()) {
            all.push(format!("{} routes: {each:.1} KiB{whose} for each, more than {most}", figures.routes));
        }
    }
    all
}

impl Figures {
    fn kib_per_route(&self) -> f64 {
        self.rss_kib.saturating_sub(self.rss_empty_kib) as f64 / self.routes as f64
    }

    fn controller_kib_per_route(&self) -> Option<f64> {
        let [empty, full] = self.controller?;
        Some(full.saturating_sub(empty) as f64 / self.routes as f64)
    }

    /// A change's time at so many hundredths of all of them, in milliseconds.
    fn change_ms(&self, hundredths: usize) -> f64 {
        let at = (self.change_us.len() * hundredths).div_ceil(100).saturating_sub(1);
        self.change_us.get(at).map_or(0.0, |us| *us as f64 / 1000.0)
    }
}

fn print(all_figures: &[Figures]) {
    for f in all_figures {
        println!("\n{} routes", f.routes);
        println!(
            "  cold start: all served after {} ms, all accepted after {} ms",
            f.cold_served_ms, f.cold_status_ms
        );
        println!(
            "  one change to its first correct response: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms ({} changes)",
            f.change_ms(50),
            f.change_ms(99),
            f.change_ms(100),
            f.change_us.len()
        );
        println!(
            "  memory: {:.1} MiB, {:.1} MiB with one route: {:.2} KiB for each",
            f.rss_kib as f64 / 1024.0,
            f.rss_empty_kib as f64 / 1024.0,
            f.kib_per_route()
        );
        if let (Some(each), Some([empty, full])) = (f.controller_kib_per_route(), f.controller) {
            let (full, empty) = (full as f64 / 1024.0, empty as f64 / 1024.0);
            println!(
                "  memory of the controller: {full:.1} MiB, {empty:.1} MiB with one route: {each:.2} KiB for each"
            );
        }
        println!(
            "  status writes: {} at the start, {} for the changes; {} other writes meanwhile",
            f.cold_status_writes, f.change_status_writes, f.other_writes
        );
        println!(
            "  client beside: {} requests, {} lost, p99 {:.1} ms",
            f.sent,
            f.lost,
            f.steady_p99_us as f64 / 1000.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_and_memory_are_judged_and_times_are_read_off() {
        let good = Figures {
            routes: 100,
            cold_served_ms: 0,
            cold_status_ms: 0,
            change_us: (1..=200).map(|n| n * 1000).collect(),
            rss_empty_kib: 10_000,
            rss_kib: 10_900,
            controller: None,
            cold_status_writes: 0,
            change_status_writes: 0,
            other_writes: 0,
            sent: 1000,
            lost: 0,
            steady_p99_us: 0,
        };
        assert_eq!((good.change_ms(50), good.change_ms(99), good.change_ms(100)), (100.0, 198.0, 200.0));
        let bars = Bars::read().unwrap().scale;
        let failures = |figures: &Figures| failures(&bars, figures).len();
        assert_eq!(failures(&good), 0);
        assert_eq!(failures(&Figures { lost: 1, ..good.clone() }), 1);
        assert_eq!(failures(&Figures { rss_kib: 11_100, ..good.clone() }), 1);
        let apart = |node: u64, controller: u64| Figures {
            rss_kib: 10_000 + node,
            controller: Some([0, controller]),
            ..good.clone()
        };
        assert_eq!(failures(&apart(400, 800)), 0);
        assert_eq!((failures(&apart(401, 800)), failures(&apart(400, 801))), (1, 1));
    }
}
