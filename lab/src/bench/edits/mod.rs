//! `cargo xtask bench edits`: how soon a change is in force, from the event of the watch that tells of it.
//!
//! The API server is the one of the tests, in this process: the time at which an event leaves it is known. It takes no
//! statuses, so nothing but the change itself is going on.

mod figures;
mod log;
mod objects;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gateway_testkit::apiserver::{ApiServer, READ_KINDS};
use gateway_testkit::http::Client;
use gateway_testkit::netns::{self, Inside};
use nix::unistd::geteuid;

use crate::bars::Bars;
use crate::cargo::build_sluice;
use crate::needs::{self, IP};
use crate::process::{self, Process, check_interrupt, until};
use figures::Figures;
use objects::{EXTRA_PORT, GATEWAYS, PORT, ROUTES};
use sluice_cluster::conformance::gateway::Roles;

/// Flags of `bench edits`.
#[derive(clap::Args)]
pub struct Args {
    /// Routes, each with a host and a path of its own.
    #[arg(long, default_value_t = 5000)]
    routes: usize,
    /// Routes that are changed one after another.
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Times that a listener is added and removed.
    #[arg(long, default_value_t = 20)]
    listeners: usize,
    /// The cargo profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Measures this gateway instead of building one.
    #[arg(long, value_name = "FILE")]
    sluice: Option<PathBuf>,
    /// The processes that the gateway is made of.
    #[arg(long, value_enum, default_value_t)]
    roles: Roles,
}

/// Between two changes.
const CHANGE_INTERVAL: Duration = Duration::from_millis(100);
/// Between two looks at what is in force.
const POLL_INTERVAL: Duration = Duration::from_micros(200);

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(geteuid().is_root(), "bench edits makes a network namespace: run it as root");
    ensure!(
        args.routes > 0 && args.changes > 0 && args.listeners > 0,
        "nothing to measure with 0 of something"
    );
    let bars = Bars::read()?.edits;
    needs::ensure(&[IP])?;
    let sluice = match &args.sluice {
        Some(file) => fs::canonicalize(file).with_context(|| format!("--sluice {}", file.display()))?,
        None => build_sluice(&args.profile)?,
    };
    process::stop_on_ctrl_c()?;
    let plan = Plan {
        sluice,
        roles: args.roles,
        routes: args.routes,
        changes: args.changes,
        listeners: args.listeners,
    };
    let figures = netns::run("edits", move |inside| plan.measure(inside))?;
    Ok(figures.judge(&bars, args.routes))
}

/// The parts of the flags that count inside of the namespace.
struct Plan {
    sluice: PathBuf,
    roles: Roles,
    routes: usize,
    changes: usize,
    listeners: usize,
}

impl Plan {
    fn measure(&self, inside: &Inside) -> Result<Figures> {
        let api = ApiServer::start(&READ_KINDS)?;
        objects::put_all(&api, self.routes);
        let (mut node, _controller) = self.start(inside, &api.kubeconfig()?)?;
        let mut client = until("the gateway accepts", || {
            node.ensure_running()?;
            Ok(Client::connect(SocketAddr::from(([127, 0, 0, 1], PORT))).ok())
        })?;
        let last = self.routes - 1;
        until_routed(&mut client, last, &objects::first_path(last))?;
        println!(
            "{} routes: {} changes, {} removals of a listener",
            self.routes, self.changes, self.listeners
        );
        let changes = self.change_routes(&api, &mut client)?;
        let text = node.stderr();
        let published: Vec<Duration> = text.lines().filter_map(log::published_at).collect();
        // The first is that of everything.
        let mut compiling: Vec<Duration> = text.lines().filter_map(log::compile_time).skip(1).collect();
        let mut routes = changes
            .iter()
            .map(|event| log::first_after(&published, *event).context("a change that was never published"))
            .collect::<Result<Vec<_>>>()?;
        let mut listeners = self.remove_listeners(&api)?;
        node.ensure_running()?;
        [&mut routes, &mut compiling, &mut listeners].into_iter().for_each(|times| times.sort_unstable());
        Ok(Figures { routes, compiling, listeners })
    }

    fn start(&self, inside: &Inside, kubeconfig: &Path) -> Result<(Process, Option<Process>)> {
        let dir = inside.scratch().path();
        let quiet = |role: &str, state: &str| {
            let mut command = Command::new(&self.sluice);
            command.arg(role).arg("--state-dir").arg(dir.join(state)).args(["--log", log::FILTER]);
            command.args(["--health-address", "off", "--metrics-address", "off"]);
            command
        };
        let source = ("--kubeconfig", kubeconfig.to_owned());
        let (role, source, controller) = match self.roles {
            Roles::Together => ("run", source, None),
            Roles::Apart => {
                let mut command = quiet("controller", "controller");
                let controller = Process::spawn("controller", dir, command.arg(source.0).arg(source.1))?;
                ("node", ("--controller", dir.join("controller/nodes.sock")), Some(controller))
            }
            // The server here judges no tokens.
            Roles::Network => bail!("--roles network: edits are measured together or apart"),
        };
        let mut command = quiet(role, "state");
        command.arg(source.0).arg(source.1).arg("--bpffs").arg(inside.bpffs());
        Ok((Process::spawn("sluice", dir, &mut command)?, controller))
    }

    /// Changes routes one after another; gives the time of day of each event.
    fn change_routes(&self, api: &ApiServer, client: &mut Client) -> Result<Vec<Duration>> {
        let mut events = Vec::new();
        for change in 0..self.changes {
            check_interrupt()?;
            // A prime step goes through all routes before one comes again.
            let number = change * 7919 % self.routes;
            let path = format!("/moved-{change}");
            let object = objects::route(number, &path, change + 2);
            events.push(log::time_of_day()?);
            api.put(ROUTES, object);
            until_routed(client, number, &path)?;
            sleep(CHANGE_INTERVAL);
        }
        Ok(events)
    }

    /// Adds a listener and takes it away again, some times; gives how long each was there after the event.
    fn remove_listeners(&self, api: &ApiServer) -> Result<Vec<Duration>> {
        let to = SocketAddr::from(([127, 0, 0, 1], EXTRA_PORT));
        let mut took = Vec::new();
        for round in 0..self.listeners {
            check_interrupt()?;
            let version = 2 * round + 2;
            api.put(GATEWAYS, objects::gateway(&[PORT, EXTRA_PORT], version));
            until("the listener is there", || Ok(TcpStream::connect(to).is_ok().then_some(())))?;
            sleep(CHANGE_INTERVAL);
            let event = Instant::now();
            api.put(GATEWAYS, objects::gateway(&[PORT], version + 1));
            until("the listener is gone", || {
                sleep(POLL_INTERVAL);
                Ok(TcpStream::connect(to).is_err().then_some(()))
            })?;
            took.push(event.elapsed());
            sleep(CHANGE_INTERVAL);
        }
        Ok(took)
    }
}

/// Asks until there is a route: without one the response is 404.
fn until_routed(client: &mut Client, number: usize, path: &str) -> Result<()> {
    let host = objects::host(number);
    until(&format!("http://{host}{path} has a route"), || {
        let response = client.get(&host, path).with_context(|| format!("http://{host}{path}"))?;
        if response.status != 404 {
            return Ok(Some(()));
        }
        sleep(POLL_INTERVAL);
        Ok(None)
    })
}
