//! gRPC's own interop client and server, and the cases that they agree on
//! (grpc's `doc/interop-test-descriptions.md`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::go::{self, Program};
use crate::process::Process;
use crate::testbed::wait_until_listening;

/// Where the server listens, as the resources say.
const ADDRESS: &str = "127.0.0.1:10000";
/// The name in the gateway's certificate.
pub(super) const HOST: &str = "grpc.example.test";

/// Every case that needs one server and no account of anybody's cloud. The four streaming forms are `large_unary`, `client_streaming`,
/// `server_streaming` and `ping_pong`.
pub(super) const CASES: [&str; 18] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "orca_per_rpc",
    "orca_oob",
    "rpc_soak",
    "channel_soak",
];

/// The client's settings for the cases of backend metrics, by their description.
const METRICS_CONFIG: &str = r#"{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}"#;

/// Both programs.
#[derive(Clone)]
pub(super) struct Interop {
    client: PathBuf,
    server: PathBuf,
}

/// The way to the server.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    Direct,
    ClearText(u16),
    /// With the certificate that is trusted.
    Tls(u16, &'a Path),
}

/// A case's outcome.
pub(super) struct Outcome {
    pub(super) took: Duration,
    /// The client's last line if it failed.
    pub(super) failure: Option<String>,
}

impl Interop {
    /// Builds both.
    ///
    /// # Errors
    /// Go is missing, or a build fails.
    pub(super) fn build() -> Result<Self> {
        let module = go::module("grpc");
        let build =
            |package, name| Program { module: &module, package, name, tests: false, ldflags: "" }.build();
        Ok(Self {
            client: build("google.golang.org/grpc/interop/client", "grpc-interop-client")?,
            server: build("google.golang.org/grpc/interop/server", "grpc-interop-server")?,
        })
    }

    /// Starts the server.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn serve(&self, dir: &Path) -> Result<Process> {
        let port = ADDRESS.rsplit(':').next().unwrap_or_default();
        let mut server =
            Process::spawn("interop-server", dir, Command::new(&self.server).arg("-port").arg(port))?;
        wait_until_listening(&mut server, "the interop server", ADDRESS)?;
        Ok(server)
    }

    /// Runs one case.
    ///
    /// # Errors
    /// The client cannot be started.
    pub(super) fn run(&self, case: &str, way: Way<'_>) -> Result<Outcome> {
        let mut command = Command::new(&self.client);
        command.args(["-test_case", case, "-server_host", "127.0.0.1"]);
        if case.starts_with("orca_") {
            command.args(["-service_config_json", METRICS_CONFIG]);
        }
        let port = match way {
            Way::Direct => "10000".to_owned(),
            Way::ClearText(port) => port.to_string(),
            Way::Tls(port, ca) => {
                command.args(["-use_tls", "-use_test_ca", "-server_host_override", HOST, "-ca_file"]).arg(ca);
                port.to_string()
            }
        };
        let began = Instant::now();
        let output = command
            .args(["-server_port", &port])
            .output()
            .with_context(|| format!("starting {}", self.client.display()))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        let failure = (!output.status.success()).then(|| last.to_owned());
        Ok(Outcome { took: began.elapsed(), failure })
    }
}
