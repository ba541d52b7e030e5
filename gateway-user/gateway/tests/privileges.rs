//! Rights are given up once they are not needed, on every thread, and nothing that comes later misses them.

mod common;

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Running, SLUICE, get, sluice, start_gateway, text};
use gateway_testkit::netns::{self, Inside};
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::{http, wait};
use nix::sys::signal::Signal;

/// Names the kernel programs under test where they are not those built in.
const OBJECT: &str = "SLUICE_EBPF_OBJECT";
/// A user that no system has.
const UID: u32 = 54_321;
const DAC_OVERRIDE: u64 = 1 << 1;
const NET_BIND_SERVICE: u64 = 1 << 10;
const SYS_PTRACE: u64 = 1 << 19;

/// What /proc/PID/status says of each thread: its name and the sets in this order.
const SETS: [&str; 5] = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"];

fn threads(pid: u32) -> Vec<(String, [u64; 5], bool)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread may end while it is looked at.
    let status = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    status
        .map(|status| {
            let field = |name| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
            let sets = SETS.map(|set| u64::from_str_radix(&field(set), 16).unwrap());
            (field("Name:"), sets, field("NoNewPrivs:") == "1")
        })
        .collect()
}

/// Every thread holds exactly this, in the bounding set too unless it was not the process's to change.
#[track_caller]
fn all_hold(pid: u32, rights: u64, bounded: bool) {
    let threads = threads(pid);
    assert!(threads.len() > 4, "control, two workers, compiler, take-over: {threads:?}");
    for (name, [inheritable, permitted, effective, bounding, ambient], no_new_privs) in threads {
        // One only ever writes to what is open, the other ones give memory back.
        let rights = if ["log", "jemalloc_bg_thd"].contains(&name.as_str()) { 0 } else { rights };
        assert_eq!((permitted, effective), (rights, rights), "{name}");
        assert_eq!((inheritable, ambient, no_new_privs), (0, 0, true), "{name}");
        assert!(!bounded || bounding == rights, "{name}: {bounding:x}");
    }
}

/// Everything that happens to a gateway later: other listeners, other endpoints, SIGHUP, a take-over, the end.
fn lives_on(inside: &Inside, running: &mut Running, log: &str) {
    running.edit("gateway.yaml", "port: 80", "port: 81");
    let low = "127.0.0.1:81".parse().unwrap();
    let asked = |to| http::get(to, "127.0.0.1", "/httpbin/get").ok().filter(|answer| answer.status == 200);
    wait::until("the new listener", || asked(low));
    running.edit("gateway.yaml", "port: 81", "port: 80");
    running.wait_for_status("/httpbin/get", 200);
    let moved = inside.scratch().join("moved.log");
    std::fs::rename(log, moved).unwrap();
    running.gateway.signal(Signal::SIGHUP).unwrap();
    wait::until("a log file anew", || {
        get("/httpbin/get").unwrap();
        std::fs::metadata(log).ok().filter(|file| file.len() > 0)
    });
}

fn root_drops(label: &str, flags: &'static [&'static str], rights: u64) {
    netns::run(label, move |inside| {
        let log = inside.scratch().join("access.log").display().to_string();
        let flags: Vec<&str> = flags.iter().copied().chain(["--access-log", &log]).collect();
        let mut running = Running::start(inside, &flags);
        all_hold(running.gateway.pid(), rights, true);
        lives_on(inside, &mut running, &log);
        all_hold(running.gateway.pid(), rights, true);
        // Both sides of a take-over have dropped theirs.
        let new = start_gateway(inside, running.config.path(), &flags);
        assert!(running.gateway.wait().success(), "{}", running.log());
        running.gateway = new;
        wait::until("the end of the take-over", || running.log().contains("took over from").then_some(()));
        all_hold(running.gateway.pid(), rights, true);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success());
        assert!(!inside.bpffs().join("sluice").exists(), "kernel objects are removed without a right");
    });
}

#[test]
fn root_keeps_the_right_to_read_files_with_kernel_programs() {
    root_drops("drop-ebpf", &["--steering", "ebpf"], DAC_OVERRIDE);
}

#[test]
fn root_keeps_low_ports_without_kernel_programs() {
    root_drops("drop-reuseport", &["--steering", "reuseport"], DAC_OVERRIDE | NET_BIND_SERVICE);
}

