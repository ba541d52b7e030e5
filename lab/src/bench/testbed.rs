//! The testbed of a target: a network namespace with its backend, and the load when it is its turn.
//!
//! A namespace belongs to the thread that made it, so each testbed is a thread that takes tasks.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gateway_testkit::netns::{self, Inside};

use super::cost::{cost, resident_kib};
use super::load::{LoadReport, Loader, write_script};
use super::scenario::Scenario;
use super::start::{start_backend, wait_until_served, write_certificate};
use super::target::{Programs, Target};
use crate::peers::resources::HOST;
use crate::peers::{self, Role, Setup};
use crate::process::{Process, until};
use crate::testbed::{BACKEND_ADDRESS, LISTEN_ADDRESS};

/// Figures of one turn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measurement {
    pub(super) load: LoadReport,
    /// CPU time per request, user and system.
    pub(super) cpu: Duration,
    pub(super) resident_kib: u64,
}

/// Parameters of a testbed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) programs: Programs,
    /// The proxy has the first, load and backend have the second.
    pub(super) cpus: [usize; 2],
    /// Its configuration, and its load.
    pub(super) scenario: &'static Scenario,
}

/// A running target.
pub(super) struct Testbed {
    tasks: Option<Sender<Task>>,
    results: Receiver<Result<Measurement>>,
    thread: Option<JoinHandle<()>>,
}

enum Task {
    /// Load for so long, and so long before it that is not counted.
    Measure { warm: Duration, time: Duration },
    /// Memory with so many idle connections, over TLS of this version.
    Hold { connections: usize, version: Option<&'static str> },
}

impl Testbed {
    /// Starts backend and target, and waits until it responds.
    pub(super) fn start(plan: Plan) -> Result<Self> {
        let (tasks, queued) = channel();
        let (reports, results) = channel();
        let thread = thread::spawn(move || {
            netns::run("bench", move |inside| {
                let mut running = match Running::start(&plan, inside) {
                    Ok(running) => {
                        // A receiver that is gone wants nothing any more, here and below.
                        let _ = reports.send(Ok(Measurement::default()));
                        running
                    }
                    Err(error) => {
                        let _ = reports.send(Err(error));
                        return;
                    }
                };
                for task in queued {
                    let done = running.execute(task).with_context(|| plan.target.name().to_owned());
                    if reports.send(done).is_err() {
                        return;
                    }
                }
            });
        });
        let mut testbed = Self { tasks: Some(tasks), results, thread: Some(thread) };
        testbed.result()?;
        Ok(testbed)
    }

    /// One turn under load.
    pub(super) fn measure(&mut self, warm: Duration, time: Duration) -> Result<Measurement> {
        self.run_task(Task::Measure { warm, time })
    }

    /// Resident memory without and with so many idle connections, in KiB.
    pub(super) fn hold(&mut self, connections: usize, version: Option<&'static str>) -> Result<[u64; 2]> {
        let before = self.run_task(Task::Hold { connections: 0, version })?.resident_kib;
        Ok([before, self.run_task(Task::Hold { connections, version })?.resident_kib])
    }

    fn run_task(&mut self, task: Task) -> Result<Measurement> {
        let tasks = self.tasks.as_ref().context("the testbed is being taken down")?;
        tasks.send(task).map_err(|_| anyhow!("the testbed is gone"))?;
        self.result()
    }

