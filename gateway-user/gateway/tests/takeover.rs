//! A second `sluice run` on the same state directory takes over, and no client notices.

mod common;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::load::Wrk;
use common::steady::Steady;
use common::{HTTP, Running, get, metric, sluice, spawn_gateway_with, text};
use gateway_testkit::http::{self, Client};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use nix::sys::signal::Signal;

/// Ends quickly where nothing is under way, and waits for what is.
const DRAIN: [&str; 4] = ["--drain-min", "0s", "--drain-max", "25s"];

/// One gateway after the other in a namespace.
struct Line<'a> {
    inside: &'a Inside,
    running: Running,
}

fn with_line(label: &str, flags: &'static [&'static str], body: impl FnOnce(&mut Line<'_>) + Send + 'static) {
    netns::run(label, move |inside| {
        let running = Running::start(inside, &[flags, &DRAIN].concat());
        body(&mut Line { inside, running });
    });
}

impl Line<'_> {
    fn spawn(&self, flags: &[&str], environment: &[(&str, &str)]) -> Guarded {
        let flags = [flags, &DRAIN].concat();
        spawn_gateway_with(self.inside, self.running.config.path(), &flags, environment)
    }

    /// Starts the next gateway and waits until it has taken over and the one before has ended well.
    #[track_caller]
    fn upgrade(&mut self, flags: &[&str]) -> Guarded {
        let old = self.begin_upgrade(flags);
        ended_well(old)
    }

    /// Starts the next gateway and waits until it has taken over; gives the one before, which drains.
    #[track_caller]
    fn begin_upgrade(&mut self, flags: &[&str]) -> Guarded {
        let mut new = self.spawn(flags, &[]);
        new.wait_for_output("took over from sluice");
        std::mem::replace(&mut self.running.gateway, new)
    }

    fn pin_directories(&self) -> Vec<PathBuf> {
        let of = |dir: &Path| {
            let entries =
                fs::read_dir(dir).map(|entries| entries.flatten().map(|e| e.path()).collect::<Vec<_>>());
            entries.unwrap_or_default()
        };
        let mut found: Vec<_> =
            of(&self.inside.bpffs().join("sluice")).iter().flat_map(|version| of(version)).collect();
        found.sort();
        found
    }
}

#[track_caller]
fn ended_well(mut gateway: Guarded) -> Guarded {
    let ended = gateway.wait();
    assert!(ended.success(), "{ended}: {}", gateway.output());
    gateway
}

fn ready() -> bool {
    let health: SocketAddr = "127.0.0.1:15021".parse().unwrap();
    http::get(health, "a", "/healthz/ready").is_ok_and(|answer| answer.status == 200)
}

fn five_upgrades(label: &str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        let steady = Steady::start(HTTP);
        let mut wrk = Wrk::start(&format!("http://{HTTP}/httpbin/get"), 4, 60);
        for _ in 0..5 {
            line.upgrade(flags);
            assert!(ready());
            steady.wait_for_more(50);
        }
        assert!(wrk.is_running());
        drop(wrk);
        assert!(steady.must_be_clean() > 300);
        let said = text(&sluice(&["status"]));
        assert!(said.contains("took over:"), "{said}");
        assert!(metric("sluice_takeover_info", &["from_version="]) == 1.0, "{}", common::metrics());
    });
}

#[test]
fn five_under_load_ebpf_uring() {
    five_upgrades("take-eu", &["--steering", "ebpf", "--io", "uring"]);
}

#[test]
fn five_under_load_ebpf_epoll() {
    five_upgrades("take-ee", &["--steering", "ebpf", "--io", "epoll"]);
}

#[test]
fn five_under_load_reuseport_uring() {
    five_upgrades("take-ru", &["--steering", "reuseport", "--io", "uring"]);
}

#[test]
fn five_under_load_reuseport_epoll() {
    five_upgrades("take-re", &["--steering", "reuseport", "--io", "epoll"]);
}

/// wrk as a second opinion: it counts by itself what it could not read or write.
fn wrk_sees_nothing(label: &str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        let mut wrk = Wrk::start(&format!("http://{HTTP}/httpbin/get"), 16, 6);
        for _ in 0..2 {
            line.upgrade(flags);
        }
        assert!(wrk.is_running(), "both were under load");
        wrk.report().must_be_clean();
    });
}

