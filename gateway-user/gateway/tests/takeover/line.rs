//! One gateway after the other in a namespace of its own.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part, and there is nobody to publish to

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gateway_testkit::http;
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;

use crate::common::steady::SteadyClients;
use crate::common::{Running, spawn_gateway_with};

/// Ends quickly where nothing is under way, and waits for what is.
pub const DRAIN: [&str; 4] = ["--drain-min", "0s", "--drain-max", "25s"];

/// One gateway after the other in a namespace.
pub struct Line<'a> {
    pub inside: &'a Inside,
    pub running: Running,
}

/// Serves the example in a fresh namespace with these flags.
pub fn with_line(
    label: &str,
    flags: &'static [&'static str],
    body: impl FnOnce(&mut Line<'_>) + Send + 'static,
) {
    netns::run(label, move |inside| {
        let running = Running::start(inside, &[flags, &DRAIN].concat());
        body(&mut Line { inside, running });
    });
}

impl Line<'_> {
    /// Starts another gateway on the same state directory and does not wait.
    pub fn spawn(&self, flags: &[&str], environment: &[(&str, &str)]) -> Guarded {
        let flags = [flags, &DRAIN].concat();
        spawn_gateway_with(self.inside, self.running.config.path(), &flags, environment)
    }

    /// Starts the next gateway and waits until it has taken over and the one before has ended well.
    #[track_caller]
    pub fn upgrade(&mut self, flags: &[&str]) -> Guarded {
        let old = self.begin_upgrade(flags);
        ended_well(old)
    }

    /// Starts the next gateway and waits until it has taken over; gives the one before, which drains.
    #[track_caller]
    pub fn begin_upgrade(&mut self, flags: &[&str]) -> Guarded {
        self.begin_upgrade_with(flags, &[])
    }

    /// The same with variables in its environment.
    #[track_caller]
    pub fn begin_upgrade_with(&mut self, flags: &[&str], environment: &[(&str, &str)]) -> Guarded {
        let new = self.spawn(flags, environment);
        self.succeeded_by(new)
    }

    /// Waits until this process has taken over; gives the one before.
    #[track_caller]
    pub fn succeeded_by(&mut self, mut new: Guarded) -> Guarded {
        new.wait_for_output("took over from sluice");
        std::mem::replace(&mut self.running.gateway, new)
    }

    /// Where pins are now. A process that is to take over has an empty directory already; killed, it leaves
    /// that to the next.
    pub fn pin_directories(&self) -> Vec<PathBuf> {
        let of = |dir: &Path| {
            let entries =
                fs::read_dir(dir).map(|entries| entries.flatten().map(|e| e.path()).collect::<Vec<_>>());
            entries.unwrap_or_default()
        };
        let mut found: Vec<_> =
            of(&self.inside.bpffs().join("sluice")).iter().flat_map(|version| of(version)).collect();
        found.retain(|dir| !of(dir).is_empty());
        found.sort();
        found
    }
}

/// Waits for its end, which must be a good one.
#[track_caller]
pub fn ended_well(mut gateway: Guarded) -> Guarded {
    let ended = gateway.wait();
    assert!(ended.success(), "{ended}: {}", gateway.output());
    gateway
}

/// True if traffic is wanted.
pub fn ready() -> bool {
    let health: SocketAddr = "127.0.0.1:15021".parse().unwrap();
    http::get(health, "a", "/healthz/ready").is_ok_and(|response| response.status == 200)
}

/// A stop in a process that a test ends: it holds for as long as the file is there.
pub struct StopPoint {
    file: PathBuf,
    fault: String,
}

impl StopPoint {
    /// Closed, at this point of a take-over.
    pub fn closed(inside: &Inside, point: &str) -> Self {
        let file = inside.scratch().join(&format!("gate-{point}"));
        fs::write(&file, "").unwrap();
        let fault = format!("takeover:{point}@{}", file.display());
        Self { file, fault }
    }

    /// The word that plants it.
    pub fn fault(&self) -> &str {
        &self.fault
    }

    /// Lets the process go on.
    pub fn open(&self) {
        fs::remove_file(&self.file).unwrap();
    }
}

/// The gateway that is there serves as before and can be taken over from; nothing of the failed one stays.
pub fn serves_on(line: &mut Line<'_>, flags: &[&str], pins: &[PathBuf]) {
    let steady = SteadyClients::start(crate::common::HTTP);
    assert_eq!(line.pin_directories(), pins);
    let other = "127.0.0.1:8099";
    // Its configuration still follows the directory.
    line.running.edit("gateway.yaml", "port: 80\n", "port: 8099\n");
    wait::until("the new port", || {
        http::get(other.parse().unwrap(), "a", "/httpbin/get").ok().filter(|response| response.status == 200)
    });
    line.running.edit("gateway.yaml", "port: 8099\n", "port: 80\n");
    line.running.wait_for_status("/httpbin/get", 200);
    drop(steady);
    let steady = SteadyClients::start(crate::common::HTTP);
    line.upgrade(flags);
    steady.wait_for_more(50);
    steady.must_be_clean();
}
