//! The testbed of a target: a network namespace with its backend, and the load when it is its turn.
//!
//! A namespace belongs to the thread that made it, so each testbed is a thread that takes tasks.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use gateway_testkit::netns::{self, Inside};

use super::cost::{cost, resident_kib};
use super::target::{Programs, Target};
use crate::peers::resources::{HOSTS, PATHS};
use crate::peers::{self, Role, Setup, nginx};
use crate::process::{Process, until};
use crate::testbed::{BACKEND_ADDRESS, LISTEN_ADDRESS, wait_for_response};
use crate::wrk::{self, LoadSpec, WrkReport};

/// Figures of one turn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measurement {
    pub(super) wrk: WrkReport,
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
    pub(super) log: bool,
    pub(super) many: bool,
}

/// A running target.
pub(super) struct Testbed {
    tasks: Option<Sender<Task>>,
    results: Receiver<Result<Measurement>>,
    thread: Option<JoinHandle<()>>,
}

enum Task {
    /// Load for so long, and so long before it that is not counted.
    Measure { load: LoadSpec, warm: Duration, time: Duration },
    /// Memory with so many idle connections, after the same without.
    Hold { connections: usize },
}

/// A host that has a route in every scenario.
const HOST: &str = "h0.example";

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
    pub(super) fn measure(&mut self, load: &LoadSpec, warm: Duration, time: Duration) -> Result<Measurement> {
        self.run_task(Task::Measure { load: load.clone(), warm, time })
    }

    /// Resident memory without and with so many idle connections, in KiB.
    pub(super) fn hold(&mut self, connections: usize) -> Result<[u64; 2]> {
        let before = self.run_task(Task::Hold { connections: 0 })?.resident_kib;
        Ok([before, self.run_task(Task::Hold { connections })?.resident_kib])
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
    wrks: u32,
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
            role: Role::Measured { access_log: plan.log },
        };
        let mut command = nginx::file_server(&dir, setup.backend, load_cpu)?;
        let mut backend = Process::spawn("backend", &dir, &mut command)?;
        wait_for_response(&mut backend, setup.backend, HOST, "/100")?;
        let mut command = plan.target.command(&setup, &plan.programs, plan.many)?;
        let mut proxy = Process::spawn("proxy", &dir, &mut command)?;
        let request_path = if plan.many { "/app/0/100" } else { "/app/100" };
        wait_for_response(&mut proxy, setup.listen, HOST, request_path)?;
        if plan.many {
            wrk::many(&dir, HOSTS, PATHS)?;
        }
        Ok(Self { dir, bench: plan.programs.bench.clone(), load_cpu, proxy, backend, wrks: 0 })
    }

    fn execute(&mut self, task: Task) -> Result<Measurement> {
        self.backend.ensure_running()?;
        self.proxy.ensure_running()?;
        match task {
            Task::Measure { load, warm, time } => {
                self.load(&load, warm)?;
                let before = cost(self.proxy.pid())?;
                let wrk = self.load(&load, time)?;
                let spent = cost(self.proxy.pid())? - before;
                let requests = u32::try_from(wrk.requests).context("more requests than can be")?;
                Ok(Measurement { wrk, cpu: spent / requests, resident_kib: resident_kib(self.proxy.pid())? })
            }
            Task::Hold { connections } => {
                let holder = (connections > 0).then(|| self.hold(connections)).transpose()?;
                let resident_kib = self.settled_kib()?;
                drop(holder);
                Ok(Measurement { resident_kib, ..Measurement::default() })
            }
        }
    }

    fn load(&mut self, load: &LoadSpec, time: Duration) -> Result<WrkReport> {
        self.wrks += 1;
        let mut load = load.clone();
        load.script = load.script.map(|script| self.dir.join(script));
        let mut command = load.command(LISTEN_ADDRESS, time, self.load_cpu);
        let mut wrk = Process::spawn(&format!("wrk-{}", self.wrks), &self.dir, &mut command)?;
        wrk.wait_for_success()?;
        WrkReport::parse(&wrk.output())
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

    fn hold(&mut self, connections: usize) -> Result<Process> {
        let mut command = peers::program(&self.bench, Some(self.load_cpu));
        command.args(["hold", "--to", LISTEN_ADDRESS, "--target", "/app/100"]);
        command.args(["--connections", &connections.to_string()]);
        let mut holder = Process::spawn("hold", &self.dir, &mut command)?;
        until("idle connections are held", || {
            holder.ensure_running()?;
            Ok(holder.output().contains("holding").then_some(()))
        })?;
        Ok(holder)
    }
}
