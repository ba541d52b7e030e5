//! Processors that threads run on.

use std::io;

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// The processors the calling thread may run on (cgroup cpusets and taskset included), ascending.
///
/// # Errors
/// The system call fails.
pub fn usable_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}

/// Pins the calling thread to one processor.
///
/// # Errors
/// There is no such processor, or the cpuset does not contain it.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_that_processor_only() {
        let pinned = std::thread::spawn(|| {
            let last = *usable_cpus().unwrap().last().unwrap();
            pin_to_cpu(last).unwrap();
            (last, usable_cpus().unwrap())
        });
        let (last, left) = pinned.join().unwrap();
        assert_eq!(left, [last]);
        assert!(pin_to_cpu(100_000).is_err());
    }
}
