//! Where the system refuses the better way, the gateway starts on the next one, serves, and says why.

mod common;
#[path = "common/refusing.rs"]
mod refusing;
#[path = "common/role.rs"]
mod role;

use std::collections::BTreeMap;
use std::process::Command;

use common::{SLUICE, get, metric, metrics};
use gateway_testkit::netns;
use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use refusing::{
    announced, become_sluice, run_args, serves_the_scenario, spawn_copy, status, wait_until_ready,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

const IO_URING: [i64; 3] = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// In a copy: becomes `sluice` with these system calls refused for good, as containerd's default profile
/// does.
fn become_filtered(calls: &[i64], words: &[String]) -> ! {
    let rules: BTreeMap<i64, Vec<_>> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let eperm = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, eperm, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    // For this thread, which is the whole process after execve(2).
    apply_filter(&program).unwrap();
    become_sluice(words)
}

#[test]
fn where_io_uring_is_refused_auto_serves_on_epoll_and_says_why() {
    const NAME: &str = "where_io_uring_is_refused_auto_serves_on_epoll_and_says_why";
    if let Some(words) = role::played() {
        become_filtered(&IO_URING, &words);
    }
    netns::run("no-uring", |inside| {
        let _backend = common::start_backend();
        let mut gateway = spawn_copy(NAME, inside, &["--steering", "ebpf"]);
        wait_until_ready(&mut gateway);
        serves_the_scenario(inside, &["127.0.0.1:80", "[::1]:80"]);
        let why = "uring-defer: io_uring_setup: Operation not permitted";
        let said = announced(&gateway);
        assert!(said.contains("epoll") && said.contains(why), "{said}");
        let said = status();
        assert!(said.contains("epoll") && said.contains(why), "{said}");
        assert!(said.contains("access log by write(2)"), "how the log is written is not said: {said}");
        assert_eq!(metric("sluice_io_info", &["driver=\"epoll\"", why]), 1.0, "{}", metrics());
        assert_eq!(metric("sluice_access_log_info", &["driver=\"write\""]), 1.0, "{}", metrics());
    });
}

#[test]
fn where_io_uring_is_refused_uring_does_not_start() {
    const NAME: &str = "where_io_uring_is_refused_uring_does_not_start";
    if let Some(words) = role::played() {
        become_filtered(&IO_URING, &words);
    }
    netns::run("forced-uring", |inside| {
        let mut gateway = spawn_copy(NAME, inside, &["--io", "uring"]);
        let ended = gateway.wait();
        assert!(!ended.success());
        let why = "io_uring is not usable here";
        wait::until("the reason", || gateway.output().contains(why).then_some(()));
        let output = gateway.output();
        let line = output.lines().find(|line| line.contains(why)).unwrap();
        assert!(line.contains("--io") && line.contains("Operation not permitted"), "{line}");
        assert!(!output.contains("panicked"), "{output}");
        assert!(!inside.scratch().join("state").exists(), "what it made before is taken back");
    });
}

#[test]
fn where_bpf_is_refused_auto_serves_and_ebpf_does_not_start() {
    const NAME: &str = "where_bpf_is_refused_auto_serves_and_ebpf_does_not_start";
    if let Some(words) = role::played() {
        become_filtered(&[libc::SYS_bpf], &words);
    }
    netns::run("no-bpf", |inside| {
        let mut forced = spawn_copy(NAME, inside, &["--steering", "ebpf"]);
        assert!(!forced.wait().success());
        wait::until("the reason", || forced.output().contains("no right to use BPF").then_some(()));
        let _backend = common::start_backend();
        let mut gateway = spawn_copy(NAME, inside, &["--steering", "auto"]);
        wait_until_ready(&mut gateway);
        serves_the_scenario(inside, &["127.0.0.1:80", "[::1]:80"]);
        for said in [announced(&gateway), status()] {
            assert!(said.contains("reuseport") && said.contains("no right to use BPF"), "{said}");
        }
        let labels = ["path=\"reuseport\"", "no right to use BPF"];
        assert_eq!(metric("sluice_steering_info", &labels), 1.0, "{}", metrics());
    });
}

#[test]
fn without_ipv6_every_path_serves_ipv4() {
    netns::run("no-ipv6", |inside| {
        for scope in ["all", "default", "lo"] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1").unwrap();
        }
        assert!(std::net::TcpListener::bind("[::1]:0").is_err(), "IPv6 is off");
        let _backend = common::start_backend();
        for flags in [["--steering", "ebpf"], ["--steering", "reuseport"]] {
            let args = run_args(inside, inside.bpffs(), &flags);
            let mut gateway = Guarded::spawn(Command::new(SLUICE).args(args)).unwrap();
            wait_until_ready(&mut gateway);
            serves_the_scenario(inside, &["127.0.0.1:80"]);
            says_ipv4_alone(&gateway, flags[1], "no interface had an IPv6 address");
            drop(gateway);
            std::fs::remove_file(inside.scratch().join("access.log")).unwrap();
        }
    });
}

