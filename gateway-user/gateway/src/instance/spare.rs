//! A spare: a process that waits for the end of the one which serves, and takes nothing over from it while it lives.

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tracing::info;

use super::lock_file;
use crate::identity::Identity;
use crate::state_dir;

/// Limit for a process to serve that is started at the same time as this one, and of the two is the one that is to.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Time between two looks whether it does.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The right to use a directory once nobody serves there any more, and whether it was made for this process.
///
/// # Errors
/// As [`Instance::claim`](super::Instance::claim), but that another process has it.
pub(super) fn claim(dir: &Path, identity: &Identity) -> anyhow::Result<(File, bool)> {
    let begun = Instant::now();
    let holder = loop {
        let holder = lock_file::holder_of(dir);
        if holder.is_some() || begun.elapsed() > START_LIMIT {
            break holder;
        }
        sleep(LOOK_INTERVAL);
    };
    match holder {
        Some(holder) => {
            info!("a spare: waits for the end of sluice ({holder}) and of those that take over from it")
        }
        None => info!("a spare: serves, since no other process does"),
    }
    loop {
        let made = state_dir::make(dir, identity)?;
        match lock_file::lock(dir) {
            // Whoever had it made may take it away at its end.
            Err(_) if !dir.exists() => {}
            locked => return Ok((locked?, made)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use gateway_testkit::scratch::Scratch;

    use super::super::Instance;
    use super::*;
    use crate::flags::TakeOver;

    /// Tries again while a spare looks, which takes the lock for a moment.
    fn claimed(dir: &Path) -> Instance {
        Instance::claim(dir, TakeOver::Auto, &Identity::default()).unwrap().instance
    }

    /// Has a spare claim the directory, and says when it has it.
    fn spare(dir: &Path) -> mpsc::Receiver<Instance> {
        let (sender, receiver) = mpsc::channel();
        let dir = dir.to_owned();
        thread::spawn(move || {
            let spare = Instance::claim(&dir, TakeOver::Spare, &Identity::default()).unwrap();
            assert!(spare.taking_over.is_none());
            sender.send(spare.instance).unwrap();
        });
        receiver
    }

    /// Looks longer than a spare waits between two of its own looks.
    fn still_waits(spare: &mpsc::Receiver<Instance>) -> bool {
        spare.recv_timeout(4 * LOOK_INTERVAL).is_err()
    }

    #[test]
    fn a_spare_has_the_directory_when_the_last_descriptor_of_its_lock_is_closed() {
        let dir = Scratch::new("spare").unwrap();
        let first = claimed(dir.path());
        let spare = spare(dir.path());
        assert!(still_waits(&spare));
        let handed_over = first.lock().unwrap();
        first.leave();
        assert!(still_waits(&spare), "who was handed the lock serves");
        drop(handed_over);
        assert!(spare.recv().unwrap().is_ours());
    }

    #[test]
    fn a_spare_has_the_directory_when_the_one_before_has_emptied_and_removed_it() {
        let scratch = Scratch::new("spare").unwrap();
        let dir = scratch.join("state");
        let first = claimed(&dir);
        let spare = spare(&dir);
        assert!(still_waits(&spare));
        drop(first);
        let second = spare.recv().unwrap();
        assert!(second.made() && dir.join(state_dir::LOCK).exists());
        drop(second);
        assert!(!dir.exists());
    }

    #[test]
    fn of_two_that_start_at_once_the_spare_waits_and_alone_it_serves() {
        let dir = Scratch::new("spare").unwrap();
        let spare = spare(dir.path());
        let first = claimed(dir.path());
        assert!(still_waits(&spare));
        drop(first);
        assert!(spare.recv().unwrap().is_ours());
    }
}
