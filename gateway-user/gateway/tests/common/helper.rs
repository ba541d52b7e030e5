//! A gateway without any right, and the helper beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use gateway_testkit::netns::Inside;
use gateway_testkit::process::Guarded;
use gateway_testkit::scratch::Scratch;
use gateway_testkit::wait;
use nix::sys::socket::{getsockopt, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::{Running, SLUICE, example, gateway_command, start_backend, wait_until_ready};

/// The user that gateways run as.
pub const NODE: u32 = 65_532;

/// The helper's socket.
pub fn socket(inside: &Inside) -> PathBuf {
    inside.scratch().join("helper.sock")
}

/// Starts `sluice helper` and waits until it listens.
pub fn start_helper(inside: &Inside, flags: &[&str]) -> Guarded {
    let mut command = Command::new(SLUICE);
    command.arg("helper").arg("--socket").arg(socket(inside)).args(["--node-uid", &NODE.to_string()]);
    command.arg("--bpffs").arg(inside.bpffs()).arg("--state-dir").arg(inside.scratch().join("state"));
    let mut helper = Guarded::spawn(command.args(flags)).unwrap();
    wait::until("the helper", || {
        let ended = helper.try_wait().unwrap();
        assert!(ended.is_none(), "the helper ended ({ended:?}):\n{}", helper.output());
        helper.output().contains("serving uid").then_some(())
    });
    helper
}

/// `command` as a user of that number without any right, now or later.
pub fn as_user(command: &Command, uid: u32) -> Command {
    let uid = uid.to_string();
    let mut user = Command::new("setpriv");
    user.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--no-new-privs"]);
    user.args(["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]);
    user.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        user.env(name, value.unwrap_or_default());
    }
    user
}

/// `sluice run` by way of the helper.
pub fn helped_command(inside: &Inside, config: &Path, flags: &[&str]) -> Command {
    let socket = socket(inside).display().to_string();
    let mut flags: Vec<&str> = flags.iter().copied().chain(["--helper", &socket]).collect();
    // Rings count against the locked memory of the user, which all gateways of all tests with a helper are.
    if !flags.contains(&"--ring-entries") {
        flags.extend(["--ring-entries", "256"]);
    }
    gateway_command(inside, config, &flags, &[])
}

/// The same as the user.
pub fn node_command(inside: &Inside, config: &Path, flags: &[&str]) -> Command {
    as_user(&helped_command(inside, config, flags), NODE)
}

/// Starts it, and waits until it is ready.
pub fn start_node(inside: &Inside, config: &Path, flags: &[&str]) -> Guarded {
    let mut node = Guarded::spawn(&mut node_command(inside, config, flags)).unwrap();
    wait_until_ready(&mut node);
    node
}

/// The example with such a gateway, whose helper has these flags.
pub fn start(inside: &Inside, helper_flags: &[&str], flags: &[&str]) -> (Guarded, Running) {
    let helper = start_helper(inside, helper_flags);
    let config = Scratch::new("config").unwrap();
    config.copy_from(&example()).unwrap();
    let backend = start_backend();
    let gateway = start_node(inside, config.path(), flags);
    (helper, Running { config, gateway, backend })
}

/// Ends the connections of gateways that run as [`NODE`], as a helper with a defect would.
pub fn cut_off(helper: &Guarded) {
    let process = i32::try_from(helper.pid()).ok().and_then(Pid::from_raw).unwrap();
    let process = pidfd_open(process, PidfdFlags::empty()).unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", helper.pid())).unwrap().flatten();
    let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut cut = 0;
    for number in numbers {
        // Some are no sockets, and some are gone.
        let Ok(descriptor) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else { continue };
        let peer = getsockopt(&descriptor, sockopt::PeerCredentials);
        if peer.is_ok_and(|peer| peer.uid() == NODE) {
            rustix::net::shutdown(&descriptor, rustix::net::Shutdown::Both).unwrap();
            cut += 1;
        }
    }
    assert!(cut > 0, "no gateway is connected: {}", helper.output());
}

/// Every thread of the helper has these capabilities at most and a list of system calls, none of which it met.
#[track_caller]
pub fn must_be_confined(helper: &Guarded) {
    // CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_BPF.
    let needed = [0, 1, 3, 10, 12, 13, 38, 39].iter().fold(0_u64, |set, bit| set | 1 << bit);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", helper.pid())).unwrap();
    let all = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let mut threads = 0;
    for status in all {
        let field = |name| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            let held = u64::from_str_radix(&field(set), 16).unwrap();
            assert_eq!(held & !needed, 0, "{}: {set}", field("Name:"));
        }
        assert_eq!((field("Seccomp:"), field("NoNewPrivs:")), ("2".to_owned(), "1".to_owned()));
        threads += 1;
    }
    assert!(threads > 2, "{threads}");
    assert!(!helper.output().contains("a system call failed"), "{}", helper.output());
}

/// Every thread of the gateway is the user and holds no right, nor could get one.
#[track_caller]
pub fn must_have_no_right(pid: u32) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread may end while it is looked at.
    let all = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let mut names = BTreeSet::new();
    for status in all {
        let field = |name| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
        let name = field("Name:");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(u64::from_str_radix(&field(set), 16), Ok(0), "{name}: {set}");
        }
        let four = [NODE.to_string().as_str(); 4].join("\t");
        assert_eq!(
            (field("Uid:"), field("Gid:"), field("NoNewPrivs:")),
            (four.clone(), four, "1".to_owned())
        );
        assert_eq!(field("Seccomp:"), "2", "{name} has a list of system calls");
        names.insert(name);
    }
    assert!(names.contains("sluice-helper") && names.len() > 4, "{names:?}");
}
