//! PostgreSQL: statements, and rows copied both ways.

use std::io::{self, Write as _};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait;
use nix::sys::signal::Signal;

use crate::common::{metric, text, with_gateway};
use crate::tcp;

/// An ordinary user, since the server refuses to be root.
const NOBODY: u32 = 65534;

/// Where Debian has the programs of a server's release.
fn programs() -> Option<PathBuf> {
    let releases = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    releases.map(|release| release.path().join("bin")).find(|bin| bin.join("initdb").exists())
}

/// A server, which ends in order: killed, it would leave its shared memory behind.
struct Server(Guarded);

impl Drop for Server {
    fn drop(&mut self) {
        // Immediate shutdown. Whatever is left of it is killed then.
        let _ = self.0.signal(Signal::SIGQUIT);
        for _ in 0..100 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A server at 127.0.0.1:15432, with its files in `dir`.
fn server(programs: &Path, dir: &Path) -> Server {
    chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
    let data = dir.join("data");
    let mut made = Command::new(programs.join("initdb"));
    made.args(["--username=test", "--auth=trust", "--encoding=UTF8", "--no-sync", "-D"]).arg(&data);
    let made = made.uid(NOBODY).gid(NOBODY).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let mut command = Command::new(programs.join("postgres"));
    command
        .args([
            "-p",
            "15432",
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
            "-c",
            "dynamic_shared_memory_type=mmap",
            "-k",
        ])
        .arg(dir);
    let mut server =
        Guarded::spawn(command.arg("-D").arg(&data).uid(NOBODY).gid(NOBODY).current_dir(dir)).unwrap();
    server.wait_for_output("ready to accept connections");
    Server(server)
}

/// Output of `psql` through the gateway, with `input` for it to read.
fn psql(host: &str, statement: &str, input: &[u8]) -> io::Result<String> {
    let mut command = Command::new("psql");
    command.args([
        "-h",
        host,
        "-p",
        "5432",
        "-U",
        "test",
        "-d",
        "postgres",
        "-qAtX",
        "-v",
        "ON_ERROR_STOP=1",
    ]);
    command.args(["-c", statement]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(io::Error::other(text(&output)));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}

#[test]
#[expect(clippy::print_stdout, reason = "for who reads why a test did nothing")]
fn psql_asks_and_copies_both_ways() {
    let Some(programs) = programs() else {
        println!("postgresql is not installed: not run");
        return;
    };
    with_gateway("servers-postgres", move |_, running| {
        let dir = Scratch::new("postgres").unwrap();
        let _server = server(&programs, dir.path());
        let resources = [tcp::gateway(&[("pg", 5432)]), tcp::route("team2", "pg", 15432, "")].concat();
        running.config.write("tcp.yaml", &resources).unwrap();
        wait::until("the listener", || psql("127.0.0.1", "select 1", b"").ok());
        for (host, table) in [("127.0.0.1", "four"), ("::1", "six")] {
            psql(host, &format!("create table {table} (n int, said text)"), b"").unwrap();
            let rows: String = (0..20_000).map(|n| format!("{n}\t{}\n", "x".repeat(n % 97))).collect();
            psql(host, &format!("copy {table} from stdin"), rows.as_bytes()).unwrap();
            let back =
                psql(host, &format!("copy (select * from {table} order by n) to stdout"), b"").unwrap();
            assert!(back == rows, "{host}: {} bytes back of {}", back.len(), rows.len());
            let error = psql(host, "select nonsense", b"").unwrap_err().to_string();
            assert!(error.contains("nonsense"), "{error}");
        }
        let pg = ["sluice_listener=\"ingress/data/pg\"", "sluice_route=\"team2/db\""];
        wait::until("the connections' ends", || {
            (metric("sluice_tcp_connection_duration_seconds_count", &pg) >= 9.0).then_some(())
        });
    });
}