fn says_ipv4_alone(gateway: &Guarded, steering: &str, why: &str) {
    for said in [announced(gateway), status()] {
        let line = said.lines().find(|line| line.contains("IPv4 alone")).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains(steering) && line.contains(why), "{line}");
    }
    assert_eq!(metric("sluice_ipv6_info", &["served=\"no\"", why]), 1.0, "{}", metrics());
}

/// No kernel option or `ipv6.disable=1`: IPv6 sockets cannot even be made.
#[test]
fn where_the_kernel_has_no_ipv6_sockets_every_path_serves_ipv4() {
    const NAME: &str = "where_the_kernel_has_no_ipv6_sockets_every_path_serves_ipv4";
    if let Some(words) = role::played() {
        refuse_ipv6_sockets(&words);
    }
    netns::run("no-inet6", |inside| {
        let _backend = common::start_backend();
        for flags in [["--steering", "ebpf"], ["--steering", "reuseport"]] {
            let mut gateway = spawn_copy(NAME, inside, &flags);
            wait_until_ready(&mut gateway);
            serves_the_scenario(inside, &["127.0.0.1:80"]);
            says_ipv4_alone(&gateway, flags[1], "this system makes no IPv6 sockets");
            drop(gateway);
            std::fs::remove_file(inside.scratch().join("access.log")).unwrap();
        }
    });
}

/// In a copy: becomes `sluice` where socket(AF_INET6, …) says EAFNOSUPPORT.
fn refuse_ipv6_sockets(words: &[String]) -> ! {
    use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};
    let family = libc::AF_INET6.cast_unsigned().into();
    let is_ipv6 = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family).unwrap();
    let rules = BTreeMap::from([(libc::SYS_socket, vec![SeccompRule::new(vec![is_ipv6]).unwrap()])]);
    let none = SeccompAction::Errno(libc::EAFNOSUPPORT.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, none, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    apply_filter(&program).unwrap();
    become_sluice(words)
}

#[test]
fn where_no_bpffs_is_mounted_it_serves_unpinned_and_says_so() {
    netns::run("no-bpffs", |inside| {
        let plain = inside.scratch().join("plain");
        std::fs::create_dir(&plain).unwrap();
        let _backend = common::start_backend();
        let args = run_args(inside, &plain, &["--steering", "ebpf"]);
        let mut gateway = Guarded::spawn(Command::new(SLUICE).args(args)).unwrap();
        wait_until_ready(&mut gateway);
        serves_the_scenario(inside, &["127.0.0.1:80", "[::1]:80"]);
        let why = "is not a bpffs";
        for said in [announced(&gateway), status()] {
            assert!(said.contains("not pinned") && said.contains(why), "{said}");
        }
        assert_eq!(metric("sluice_steering_info", &["path=\"ebpf\"", why]), 1.0, "{}", metrics());
        assert!(metric("sluice_steering_verdicts_total", &["verdict=\"steered\""]) >= 20.0);
        assert_eq!(std::fs::read_dir(&plain).unwrap().count(), 0, "nothing is written where no bpffs is");
        // Nothing holds the programs but the process: with it gone the port is free.
        drop(gateway);
        wait::until("the end of steering", || get("/httpbin/get").is_err().then_some(()));
    });
}
