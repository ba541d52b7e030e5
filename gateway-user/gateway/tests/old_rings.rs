//! Kernels whose io_uring knows less: the next driver serves, and the gateway says which and why.

mod common;
#[path = "common/refusing.rs"]
mod refusing;
#[path = "common/role.rs"]
mod role;

use std::collections::BTreeMap;
use std::io;

use common::{metric, metrics};
use gateway_testkit::netns;
use gateway_testkit::seccomp::{Call, Verdict};
use gateway_testkit::wait;
use refusing::{announced, become_judged, serves_the_scenario, spawn_judged, status, wait_until_ready};

/// Judged system calls: all that make a ring and probe its features.
const CALLS: [i64; 2] = [libc::SYS_io_uring_setup, libc::SYS_io_uring_register];

// include/uapi/linux/io_uring.h
const COOP_TASKRUN: u32 = 1 << 8;
const TASKRUN_FLAG: u32 = 1 << 9;
const SINGLE_ISSUER: u32 = 1 << 12;
const DEFER_TASKRUN: u32 = 1 << 13;
const REGISTER_PROBE: u64 = 8;
const OP_RECV: u8 = 27;
const OP_SUPPORTED: u8 = 1;

/// A kernel that does not know some flags of a ring: it refuses the whole ring.
fn without_flags(unknown: u32) -> impl FnMut(&Call) -> io::Result<Verdict> + Send + 'static {
    move |call| {
        if call.number != libc::SYS_io_uring_setup {
            return Ok(Verdict::Allow);
        }
        // struct io_uring_params: sq_entries, cq_entries, flags.
        let flags = call.read_u32(call.arguments[1] + 8)?;
        Ok(if flags & unknown == 0 { Verdict::Allow } else { Verdict::Fail(libc::EINVAL) })
    }
}

/// A kernel that knows the operations below `end` only, and says so where it is asked.
fn with_operations_below(end: u8) -> impl FnMut(&Call) -> io::Result<Verdict> + Send + 'static {
    move |call| {
        if call.number != libc::SYS_io_uring_register || call.arguments[1] != REGISTER_PROBE {
            return Ok(Verdict::Allow);
        }
        // struct io_uring_probe: last_op, ops_len, 14 bytes unused; then for each op: op, unused, u16 flags,
        // u32 unused.
        let mut said = vec![0; 16];
        (said[0], said[1]) = (end - 1, end);
        (0..end).for_each(|op| said.extend([op, 0, OP_SUPPORTED, 0, 0, 0, 0, 0]));
        call.write(call.arguments[2], &said)?;
        Ok(Verdict::Give(0))
    }
}

/// Serves by `driver` and says in log, status and metric that the ones before were refused, for `why`.
fn serves_by(
    name: &'static str,
    driver: &'static str,
    why: &'static [&'static str],
    verdict: impl FnMut(&Call) -> io::Result<Verdict> + Send + 'static,
) {
    netns::run("ring", move |inside| {
        let _backend = common::start_backend();
        let mut judged = spawn_judged(name, inside, &["--workers", "2"], verdict);
        wait_until_ready(&mut judged.gateway);
        serves_the_scenario(inside, &["127.0.0.1:80", "[::1]:80"]);
        for said in [announced(&judged.gateway), status()] {
            let line = said.lines().find(|line| line.contains(driver)).unwrap_or_else(|| panic!("{said}"));
            why.iter().for_each(|why| assert!(line.contains(why), "{why:?} is not in {line}"));
        }
        let driver = format!("driver=\"{driver}\"");
        let labels = [&[driver.as_str()], why].concat();
        assert_eq!(metric("sluice_io_info", &labels), 1.0, "{}", metrics());
    });
}

#[test]
fn before_linux_6_1_rings_run_cooperatively() {
    const NAME: &str = "before_linux_6_1_rings_run_cooperatively";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    let why = &["uring-defer: io_uring_setup: Invalid argument", "Linux 6.1"];
    serves_by(NAME, "uring-coop", why, without_flags(SINGLE_ISSUER | DEFER_TASKRUN));
}

#[test]
fn before_linux_5_19_rings_have_no_flags() {
    const NAME: &str = "before_linux_5_19_rings_have_no_flags";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    let why = &[
        "uring-defer: io_uring_setup: Invalid argument",
        "uring-coop: io_uring_setup: Invalid argument",
        "Linux 6.1",
    ];
    let unknown = SINGLE_ISSUER | DEFER_TASKRUN | COOP_TASKRUN | TASKRUN_FLAG;
    serves_by(NAME, "uring-plain", why, without_flags(unknown));
}