#[test]
fn what_is_listed_is_kept_and_status_says_so() {
    netns::run("keep", |inside| {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        let held = |flags: &[&str]| {
            let gateway = start_gateway(inside, config.path(), flags);
            let threads = threads(gateway.pid());
            (threads[0].1[2], text(&sluice(&["status"])))
        };
        let (effective, status) =
            held(&["--steering", "ebpf", "--keep-capabilities", "CAP_SYS_PTRACE", "--drain-min", "0s"]);
        assert_eq!(effective, DAC_OVERRIDE | SYS_PTRACE);
        let line = status.lines().find(|line| line.starts_with("capabilities:")).unwrap();
        assert!(line.contains("CAP_DAC_OVERRIDE, CAP_SYS_PTRACE"), "{line}");
        let own = threads(std::process::id())[0].1[2];
        assert_eq!(held(&["--steering", "ebpf", "--keep-capabilities", "all"]).0, own);
    });
}

/// A copy of a file that anybody may read and run: the build's own directory may be closed to others.
fn for_anybody(inside: &Inside, file: impl AsRef<Path>, name: &str) -> PathBuf {
    let copy = inside.scratch().join(name);
    std::fs::copy(file, &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    copy
}

/// Starts `sluice run` as another user with these capabilities and no others.
fn spawn_as_user(inside: &Inside, config: &Scratch, rights: &str, flags: &[&str]) -> Guarded {
    for dir in ["state", "logs"].map(|name| inside.scratch().join(name)) {
        std::fs::create_dir_all(&dir).unwrap();
        chown(&dir, Some(UID), Some(UID)).unwrap();
    }
    chown(inside.bpffs(), Some(UID), Some(UID)).unwrap();
    let given = format!("-all{rights}");
    let mut command = Command::new("setpriv");
    command.args(["--clear-groups", &format!("--reuid={UID}"), &format!("--regid={UID}")]);
    for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
        command.arg(format!("{set}={given}"));
    }
    // Kernel programs other than those built in.
    if let Some(object) = std::env::var_os(OBJECT) {
        command.env(OBJECT, for_anybody(inside, object, "object"));
    }
    command
        .arg(for_anybody(inside, SLUICE, "sluice"))
        .arg("run")
        .arg(config.path())
        .args(flags)
        .arg("--bpffs")
        .arg(inside.bpffs());
    command.arg("--state-dir").arg(inside.scratch().join("state"));
    Guarded::spawn(&mut command).unwrap()
}

#[test]
fn a_user_with_three_rights_steers_with_kernel_programs_and_ends_up_with_none() {
    netns::run("user-ebpf", |inside| {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        let backend = common::start_backend();
        let log = inside.scratch().join("logs/access.log").display().to_string();
        let flags = ["--steering", "ebpf", "--access-log", &log];
        let rights = ",+bpf,+perfmon,+net_admin";
        let gateway = spawn_as_user(inside, &config, rights, &flags);
        let mut running = Running { config, gateway, backend };
        running.wait_for_status("/httpbin/get", 200);
        all_hold(running.gateway.pid(), 0, false);
        lives_on(inside, &mut running, &log);
        std::fs::remove_file(inside.scratch().join("sluice")).unwrap();
        let new = spawn_as_user(inside, &running.config, rights, &flags);
        assert!(running.gateway.wait().success(), "{}", running.log());
        running.gateway = new;
        running.gateway.wait_for_output("took over from");
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        all_hold(running.gateway.pid(), 0, false);
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success());
        assert!(!inside.bpffs().join("sluice").exists());
    });
}

#[test]
fn each_of_the_three_rights_is_needed_and_named_when_it_is_missing() {
    netns::run("user-missing", |inside| {
        let config = Scratch::new("config").unwrap();
        config.copy_from(&common::example()).unwrap();
        for rights in [",+perfmon,+net_admin", ",+bpf,+net_admin", ",+bpf,+perfmon"] {
            let mut gateway = spawn_as_user(inside, &config, rights, &["--steering", "ebpf"]);
            assert_eq!(gateway.wait().code(), Some(1), "{rights}: {}", gateway.output());
            wait::until("the reason", || gateway.output().contains("no right to use BPF").then_some(()));
            assert!(gateway.output().contains("CAP_PERFMON"), "{}", gateway.output());
        }
    });
}
