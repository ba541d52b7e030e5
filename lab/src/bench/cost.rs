//! CPU time and memory of a process group, as the kernel counts them.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Sub;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::proc;

/// CPU time of every thread of a group's living processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) cpu: Duration,
}

impl Sub for Cost {
    type Output = Duration;

    /// Zero if a thread ended meanwhile that had used more than the others since: then the figure is worth
    /// nothing, and is seen to be.
    fn sub(self, earlier: Self) -> Duration {
        self.cpu.saturating_sub(earlier.cpu)
    }
}

/// CPU time of the process group `group`: nanoseconds on a CPU, user and system (first figure of
/// `/proc/PID/task/TID/schedstat`, Documentation/scheduler/sched-stats.rst).
pub(super) fn cost(group: u32) -> Result<Cost> {
    let mut nanos = 0;
    for process in processes(group)? {
        let tasks = Path::new("/proc").join(process.to_string()).join("task");
        for task in fs::read_dir(&tasks).with_context(|| format!("{}", tasks.display()))? {
            // A thread that has just ended has no file any more.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
    }
    ensure!(nanos > 0, "the kernel counts no CPU time (CONFIG_SCHED_INFO)");
    Ok(Cost { cpu: Duration::from_nanos(nanos) })
}

/// Resident memory of the group in KiB; pages that its processes share count once (`Pss`, proc_pid_smaps(5)).
pub(super) fn resident_kib(group: u32) -> Result<u64> {
    processes(group)?.into_iter().map(proportional_kib).sum()
}

fn proportional_kib(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context(path)?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Its living processes.
fn processes(group: u32) -> Result<BTreeSet<u32>> {
    let found = proc::members(group)?;
    ensure!(!found.is_empty(), "process group {group} is gone");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_group_is_measured_with_its_children() {
        let mut shell = Command::new("sh");
        // The shell waits while its child works.
        let mut child = shell.args(["-c", "(while :; do :; done); :"]).process_group(0).spawn().unwrap();
        let first = gateway_testkit::wait::until("work", || {
            cost(child.id()).ok().filter(|cost| cost.cpu > Duration::from_millis(20))
        });
        let more = gateway_testkit::wait::until("more work", || {
            let spent = cost(child.id()).unwrap() - first;
            (spent > Duration::from_millis(20)).then_some(spent)
        });
        assert!(more < Duration::from_secs(600) && resident_kib(child.id()).unwrap() > 0);
        nix::sys::signal::killpg(
            nix::unistd::Pid::from_raw(child.id().cast_signed()),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
        child.wait().unwrap();
        gateway_testkit::wait::until("its end", || cost(child.id()).is_err().then_some(()));
    }
}