#[test]
fn wrk_sees_nothing_with_kernel_programs() {
    wrk_sees_nothing("take-wrk-e", &["--steering", "ebpf"]);
}

#[test]
fn wrk_sees_nothing_without() {
    wrk_sees_nothing("take-wrk-r", &["--steering", "reuseport"]);
}

fn other_workers(label: &str, steering: &'static str) {
    netns::run(label, move |inside| {
        let flags = |workers| [["--steering", steering], ["--workers", workers]].concat();
        let running = Running::start(inside, &[&flags("2")[..], &DRAIN].concat());
        let mut line = Line { inside, running };
        let steady = Steady::start(HTTP);
        for workers in ["1", "4", "3", "2"] {
            line.upgrade(&flags(workers));
            steady.wait_for_more(50);
            let said = text(&sluice(&["status"]));
            assert!(said.contains(&format!("{workers} worker")), "{said}");
        }
        steady.must_be_clean();
    });
}

#[test]
fn other_numbers_of_workers_with_kernel_programs() {
    other_workers("take-we", "ebpf");
}

#[test]
fn other_numbers_of_workers_without() {
    other_workers("take-wr", "reuseport");
}

#[test]
fn another_way_of_steering_and_of_io() {
    with_line("take-mixed", &["--steering", "ebpf", "--io", "uring"], |line| {
        let steady = Steady::start(HTTP);
        for (steering, io) in
            [("reuseport", "uring"), ("ebpf", "epoll"), ("reuseport", "epoll"), ("ebpf", "uring")]
        {
            line.upgrade(&["--steering", steering, "--io", io]);
            steady.wait_for_more(50);
            let said = text(&sluice(&["status"]));
            assert!(said.contains(steering) && said.contains(io), "{said}");
            assert!(!said.contains("not served"), "{said}");
        }
        steady.must_be_clean();
    });
}

