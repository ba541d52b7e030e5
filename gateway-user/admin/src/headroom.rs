//! Open files beyond the soft limit, for connections of operators when those of the data plane have taken all
//! others.

use std::sync::{Mutex, PoisonError};

use rustix::process::{Resource, getrlimit, setrlimit};

/// Part of the hard limit that is not the data plane's, and the most of it: a descriptor for each connection
/// of the servers for health, metrics and admin.
const PART: u64 = 16;
const MOST: u64 = 112;

/// The limit is the process's, and three servers raise it.
static RAISING: Mutex<()> = Mutex::new(());

/// The soft limit of open files (RLIMIT_NOFILE, getrlimit(2)) that leaves room for operators below this hard
/// one.
#[must_use]
pub fn soft_limit(hard: u64) -> u64 {
    hard - (hard / PART).min(MOST)
}

/// Runs `accept` with a higher soft limit, if it is below the hard one; `None` if it is not. Other threads
/// have the higher limit too meanwhile, so `accept` must not wait.
pub(crate) fn with<T>(accept: impl FnOnce() -> T) -> Option<T> {
    let _alone = RAISING.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current?;
    let raised = limit.maximum.map_or(soft.saturating_add(MOST), |hard| hard.min(soft.saturating_add(MOST)));
    if raised <= soft {
        return None;
    }
    let set = |current| {
        setrlimit(
            Resource::Nofile,
            rustix::process::Rlimit { current: Some(current), maximum: limit.maximum },
        )
    };
    set(raised).ok()?;
    let accepted = accept();
    // Lowering a limit needs no right; what is open above it stays.
    let _ = set(soft);
    Some(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_a_part_of_the_limit() {
        for (hard, soft) in [(64, 60), (400, 375), (1024, 960), (1792, 1680), (20_000, 19_888)] {
            assert_eq!(soft_limit(hard), soft);
        }
    }
}
