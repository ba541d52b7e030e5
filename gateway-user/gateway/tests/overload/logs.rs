//! Logs that nobody reads.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use gateway_testkit::netns::Inside;
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::{http, netns, wait};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;

use crate::common::{
    Running, example, gateway_command, get, metric, metrics, start_backend, wait_until_ready,
};
use crate::{client, neighbours_are_served, route_the_odd};

/// A named pipe for processes of any user.
fn open_to_all(path: &Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
}

/// A named pipe, open for both sides so that opening waits for nobody.
fn pipe(path: &Path) -> File {
    open_to_all(path);
    File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn a_log_that_nobody_reads_drops_lines_and_delays_nothing() {
    netns::run("log-stalled", |inside| {
        let pipe = inside.scratch().join("log");
        // Nothing is read until the end.
        let mut reader = self::pipe(&pipe);
        let path = pipe.to_str().unwrap();
        let mut running = Running::start(inside, &["--access-log", path, "--drain-min", "0s"]);
        let target = format!("/httpbin/status/204?{}", "x".repeat(6000));
        let (mut kept, mut asked) = (client(), 0);
        wait::until("lines to be dropped", || {
            for _ in 0..200 {
                assert_eq!(kept.get("a", &target).unwrap().status, 204);
                asked += 1;
            }
            (metric("sluice_log_dropped_total", &[]) > 0.0).then_some(())
        });
        neighbours_are_served("a log that nobody reads");
        eprintln!("{asked} requests with lines of 6 KB before the first line was dropped");
        // Read again, it goes on with whole lines.
        let written = metric("sluice_access_log_written_bytes_total", &[]);
        let mut part = vec![0; 1 << 20];
        wait::until("the log to go on", || {
            let _ = reader.read(&mut part).unwrap();
            (metric("sluice_access_log_written_bytes_total", &[]) > written + 2e6).then_some(())
        });
        // Stuck once more, it does not keep the process from ending.
        for _ in 0..200 {
            assert_eq!(kept.get("a", &target).unwrap().status, 204);
        }
        running.gateway.signal(Signal::SIGTERM).unwrap();
        let ended = running.gateway.wait();
        assert!(ended.success(), "{ended:?}\n{}", running.log());
    });
}

/// A gateway whose standard error is `stderr`.
fn start_with_stderr(inside: &Inside, stderr: &Path, flags: &[&str]) -> Running {
    let config = Scratch::new("config").unwrap();
    config.copy_from(&example()).unwrap();
    let backend = start_backend();
    let environment = [("SLUICE_FAULT", "requests"), ("RUST_BACKTRACE", "0")];
    let inner = gateway_command(inside, config.path(), flags, &environment);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 2>>\"$0\""]).arg(stderr);
    command.arg(inner.get_program()).args(inner.get_args()).envs(environment);
    let mut gateway = Guarded::spawn(&mut command).unwrap();
    wait_until_ready(&mut gateway);
    Running { config, gateway, backend }
}

/// So many requests whose connections end with a panic each, which is two lines of log.
fn panics(count: usize) {
    let panic_once = || {
        let mut client = client();
        client.send("GET /odd HTTP/1.1\r\nHost: a\r\nX-Sluice-Fault: panic routing\r\n\r\n").unwrap();
        assert!(client.response().is_err(), "its connection ends without a response");
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..count / 4).for_each(|_| panic_once()));
        }
    });
}

/// Everything that is in the pipe.
fn drain(reader: &mut File) -> String {
    let mut text = Vec::new();
    let mut part = vec![0; 64 << 10];
    while let Ok(n @ 1..) = reader.read(&mut part) {
        text.extend_from_slice(&part[..n]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_standard_error_that_nobody_reads_stops_nothing() {
    netns::run("stderr-stalled", |inside| {
        let path = inside.scratch().join("stderr");
        let mut reader = pipe(&path);
        fcntl(&reader, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
        let mut running = start_with_stderr(inside, &path, &["--access-log", "off", "--drain-min", "0s"]);
        // Far beyond the pipe, then beyond what waits for it.
        panics(400);
        neighbours_are_served("a standard error that nobody reads");
        let health: SocketAddr = "127.0.0.1:15021".parse().unwrap();
        assert_eq!(http::get(health, "localhost", "/healthz/live").unwrap().status, 200);
        route_the_odd(&running);
        let dropped = || metric("sluice_stderr_dropped_lines_total", &[]);
        assert_eq!(dropped(), 0.0, "so many lines wait");
        wait::until("lines to be dropped", || {
            panics(1000);
            (dropped() > 0.0).then_some(())
        });
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        assert_eq!(metric("sluice_worker_deaths_total", &[]), 0.0, "{}", metrics());
        // Read again, what waited comes whole, and new lines behind it.
        let said = Arc::new(Mutex::new(String::new()));
        let text = Arc::clone(&said);
        let contains = move |word: &str| said.lock().unwrap().contains(word).then_some(());
        thread::spawn(move || {
            let mut part = vec![0; 64 << 10];
            while let Ok(n @ 1..) = reader.read(&mut part) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..n]));
            }
        });
        wait::until("the lines that waited", || contains("was ended by a panic"));
        wait::until("room for new lines", || {
            let before = dropped();
            panics(4);
            (dropped() == before).then_some(())
        });
        running.config.write("marker.yaml", "kind: [").unwrap();
        wait::until("a new line", || contains("marker.yaml"));
        running.gateway.signal(Signal::SIGTERM).unwrap();
        let ended = running.gateway.wait();
        assert!(ended.success(), "{ended:?}");
        wait::until("the last line", || contains("SIGTERM: draining"));
        contains("panicked at").unwrap();
    });
}

#[test]
fn a_standard_error_that_nobody_reads_does_not_keep_the_process_from_ending() {
    netns::run("stderr-end", |inside| {
        let path = inside.scratch().join("stderr");
        let reader = pipe(&path);
        fcntl(&reader, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
        let mut running = start_with_stderr(inside, &path, &["--access-log", "off", "--drain-min", "0s"]);
        panics(400);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        let ended = running.gateway.wait();
        assert!(ended.success(), "{ended:?}");
    });
}

#[test]
fn a_log_that_is_a_pipe_without_a_reader_is_said_and_waits_for_one() {
    netns::run("log-pipe", |inside| {
        let path = inside.scratch().join("log");
        open_to_all(&path);
        // Serves, though nobody has opened the pipe.
        let running = Running::start(inside, &["--access-log", path.to_str().unwrap()]);
        wait::until("the warning", || {
            running.log().contains("log is a pipe that nobody reads").then_some(())
        });
        assert_eq!(get("/httpbin/get?first").unwrap().status, 200);
        let mut lines = Vec::new();
        let mut reads = |what: &str| {
            // A reader that comes and goes: neither loses a line nor breaks the log.
            let options = OFlag::O_NONBLOCK.bits();
            let mut reader =
                std::os::unix::fs::OpenOptionsExt::custom_flags(File::options().read(true), options)
                    .open(&path)
                    .unwrap();
            wait::until(what, || {
                lines.extend(drain(&mut reader).lines().map(str::to_owned));
                lines.iter().any(|line: &String| line.contains(what)).then_some(())
            });
        };
        reads("/httpbin/get?first");
        assert_eq!(get("/httpbin/get?second").unwrap().status, 200);
        reads("/httpbin/get?second");
        assert_eq!(metric("sluice_access_log_write_errors_total", &[]), 0.0);
        assert_eq!(metric("sluice_log_dropped_total", &[]), 0.0);
    });
}
