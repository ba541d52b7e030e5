//! `cargo xtask bench edits`: how soon a change is in force, from the event of the watch that tells of it.
//!
//! The API server is the one of the tests, in this process: the time at which an event leaves it is known. It takes no
//! statuses, so nothing but the change itself is going on.

mod objects;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use gateway_testkit::apiserver::ApiServer;
use gateway_testkit::http::Client;
use gateway_testkit::netns::{self, Inside};
use nix::unistd::geteuid;

use crate::bars::{Bars, Edits};
use crate::cargo::build_sluice;
use crate::needs::{self, IP};
use crate::process::{self, Process, check_interrupt, until};
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
/// The log line of a version that all workers have, and the filter that shows it.
const PUBLISHED: &str = "published";
const LOG: &str = "info,gateway_control::reconcile=debug";
const DAY: Duration = Duration::from_hours(24);

/// Times, each from the event of the watch; sorted.
struct Figures {
    /// Until all workers route by a change.
    routes: Vec<Duration>,
    /// The part of that in which tables were compiled.
    compiling: Vec<Duration>,
    /// Until nothing accepts where a listener was.
    listeners: Vec<Duration>,
}

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
        let api = ApiServer::start(&objects::KINDS)?;
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
        let log = node.stderr();
        let published: Vec<Duration> = log.lines().filter_map(published_at).collect();
        // The first is that of everything.
        let mut compiling: Vec<Duration> = log.lines().filter_map(compile_time).skip(1).collect();
        let mut routes = changes
            .iter()
            .map(|event| first_after(&published, *event).context("a change that was never published"))
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
            command.arg(role).arg("--state-dir").arg(dir.join(state)).args(["--log", LOG]);
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
            events.push(time_of_day()?);
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

fn time_of_day() -> Result<Duration> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Duration::new(since.as_secs() % DAY.as_secs(), since.subsec_nanos()))
}

/// The time of day in a log line, `2026-01-02T03:04:05.678901Z`, if it tells of a version that all workers have.
fn published_at(line: &str) -> Option<Duration> {
    let (stamp, rest) = line.split_once(' ')?;
    if !rest.contains(PUBLISHED) {
        return None;
    }
    let (_, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    let mut parts = time.splitn(3, ':');
    let (hours, minutes) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
    let seconds = parts.next()?.parse::<f64>().ok().filter(|seconds| (0.0..61.0).contains(seconds))?;
    Some(Duration::from_secs(3600 * hours + 60 * minutes) + Duration::from_secs_f64(seconds))
}

/// The time that such a line gives for compiling.
fn compile_time(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once("compile_us=")?;
    rest.split_whitespace().next()?.parse().ok().map(Duration::from_micros)
}

/// From an event to the first of these times of day that is not before it; midnight may be between.
fn first_after(times: &[Duration], event: Duration) -> Option<Duration> {
    let after = |time: &Duration| if *time >= event { *time - event } else { *time + DAY - event };
    times.iter().map(after).min().filter(|after| *after < DAY / 2)
}

impl Figures {
    fn judge(&self, bars: &Edits, routes: usize) -> ExitCode {
        let rows = [
            ("a route's change until all workers have it", &self.routes, bars.route_ms),
            ("a listener's removal until nothing accepts", &self.listeners, bars.listener_removal_ms),
        ];
        let mut ended = ExitCode::SUCCESS;
        println!("{routes} routes, milliseconds from the watch event:");
        let compiling = (at(&self.compiling, 50), at(&self.compiling, 99));
        println!(
            "  tables of a change compiled in {:.2} (p50), {:.2} (p99)",
            ms(compiling.0),
            ms(compiling.1)
        );
        for (what, times, bar) in rows {
            let (p50, p99) = (at(times, 50), at(times, 99));
            println!("  {what}: {:.2} (p50), {:.2} (p99) of {}", ms(p50), ms(p99), times.len());
            if p99 > bar.milliseconds() {
                eprintln!("error: {what}: more than {bar} ms");
                ended = ExitCode::FAILURE;
            }
        }
        ended
    }
}

/// The time that so many hundredths of all do not exceed.
fn at(sorted: &[Duration], hundredths: usize) -> Duration {
    let at = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_published_versions_are_read_and_laid_beside_events() {
        let line = "2026-01-02T23:59:59.999000Z DEBUG published generation=3 compile_us=5";
        let at = published_at(line).unwrap();
        assert_eq!((DAY - at).as_micros(), 1000);
        assert_eq!(compile_time(line), Some(Duration::from_micros(5)));
        assert_eq!(published_at(&line.replace(PUBLISHED, "prepared")), None);
        for broken in ["published", "x published", "2026-01-02T23:59Z published", "T1:2:99Z published"] {
            assert_eq!(published_at(broken), None, "{broken}");
        }
        let seconds = Duration::from_secs;
        let times = [seconds(10), seconds(20), seconds(1)];
        assert_eq!(first_after(&times, seconds(10)), Some(seconds(0)));
        assert_eq!(first_after(&times, seconds(11)), Some(seconds(9)));
        assert_eq!(first_after(&times, DAY - seconds(2)), Some(seconds(3)), "midnight");
        assert_eq!(first_after(&times, seconds(21)), None, "that is the day before");
        assert_eq!(first_after(&[], seconds(1)), None);
    }

    #[test]
    fn bars_are_held_against_the_ninety_ninth_of_a_hundred() {
        let bars = Bars::read().unwrap().edits;
        let some = |last: crate::bars::Bar| vec![Duration::ZERO, last.milliseconds()];
        let judge = |routes: Vec<Duration>, listeners: Vec<Duration>| {
            Figures { routes, compiling: Vec::new(), listeners }.judge(&bars, 1)
        };
        let (route, listener) = (some(bars.route_ms), some(bars.listener_removal_ms));
        let more = |times: &[Duration]| times.iter().map(|time| *time + Duration::from_micros(1)).collect();
        let text = |code: ExitCode| format!("{code:?}");
        let (good, bad) = (text(ExitCode::SUCCESS), text(ExitCode::FAILURE));
        assert_eq!(text(judge(route.clone(), listener.clone())), good);
        assert_eq!(text(judge(more(&route), listener.clone())), bad);
        assert_eq!(text(judge(route, more(&listener))), bad);
    }
}
