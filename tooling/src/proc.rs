//! The kernel's figures of processes (proc(5)).

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// `VmRSS` in KiB (proc_pid_status(5)).
///
/// # Errors
/// There is no such process.
pub fn rss_kib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmRSS:")
}

/// The largest `VmRSS` in KiB since [`forget_peak`].
///
/// # Errors
/// There is no such process.
pub fn peak_kib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmHWM:")
}

/// Begins a new peak (proc_pid_clear_refs(5)).
///
/// # Errors
/// There is no such process, or it is another user's.
pub fn forget_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| path)
}

fn status_kib(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let value = value.with_context(|| format!("no {field} in {path}"))?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

/// Time on CPUs so far, user and system, in steps of 10 ms (proc_pid_stat(5)).
///
/// # Errors
/// There is no such process.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    cpu_of(&stat).with_context(|| format!("{path}: {stat}"))
}

/// The sum of [`cpu`] over these.
///
/// # Errors
/// One of them has ended.
pub fn cpu_of_all(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// Time that all CPUs of the machine were busy, and all their time, since the boot, in steps of 10 ms
/// (proc_stat(5)).
///
/// # Errors
/// The kernel does not say.
pub fn machine() -> Result<(Duration, Duration)> {
    let path = "/proc/stat";
    let stat = fs::read_to_string(path).context(path)?;
    machine_of(&stat).with_context(|| format!("{path}: {stat}"))
}

/// Of user, nice, system, idle, iowait, irq, softirq and steal, idle and iowait are not busy;
/// guests are in user.
fn machine_of(stat: &str) -> Option<(Duration, Duration)> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let ticks: Vec<u64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    let (total, idle) = (ticks.iter().sum::<u64>(), ticks.get(3)? + ticks.get(4)?);
    Some((Duration::from_millis((total - idle) * 10), Duration::from_millis(total * 10)))
}

/// Fields 14 and 15 (proc_pid_stat(5)), counted behind the name in parentheses.
fn cpu_of(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    // USER_HZ is 100 on every architecture that we run on.
    Some(Duration::from_millis(ticks * 10))
}

/// The id of the first child that a process with one thread has, if it has any: unshare and nsenter start a
/// program as their only child, since only a child can be in another PID namespace.
pub fn first_child(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Ids of the living processes whose parent is `parent`.
///
/// # Errors
/// `/proc` cannot be read.
pub fn children(parent: u32) -> Result<BTreeSet<u32>> {
    select(|_, ppid, _| ppid == parent)
}

/// Ids of the living processes of the process group `group`, zombies left out.
///
/// # Errors
/// `/proc` cannot be read.
pub fn members(group: u32) -> Result<BTreeSet<u32>> {
    select(|state, _, pgrp| state != "Z" && pgrp == group)
}

/// Living processes for whose state, parent and process group this holds (proc_pid_stat(5)).
fn select(wanted: impl Fn(&str, u32, u32) -> bool) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that has just ended has no file any more.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // pid (name) state ppid pgrp …; the name may hold spaces and brackets.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
        if let [state, ppid, pgrp] = fields.take(3).collect::<Vec<_>>()[..]
            && wanted(state, ppid.parse()?, pgrp.parse()?)
        {
            found.insert(process);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use gateway_testkit::process::Guarded;
    use gateway_testkit::wait;

    use super::*;

    #[test]
    fn our_own_memory_has_a_size_and_a_peak() {
        let pid = std::process::id();
        assert!(rss_kib(pid).unwrap() > 0);
        assert!(peak_kib(pid).unwrap() > 0);
        assert!(status_kib(pid, "VmNothing:").is_err(), "what is not there is not 0");
    }

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 900 0 3 0 150 50 0 0 20 0 5 0 100 1000 10";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_of("7 (a"), None);
        cpu(std::process::id()).unwrap();
    }

    #[test]
    fn waiting_is_not_busy() {
        let times = machine_of("cpu  10 1 20 60 5 1 2 1 7 7\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
        assert_eq!(times, Some((Duration::from_millis(350), Duration::from_secs(1))));
        assert_eq!(machine_of("cpu0 1 2"), None);
        assert!(machine().unwrap().1 > Duration::ZERO);
    }

    #[test]
    fn a_child_is_found_by_its_parent() {
        let parent = Guarded::spawn(Command::new("sh").args(["-c", "sleep 300 & wait"])).unwrap();
        let child = wait::until("the child", || first_child(parent.pid()));
        assert_ne!(child, parent.pid());
        assert_eq!(first_child(child), None);
        assert_eq!(children(parent.pid()).unwrap(), BTreeSet::from([child]));
        assert!(members(nix::unistd::getpgrp().as_raw().cast_unsigned()).unwrap().contains(&parent.pid()));
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child.cast_signed()),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
    }
}