    fn result(&mut self) -> Result<Measurement> {
        self.results.recv().map_err(|_| anyhow!("the testbed is gone"))?
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        // Ends the thread's loop, and with it all that it has started.
        self.tasks.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Running {
    dir: PathBuf,
    bench: PathBuf,
    load_cpu: usize,
    proxy: Process,
    backend: Process,
    scenario: &'static Scenario,
    turns: u32,
}

impl Running {
    fn start(plan: &Plan, inside: &Inside) -> Result<Self> {
        let dir = inside.scratch().path().to_owned();
        let [cpu, load_cpu] = plan.cpus;
        let setup = Setup {
            dir: dir.clone(),
            bpffs: inside.bpffs().to_owned(),
            listen: LISTEN_ADDRESS.parse()?,
            backend: BACKEND_ADDRESS.parse()?,
            cpu: Some(cpu),
            role: Role::Measured(plan.scenario.traffic),
            peers: plan.programs.peers.clone(),
        };
        setup.peers.enter(inside)?;
        if let Some(key) = plan.scenario.key {
            write_certificate(&setup, key)?;
        }
        let backend = start_backend(&setup, plan.scenario, &plan.programs.bench, load_cpu)?;
        let mut command = plan.target.command(&setup, &plan.programs, plan.scenario.is_many())?;
        let mut proxy = Process::spawn("proxy", &dir, &mut command)?;
        wait_until_served(&mut proxy, &setup, plan.scenario, plan.target)?;
        write_script(&dir, plan.scenario.load)?;
        let (bench, scenario) = (plan.programs.bench.clone(), plan.scenario);
        Ok(Self { dir, bench, load_cpu, proxy, backend, scenario, turns: 0 })
    }

    fn execute(&mut self, task: Task) -> Result<Measurement> {
        self.backend.ensure_running()?;
        self.proxy.ensure_running()?;
        match task {
            Task::Measure { warm, time } => {
                self.load(warm)?;
                let (output, spent) = self.load(time)?;
                let advice = || format!("in a turn of {time:?}: write more --seconds where others are busy");
                let load = self.loader(time).report(&output).with_context(advice)?;
                ensure!(load.requests > 0, "no request had a response: {output}");
                let requests = u32::try_from(load.requests).context("more requests than can be")?;
                Ok(Measurement { load, cpu: spent / requests, resident_kib: resident_kib(self.proxy.pid())? })
            }
            Task::Hold { connections, version } => {
                let holder = (connections > 0).then(|| self.hold(connections, version)).transpose()?;
                let resident_kib = self.settled_kib()?;
                drop(holder);
                Ok(Measurement { resident_kib, ..Measurement::default() })
            }
        }
    }

    fn loader(&self, time: Duration) -> Loader {
        Loader::new(self.scenario, &self.bench, &self.dir, time, self.load_cpu)
    }

    /// Has the load run for so long; gives what its program printed, and the CPU time that the proxy spent.
    fn load(&mut self, time: Duration) -> Result<(String, Duration)> {
        self.turns += 1;
        let mut loader = self.loader(time);
        let mut before = cost(self.proxy.pid())?;
        let mut load = Process::spawn(&format!("load-{}", self.turns), &self.dir, &mut loader.command)?;
        if let Some(opened) = loader.opened {
            until("the connections of the load are open", || {
                load.ensure_running()?;
                Ok(load.output().contains(opened).then_some(()))
            })?;
            before = cost(self.proxy.pid())?;
        }
        load.wait_for_success()?;
        Ok((load.output(), cost(self.proxy.pid())? - before))
    }

    /// Resident memory once it falls no more: what connections do not need while they are quiet goes
    /// back step by step.
    fn settled_kib(&self) -> Result<u64> {
        let mut last = u64::MAX;
        for _ in 0..10 {
            thread::sleep(Duration::from_secs(3));
            let now = resident_kib(self.proxy.pid())?;
            if now + now / 200 >= last {
                return Ok(now);
            }
            last = now;
        }
        Ok(last)
    }

    fn hold(&mut self, connections: usize, version: Option<&str>) -> Result<Process> {
        let mut command = peers::program(&self.bench, Some(self.load_cpu));
        command.args(["hold", "--to", LISTEN_ADDRESS, "--target", "/app/100"]);
        command.args(["--connections", &connections.to_string()]);
        if let Some(version) = version {
            command.args(["--tls", version, "--host", HOST]).arg("--trust").arg(self.dir.join("tls.crt"));
        }
        let mut holder = Process::spawn("hold", &self.dir, &mut command)?;
        until("idle connections are held", || {
            holder.ensure_running()?;
            Ok(holder.output().contains("holding").then_some(()))
        })?;
        Ok(holder)
    }
}
