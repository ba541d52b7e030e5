//! Priorities of threads.

/// Steps by which a thread that nobody waits for is nicer than others (nice(2)): it gets a tenth of a CPU that both want.
const STEPS: i32 = 10;

/// Has the calling thread make way for others: on Linux this is a thread's own (sched(7)). Writing thousands of objects to disk
/// would delay the changes that come meanwhile.
pub(crate) fn make_way() {
    // A system that refuses that has it take longer, and nothing else.
    let _ = rustix::process::nice(STEPS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_asks_makes_way() {
        let before = rustix::process::nice(0).unwrap();
        let there = std::thread::spawn(|| {
            make_way();
            rustix::process::nice(0).unwrap()
        });
        assert_eq!(there.join().unwrap(), (before + STEPS).min(19));
        assert_eq!(rustix::process::nice(0).unwrap(), before);
    }
}