#[test]
fn before_linux_5_6_there_are_no_receives_and_epoll_serves() {
    const NAME: &str = "before_linux_5_6_there_are_no_receives_and_epoll_serves";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    let why = &["uring-defer: the kernel's io_uring lacks IORING_OP_RECV", "uring-plain: ", "Linux 5.7"];
    serves_by(NAME, "epoll", why, with_operations_below(OP_RECV));
}

#[test]
fn before_linux_5_6_nobody_tells_operations_and_epoll_serves() {
    const NAME: &str = "before_linux_5_6_nobody_tells_operations_and_epoll_serves";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    let why = &["uring-plain: io_uring_register: Invalid argument", "Linux 5.7"];
    serves_by(NAME, "epoll", why, |call| {
        let asks = call.number == libc::SYS_io_uring_register && call.arguments[1] == REGISTER_PROBE;
        Ok(if asks { Verdict::Fail(libc::EINVAL) } else { Verdict::Allow })
    });
}

#[test]
fn where_rings_run_out_of_memory_before_every_worker_has_one_epoll_serves() {
    const NAME: &str = "where_rings_run_out_of_memory_before_every_worker_has_one_epoll_serves";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    // Before Linux 5.12 rings count as locked memory, of which there may be enough for one and not for two.
    let mut made = BTreeMap::new();
    let verdict = move |call: &Call| {
        if call.number != libc::SYS_io_uring_setup {
            return Ok(Verdict::Allow);
        }
        let rings: &mut u32 = made.entry(call.thread).or_default();
        *rings += 1;
        Ok(if *rings < 2 { Verdict::Allow } else { Verdict::Fail(libc::ENOMEM) })
    };
    let why = &["uring-plain: ring 2 of 2: io_uring_setup: Cannot allocate memory", "LimitMEMLOCK"];
    serves_by(NAME, "epoll", why, verdict);
}

#[test]
fn where_there_is_no_ring_for_the_log_it_is_written_by_calls() {
    /// Submission entries of the file thread's ring, which no worker's has.
    const OF_THE_LOG: u64 = 8;
    const NAME: &str = "where_there_is_no_ring_for_the_log_it_is_written_by_calls";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    netns::run("ring-log", |inside| {
        let _backend = common::start_backend();
        let mut judged = spawn_judged(NAME, inside, &["--io", "auto"], |call: &Call| {
            let refused = call.number == libc::SYS_io_uring_setup && call.arguments[0] == OF_THE_LOG;
            Ok(if refused { Verdict::Fail(libc::ENOMEM) } else { Verdict::Allow })
        });
        wait_until_ready(&mut judged.gateway);
        serves_the_scenario(inside, &["127.0.0.1:80", "[::1]:80"]);
        let why = "access log by write(2) (io_uring_setup: Cannot allocate memory";
        for said in [announced(&judged.gateway), status()] {
            let line = said.lines().find(|line| line.contains(why)).unwrap_or_else(|| panic!("{said}"));
            assert!(line.contains("uring-defer"), "{line}");
        }
        let labels = ["driver=\"write\"", "Cannot allocate memory"];
        assert_eq!(metric("sluice_access_log_info", &labels), 1.0, "{}", metrics());
        assert_eq!(metric("sluice_ipv6_info", &["served=\"yes\""]), 1.0, "{}", metrics());
    });
}

#[test]
fn a_forced_ring_takes_the_next_best_and_none_where_there_is_none() {
    const NAME: &str = "a_forced_ring_takes_the_next_best_and_none_where_there_is_none";
    if let Some(words) = role::played() {
        become_judged(&CALLS, &words);
    }
    netns::run("forced", |inside| {
        let _backend = common::start_backend();
        let flags = ["--io", "uring", "--steering", "reuseport"];
        let mut judged = spawn_judged(NAME, inside, &flags, without_flags(SINGLE_ISSUER | DEFER_TASKRUN));
        wait_until_ready(&mut judged.gateway);
        serves_the_scenario(inside, &["127.0.0.1:80"]);
        assert!(announced(&judged.gateway).contains("uring-coop"), "{}", judged.gateway.output());
        drop(judged);
        let mut judged = spawn_judged(NAME, inside, &flags, with_operations_below(OP_RECV));
        assert_eq!(judged.gateway.wait().code(), Some(1));
        wait::until("the reason", || judged.gateway.output().contains("lacks IORING_OP_RECV").then_some(()));
        let output = judged.gateway.output();
        let line = output.lines().find(|line| line.contains("lacks")).unwrap();
        assert!(line.contains("--io") && line.contains("Linux 5.7"), "{line}");
    });
}
