//! A controller over a copy of the example, and a node that follows it.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part, and there is nobody to publish to

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::{http, wait};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{SLUICE, example, get, pair, start_backend, wait_until_ready};

pub const CONTROLLER_HEALTH: &str = "127.0.0.1:15022";
pub const CONTROLLER_METRICS: &str = "127.0.0.1:19002";
/// The example's route, and what its backend says there.
pub const TARGET: &str = "/httpbin/get";

/// A controller, a node and a backend.
pub struct Roles<'a> {
    pub inside: &'a Inside,
    pub config: Scratch,
    pub controller: Option<Guarded>,
    pub node: Guarded,
    backend: Guarded,
}

pub fn controller_state(inside: &Inside) -> PathBuf {
    inside.scratch().join("controller")
}

pub fn socket(inside: &Inside) -> PathBuf {
    controller_state(inside).join("nodes.sock")
}

pub fn start_controller(inside: &Inside, config: &Path, flags: &[&str]) -> Guarded {
    let mut command = Command::new(SLUICE);
    command.arg("controller").arg(config).arg("--state-dir").arg(controller_state(inside));
    command
        .args(["--health-address", CONTROLLER_HEALTH, "--metrics-address", CONTROLLER_METRICS])
        .args(flags);
    let controller = Guarded::spawn(&mut command).unwrap();
    let health = CONTROLLER_HEALTH.parse().unwrap();
    wait::until("the controller", || {
        http::get(health, "localhost", "/healthz/ready").ok().filter(|response| response.status == 200)
    });
    controller
}

pub fn node_command(inside: &Inside, state: &Path) -> Command {
    let mut command = Command::new(SLUICE);
    command.arg("node").arg("--controller").arg(socket(inside)).arg("--bpffs").arg(inside.bpffs());
    command.arg("--state-dir").arg(state).args(["--node-name", "edge-1", "--reason-header", "always"]);
    // Rings count against the locked memory of the user that all nodes of all tests go on as.
    command.args(["--ring-entries", "256"]);
    command.args(pair::flags(&[]));
    command
}

pub fn start_node(inside: &Inside, environment: &[(&str, &str)]) -> Guarded {
    let mut command = node_command(inside, &inside.scratch().join("state"));
    command.envs(environment.iter().copied());
    let mut node = Guarded::spawn(&mut command).unwrap();
    wait_until_ready(&mut node);
    node
}

pub fn with_roles(
    label: &str,
    environment: &'static [(&str, &str)],
    body: impl FnOnce(Roles<'_>) + Send + 'static,
) {
    netns::run(label, move |inside| {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&example()).unwrap();
        let backend = start_backend();
        let controller = Some(start_controller(inside, config.path(), &[]));
        let node = start_node(inside, environment);
        body(Roles { inside, config, controller, node, backend });
    });
}

impl Roles<'_> {
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.config.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        self.config.write(file, &text.replace(from, to)).unwrap();
    }

    #[track_caller]
    pub fn until_status(&self, target: &str, status: u16) -> http::Response {
        wait::until(&format!("{status} for {target}; the node says:\n{}", self.node.output()), || {
            get(target).ok().filter(|response| response.status == status)
        })
    }

    pub fn stop_controller(&mut self) {
        let mut controller = self.controller.take().unwrap();
        controller.signal(Signal::SIGKILL).unwrap();
        controller.wait();
    }
}

pub fn controller_metrics() -> String {
    http::get(CONTROLLER_METRICS.parse().unwrap(), "localhost", "/metrics").unwrap().text()
}

/// `sluice status -o json` of a state directory.
pub fn status(dir: &Path) -> Value {
    let output =
        Command::new(SLUICE).args(["status", "-o", "json", "--state-dir"]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", super::text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}
