//! iperf3: a connection that says what the others are for, and one or several that send as fast as they can.

use std::process::Command;

use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use serde_json::Value;

use crate::common::{metric, text, with_gateway};
use crate::{is_installed, tcp};

/// Bytes of a run.
const BYTES: u64 = 100_000_000;

/// Bytes that the receiver of a run got, by its own count.
fn received(arguments: &[&str]) -> Option<u64> {
    let mut command = Command::new("iperf3");
    command.args(["--client", "127.0.0.1", "--port", "5201", "--json", "--connect-timeout", "1000"]);
    let output = command.args(["--bytes", &BYTES.to_string()]).args(arguments).output().unwrap();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    report["end"]["sum_received"]["bytes"].as_u64()
}

#[test]
fn iperf3_sends_both_ways() {
    if !is_installed("iperf3") {
        return;
    }
    with_gateway("servers-iperf", |_, running| {
        let mut server = Command::new("iperf3");
        server.args(["--server", "--bind", "127.0.0.1", "--port", "15201", "--forceflush"]);
        let mut server = Guarded::spawn(&mut server).unwrap();
        server.wait_for_output("Server listening");
        let resources = [tcp::gateway(&[("iperf", 5201)]), tcp::route("team2", "iperf", 15201, "")].concat();
        running.config.write("tcp.yaml", &resources).unwrap();
        // The receiver counts until the sender says that it has sent all, by another connection: not what is on its way.
        let much = |arguments: &[&str]| received(arguments).filter(|bytes| *bytes >= BYTES / 4);
        wait::until("the listener", || much(&[]));
        for arguments in [&["--reverse"][..], &["--parallel", "4"], &["--reverse", "--parallel", "4"]] {
            assert!(much(arguments).is_some(), "{arguments:?}");
        }
        assert!(metric("sluice_tunnel_bytes_spliced_total", &[]) >= BYTES as f64);
    });
}
