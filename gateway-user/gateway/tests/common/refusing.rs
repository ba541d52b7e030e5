//! Systems that refuse something: a gateway on one of them, and that it serves and says what it does without.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part, and there is nobody to publish to

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

use gateway_testkit::http::{self, Client};
use gateway_testkit::netns::Inside;
use gateway_testkit::process::Guarded;
use gateway_testkit::seccomp::{self, Call, Judge, Verdict};
use gateway_testkit::wait;

use crate::common::{self, SLUICE, sluice, text};
use crate::role;

/// A copy of the example, which `sluice run` serves.
pub fn config(inside: &Inside) -> PathBuf {
    let config = inside.scratch().join("config");
    if !config.exists() {
        fs::create_dir(&config).unwrap();
        for file in fs::read_dir(common::example()).unwrap().flatten() {
            fs::copy(file.path(), config.join(file.file_name())).unwrap();
        }
    }
    config
}

/// Arguments of `sluice run` on the example, with a log file beside the state directory.
pub fn run_args(inside: &Inside, bpffs: &Path, flags: &[&str]) -> Vec<String> {
    let log = inside.scratch().join("access.log");
    let (config, state) = (config(inside), inside.scratch().join("state"));
    common::remember_state(&state);
    let path = |path: &Path| path.display().to_string();
    let mut args = vec!["run".to_owned(), path(&config), "--state-dir".to_owned(), path(&state)];
    args.extend(["--bpffs".to_owned(), path(bpffs), "--access-log".to_owned(), path(&log)]);
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    args
}

/// Starts a copy of the test `name`, which is to become `sluice run` where something is refused.
pub fn spawn_copy(name: &str, inside: &Inside, flags: &[&str]) -> Guarded {
    let args = run_args(inside, inside.bpffs(), flags);
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    Guarded::spawn(&mut role::copy(name, &words)).unwrap()
}

/// In such a copy: becomes `sluice`, filters and all.
pub fn become_sluice(words: &[String]) -> ! {
    panic!("{SLUICE}: {}", Command::new(SLUICE).args(words).exec());
}

/// Waits until it is ready.
#[track_caller]
pub fn wait_until_ready(gateway: &mut Guarded) {
    let health = "127.0.0.1:15021".parse().unwrap();
    wait::until("readiness", || {
        let ended = gateway.try_wait().unwrap();
        assert!(ended.is_none(), "the gateway ended ({ended:?}):\n{}", gateway.output());
        http::get(health, "localhost", "/healthz/ready").ok().filter(|response| response.status == 200)
    });
}

/// Kept connections, single ones, bodies both ways, and a line in the log for each.
#[track_caller]
pub fn serves_the_scenario(inside: &Inside, addresses: &[&str]) {
    let mut asked = 0;
    for address in addresses {
        let address = address.parse().unwrap();
        let mut kept = Client::connect(address).unwrap();
        for _ in 0..10 {
            assert_eq!(kept.get("a", "/httpbin/get").unwrap().status, 200);
            assert_eq!(http::get(address, "a", "/httpbin/get").unwrap().status, 200);
        }
        assert_eq!(kept.get("a", "/httpbin/bytes/300000").unwrap().body.len(), 300_000);
        let body = "x".repeat(100_000);
        let post =
            format!("POST /httpbin/anything HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        kept.send(post + &body).unwrap();
        assert!(kept.response().unwrap().text().contains(&body));
        assert_eq!(http::get(address, "a", "/nothing").unwrap().status, 404);
        asked += 23;
    }
    let log = inside.scratch().join("access.log");
    wait::until("a log line for each request", || {
        let lines = fs::read_to_string(&log).ok()?.lines().count();
        (lines == asked).then_some(())
    });
}

/// The one line of the log that says which paths are live.
#[track_caller]
pub fn announced(gateway: &Guarded) -> String {
    let output = gateway.output();
    let said: Vec<&str> = output.lines().filter(|line| line.contains("workers on")).collect();
    assert_eq!(said.len(), 1, "{output}");
    said.concat()
}

/// Output of `sluice status`.
pub fn status() -> String {
    text(&sluice(&["status"]))
}

/// A gateway whose system calls a test judges.
pub struct FilteredGateway {
    /// Its process; first, because it must be gone before its judge is.
    pub gateway: Guarded,
    _judge: Judge,
}

/// Starts a copy of the test `name`, which is to become `sluice run` with some calls left to `verdict`.
pub fn spawn_judged(
    name: &str,
    inside: &Inside,
    flags: &[&str],
    verdict: impl FnMut(&Call) -> io::Result<Verdict> + Send + 'static,
) -> FilteredGateway {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let socket = inside.scratch().join(&format!("judge-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    let judge = Judge::start(&socket, verdict).unwrap();
    let mut words = vec![socket.display().to_string()];
    words.extend(run_args(inside, inside.bpffs(), flags));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    FilteredGateway { gateway: Guarded::spawn(&mut role::copy(name, &words)).unwrap(), _judge: judge }
}

/// In such a copy: leaves these calls to the judge and becomes `sluice`.
pub fn become_judged(calls: &[i64], words: &[String]) -> ! {
    let (socket, words) = words.split_first().unwrap();
    seccomp::hand_over(calls, Path::new(socket)).unwrap();
    become_sluice(words)
}
