//! The kernel refuses the new process its programs, at once or half way.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use gateway_testkit::process::Guarded;
use gateway_testkit::wait;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use crate::common::steady::SteadyClients;
use crate::common::{HTTP, SLUICE, sluice, text};
use crate::line::{DRAIN, Line, ended_well, serves_on, with_line};
use crate::role;

const EBPF: &[&str] = &["--steering", "ebpf"];
/// Commands of bpf(2): maps can be made, and then no program loaded; all loaded, and then none attached.
const STEPS: [(&str, u64); 3] = [("BPF_MAP_CREATE", 0), ("BPF_PROG_LOAD", 5), ("BPF_LINK_CREATE", 28)];

/// In a copy: becomes `sluice` with one command of bpf(2) refused for good.
fn become_filtered(words: &[String]) -> ! {
    let command: u64 = words[0].parse().unwrap();
    let is_it = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, command).unwrap();
    let rules = BTreeMap::from([(libc::SYS_bpf, vec![SeccompRule::new(vec![is_it]).unwrap()])]);
    let refused = SeccompAction::Errno(libc::EACCES.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    // For this thread, which is the whole process after execve(2).
    apply_filter(&program).unwrap();
    panic!("{SLUICE}: {}", Command::new(SLUICE).args(&words[1..]).exec());
}

/// Starts `sluice run` on the state directory of the line in a copy of the test `name`.
fn spawn_filtered(name: &str, line: &Line<'_>, command: u64, steering: &str) -> Guarded {
    let path = |path: PathBuf| path.display().to_string();
    let state = path(line.inside.scratch().join("state"));
    let (config, bpffs) = (path(line.running.config.path().to_owned()), path(line.inside.bpffs().to_owned()));
    let command = command.to_string();
    let words = [
        &[command.as_str(), "run", &config, "--state-dir", &state, "--bpffs", &bpffs, "--steering", steering]
            [..],
        &DRAIN,
    ];
    Guarded::spawn(&mut role::copy(name, &words.concat())).unwrap()
}

#[test]
fn auto_takes_over_with_sockets_alone() {
    const NAME: &str = "refused_programs::auto_takes_over_with_sockets_alone";
    if let Some(words) = role::played() {
        become_filtered(&words);
    }
    with_line("take-refused-auto", EBPF, |line| {
        for (step, command) in STEPS {
            let steady = SteadyClients::start(HTTP);
            let new = spawn_filtered(NAME, line, command, "auto");
            ended_well(line.succeeded_by(new));
            steady.wait_for_more(100);
            let said = text(&sluice(&["status"]));
            assert!(said.contains("reuseport ("), "{step}: {said}");
            assert_eq!(line.pin_directories(), Vec::<PathBuf>::new(), "{step}");
            // And back.
            line.upgrade(EBPF);
            steady.wait_for_more(50);
            steady.must_be_clean();
            assert_eq!(line.pin_directories().len(), 1);
        }
    });
}

#[test]
fn who_wants_programs_or_nothing_gets_nothing() {
    const NAME: &str = "refused_programs::who_wants_programs_or_nothing_gets_nothing";
    if let Some(words) = role::played() {
        become_filtered(&words);
    }
    with_line("take-refused-forced", EBPF, |line| {
        let pins = line.pin_directories();
        let steady = SteadyClients::start(HTTP);
        for (step, command) in STEPS {
            let mut new = spawn_filtered(NAME, line, command, "ebpf");
            assert!(!new.wait().success(), "{step}: {}", new.output());
            wait::until(&format!("{step}: the reason in {}", new.output()), || {
                new.output().contains("--steering ebpf").then_some(())
            });
            assert_eq!(line.pin_directories(), pins, "{step}");
            steady.wait_for_more(50);
        }
        steady.must_be_clean();
        serves_on(line, EBPF, &pins);
    });
}