#[test]
fn transfers_end_where_they_began_and_kept_connections_have_one_more_request() {
    with_line("take-long", &["--steering", "ebpf"], |line| {
        let client = || Client::connect(HTTP.parse().unwrap()).unwrap();
        let (mut download, mut upload, mut kept) = (client(), client(), client());
        assert_eq!(kept.get("a", "/httpbin/get").unwrap().header("connection"), None);
        download.send("GET /httpbin/bytes/30000000 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let body = vec![b'x'; 400_000];
        let head =
            format!("POST /httpbin/anything HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        upload.send(head).unwrap();
        upload.send(&body[..100_000]).unwrap();
        // Both are under way when the backend has them: a request that was sent later has been answered.
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        let mut old = line.begin_upgrade(&["--steering", "ebpf"]);
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        // The service manager's word to the one that drains must not cut it short.
        old.signal(Signal::SIGTERM).unwrap();
        old.wait_for_output("draining already");
        upload.send(&body[100_000..]).unwrap();
        let answer = upload.answer().unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert!(answer.text().contains(&"x".repeat(1_000)));
        assert_eq!(download.answer().unwrap().body.len(), 30_000_000);
        thread::sleep(Duration::from_millis(300));
        let answer = kept.get("a", "/httpbin/get").unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert!(old.try_wait().unwrap().is_none() || download.at_end().unwrap());
        ended_well(old);
    });
}

#[test]
fn pins_are_those_of_the_one_that_serves() {
    with_line("take-pins", &["--steering", "ebpf"], |line| {
        let before = line.pin_directories();
        line.upgrade(&["--steering", "ebpf"]);
        let after = line.pin_directories();
        assert!(before.len() == 1 && after.len() == 1 && before != after, "{before:?} {after:?}");
        assert!(after[0].join("lookup_link").exists());
        let old = line.upgrade(&["--steering", "reuseport"]);
        assert_eq!(line.pin_directories(), Vec::<PathBuf>::new(), "{}", old.output());
        line.running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(line.running.gateway.wait().success());
        assert!(!line.inside.scratch().join("state").exists(), "made by the first, removed by the last");
    });
}

/// The gateway that is there serves as before and can be taken over from; nothing of the failed one stays.
fn serves_on(line: &mut Line<'_>, flags: &[&str], pins: &[PathBuf]) {
    let steady = Steady::start(HTTP);
    assert_eq!(line.pin_directories(), pins);
    let other = "127.0.0.1:8099";
    // Its configuration still follows the directory.
    line.running.edit("gateway.yaml", "port: 80\n", "port: 8099\n");
    wait::until("the new port", || {
        http::get(other.parse().unwrap(), "a", "/httpbin/get").ok().filter(|answer| answer.status == 200)
    });
    line.running.edit("gateway.yaml", "port: 8099\n", "port: 80\n");
    line.running.wait_for_status("/httpbin/get", 200);
    drop(steady);
    let steady = Steady::start(HTTP);
    line.upgrade(flags);
    steady.wait_for_more(50);
    steady.must_be_clean();
}

fn killed_at(label: &str, point: &'static str, flags: &'static [&'static str]) {
    with_line(label, flags, move |line| {
        let pins = line.pin_directories();
        let fault = format!("takeover:{point}");
        // Without kernel programs nothing moves what waits in a socket that only the killed process had.
        let workers = if flags.contains(&"ebpf") { "3" } else { "2" };
        let more = [flags, &["--workers", workers]].concat();
        let mut new = line.spawn(&more, &[("SLUICE_FAULT", &fault)]);
        new.wait_for_output("planted: stopped");
        let steady = (point == "received").then(|| Steady::start(HTTP));
        new.signal(Signal::SIGKILL).unwrap();
        new.wait();
        line.running.gateway.wait_for_output("did not take over");
        // What a killed process had accepted dies with it; before it accepted anything nothing may.
        if let Some(steady) = steady {
            steady.must_be_clean();
        }
        serves_on(line, flags, &pins);
    });
}

#[test]
fn killed_with_the_sockets_in_hand_ebpf() {
    killed_at("take-k1", "received", &["--steering", "ebpf"]);
}

#[test]
fn killed_with_the_sockets_in_hand_reuseport() {
    killed_at("take-k2", "received", &["--steering", "reuseport"]);
}

#[test]
fn killed_just_before_it_is_ready_ebpf() {
    killed_at("take-k3", "live", &["--steering", "ebpf"]);
}

#[test]
fn killed_just_before_it_is_ready_reuseport() {
    killed_at("take-k4", "live", &["--steering", "reuseport"]);
}

#[test]
fn a_signal_to_either_before_it_is_decided() {
    with_line("take-signal", &["--steering", "ebpf"], |line| {
        let steady = Steady::start(HTTP);
        let planted = [("SLUICE_FAULT", "takeover:live")];
        let mut new = line.spawn(&["--steering", "ebpf"], &planted);
        new.wait_for_output("planted: stopped");
        // Both accept, and what the new one has it serves to the end.
        steady.wait_for_more(100);
        new.signal(Signal::SIGTERM).unwrap();
        new.wait_for_output("serves on");
        ended_well(new);
        line.running.gateway.wait_for_output("did not take over");
        steady.wait_for_more(100);
        steady.must_be_clean();

        let mut new = line.spawn(&["--steering", "ebpf"], &planted);
        new.wait_for_output("planted: stopped");
        line.running.gateway.signal(Signal::SIGTERM).unwrap();
        line.running.gateway.wait_for_output("once it is clear who serves");
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        drop(new);
        assert!(line.running.gateway.wait().success(), "{}", line.running.log());
    });
}

#[test]
fn what_cannot_start_disturbs_nobody() {
    with_line("take-bad", &["--steering", "ebpf"], |line| {
        let pins = line.pin_directories();
        let steady = Steady::start(HTTP);
        let fails = |mut gateway: Guarded, why: &str| {
            let ended = gateway.wait();
            assert!(!ended.success());
            wait::until(&format!("{why:?} in {}", gateway.output()), || {
                gateway.output().contains(why).then_some(())
            });
        };
        let missing = line.inside.scratch().join("missing");
        fails(common::spawn_gateway(line.inside, &missing, &[]), "missing");
        fails(line.spawn(&["--workers", "many"], &[]), "workers");
        // Ports are found busy, and the verifier refuses, only after the sockets were received.
        let _busy = std::net::TcpListener::bind("127.0.0.1:18000").unwrap();
        fails(line.spawn(&["--admin-address", "127.0.0.1:18000"], &[]), "--admin-address");
        let object = line.inside.scratch().join("object");
        fs::write(&object, "no object").unwrap();
        let object = object.to_str().unwrap();
        fails(line.spawn(&["--steering", "ebpf"], &[("SLUICE_EBPF_OBJECT", object)]), "--steering ebpf");
        fails(line.spawn(&["--take-over", "never"], &[]), "--take-over");
        steady.wait_for_more(50);
        steady.must_be_clean();
        serves_on(line, &["--steering", "ebpf"], &pins);
    });
}

#[test]
fn of_two_at_once_one_wins_and_the_other_is_told() {
    with_line("take-two", &["--steering", "ebpf"], |line| {
        let steady = Steady::start(HTTP);
        let first = line.spawn(&["--steering", "ebpf"], &[("SLUICE_FAULT", "takeover:received")]);
        let mut first = first;
        first.wait_for_output("planted: stopped");
        let mut second = line.spawn(&["--steering", "ebpf"], &[]);
        assert!(!second.wait().success());
        let told = format!("(pid {}) is taking over just now", first.pid());
        wait::until(&told, || second.output().contains(&told).then_some(()));
        drop(first);
        line.running.gateway.wait_for_output("did not take over");
        // Really at once, without a plant: both may win, one after the other, or one is told.
        let flags = ["--steering", "ebpf"];
        let (mut one, mut two) = (line.spawn(&flags, &[]), line.spawn(&flags, &[]));
        assert!(line.running.gateway.wait().success(), "{}", line.running.log());
        let settled = |gateway: &mut Guarded| {
            wait::until("who serves", || {
                let ended = gateway.try_wait().unwrap().is_some();
                let serves = gateway.output().contains("took over from sluice");
                (ended || serves).then_some(ended)
            })
        };
        let ends = [settled(&mut one), settled(&mut two)];
        assert!(ends.contains(&false), "{}\n{}", one.output(), two.output());
        steady.wait_for_more(50);
        steady.must_be_clean();
    });
}

#[test]
fn what_a_crash_left_is_no_obstacle() {
    with_line("take-stale", &["--steering", "ebpf"], |line| {
        line.running.gateway.signal(Signal::SIGKILL).unwrap();
        line.running.gateway.wait();
        let socket = line.inside.scratch().join("state").join("takeover.sock");
        assert!(socket.exists(), "the crash left it");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let flags = [&["--steering", "ebpf"][..], &DRAIN].concat();
        line.running.gateway = common::start_gateway(line.inside, line.running.config.path(), &flags);
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        line.upgrade(&["--steering", "ebpf"]);
        assert_eq!(line.pin_directories().len(), 1);
        // The one that took over dies as well: its successor starts afresh.
        line.running.gateway.signal(Signal::SIGKILL).unwrap();
        line.running.gateway.wait();
        line.running.gateway = common::start_gateway(line.inside, line.running.config.path(), &flags);
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        assert_eq!(line.pin_directories().len(), 1);
    });
}

#[test]
fn strangers_get_nothing() {
    with_line("take-stranger", &["--steering", "reuseport"], |line| {
        let state = line.inside.scratch().join("state");
        let socket = state.join("takeover.sock");
        let script = |protocol: u32| {
            format!(
                "use Socket; socket(S, AF_UNIX, SOCK_SEQPACKET, 0) && connect(S, pack_sockaddr_un('{}')) || die $!;
                 send(S, '{{\"kind\":\"hello\",\"protocol\":{protocol},\"version\":\"x\",\"pid\":1}}', 0);
                 recv(S, $heard, 999, 0); print $heard;",
                socket.display()
            )
        };
        // Even where the file lets them in.
        fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        fs::set_permissions(
            line.inside.scratch().path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let as_nobody = ["--reuid", "65534", "--clear-groups", "perl", "-e"];
        let mut stranger = Guarded::spawn(Command::new("setpriv").args(as_nobody).arg(script(1))).unwrap();
        stranger.wait();
        assert!(!stranger.output().contains("offer"), "{}", stranger.output());
        wait::until(&format!("the refusal of {}", stranger.output()), || {
            line.running.log().contains("runs as uid 65534").then_some(())
        });
        // Of us, but of another time.
        let mut newer = Guarded::spawn(Command::new("perl").arg("-e").arg(script(2))).unwrap();
        newer.wait();
        wait::until("the refusal", || {
            newer.output().contains("version 1 of the take-over protocol").then_some(())
        });
        line.upgrade(&["--steering", "reuseport"]);
    });
}
