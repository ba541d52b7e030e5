//! The loop of the compiler thread.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use tracing::{info, warn};

use super::plane::Plane;
use super::schedule::Schedule;
use super::{Compiler, MOST_QUIET_TIMES, Wake};

/// Quiet times without work after which a change is the first one.
const RESTED: u32 = 4;
/// Longest pause before an address is tried again that is missing: the node that had it may be about to end.
const ADDRESS_RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl<P: Plane> Compiler<P> {
    pub(super) fn run(&mut self) {
        self.poll(true);
        let mut schedule = Schedule::new(self.is_unsettled());
        let mut look_at = Instant::now() + schedule.pause();
        loop {
            let mut overtaken = false;
            let rest = look_at.saturating_duration_since(Instant::now());
            let rest = if self.plane.lacks_addresses() { rest.min(ADDRESS_RETRY_INTERVAL) } else { rest };
            let due = self.plane.due_in().filter(|due| *due < rest);
            let wake = match self.wakes.recv_timeout(due.unwrap_or(rest)) {
                Ok(Wake::Changed) => self.debounce().inspect(|_| overtaken = true),
                Ok(other) => Some(other),
                Err(RecvTimeoutError::Disconnected) => Some(Wake::Stop),
                Err(RecvTimeoutError::Timeout) if due.is_some() => {
                    self.poll(false);
                    self.say_applied();
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.look();
                    schedule.advance(self.is_unsettled());
                    look_at = Instant::now() + schedule.pause();
                    continue;
                }
            };
            match wake {
                None | Some(Wake::Changed | Wake::Resume) => self.poll(false),
                Some(Wake::Reload(done)) => self.reload([done]),
                Some(Wake::Adopt(worker)) => self.adopt(worker),
                Some(Wake::Hold(holds)) => {
                    let _ = holds.send(());
                    if !self.wait_for_resume() {
                        break;
                    }
                }
                Some(Wake::Keep) => self.begin_to_keep(),
                Some(Wake::Assigned | Wake::Built) => self.again(),
                Some(Wake::Stop) => break,
            }
            // Commands that came during the quiet time were taken from the queue; they are not sent again.
            if overtaken {
                self.poll(false);
            }
            self.say_applied();
            schedule.restart(self.is_unsettled());
            look_at = Instant::now() + schedule.pause();
        }
    }

    /// True if there is something that may work if it is tried again.
    fn is_unsettled(&self) -> bool {
        !self.idle.is_empty() || self.plane.is_unsettled()
    }

    fn reload(&mut self, asked: impl IntoIterator<Item = oneshot::Sender<()>>) {
        info!("reloading the configuration, as requested");
        self.poll(true);
        self.asked.extend(asked);
        self.say_applied();
    }

    /// Tells those who asked for a reload that what was read is live, once no part of it waits for its
    /// expressions.
    fn say_applied(&mut self) {
        if !self.plane.is_building() {
            // The caller may have stopped waiting.
            for done in self.asked.drain(..) {
                let _ = done.send(());
            }
        }
    }

    fn adopt(&mut self, worker: usize) {
        match self.runtime.block_on(self.plane.adopt(worker)) {
            Ok(()) => {
                self.idle.remove(&worker);
                info!(worker, "replacement worker is serving");
            }
            Err(error) => {
                self.idle.insert(worker);
                warn!(worker, "the replacement worker has no configuration yet; retried: {error}");
            }
        }
        // The configuration that missed them may be live by now.
        self.retry();
    }

    /// Puts off what comes, and does it when resumed; false if it is to end instead.
    fn wait_for_resume(&mut self) -> bool {
        let (mut reloads, mut newcomers, mut assigned) = (Vec::new(), Vec::new(), false);
        loop {
            match self.wakes.recv() {
                Ok(Wake::Changed) => {}
                Ok(Wake::Reload(done)) => reloads.push(done),
                Ok(Wake::Adopt(worker)) => newcomers.push(worker),
                Ok(Wake::Hold(holds)) => drop(holds.send(())),
                Ok(Wake::Keep) => self.begin_to_keep(),
                Ok(Wake::Assigned | Wake::Built) => assigned = true,
                Ok(Wake::Resume) => break,
                Ok(Wake::Stop) | Err(_) => return false,
            }
        }
        newcomers.into_iter().for_each(|worker| self.adopt(worker));
        if assigned {
            self.again();
        }
        if reloads.is_empty() {
            self.poll(false);
        } else {
            self.reload(reloads);
        }
        true
    }

    /// Waits until events pause; gives the first that is not about files. The first change after a pause waits for nothing,
    /// unless changes come by halves: others that follow it are taken together.
    fn debounce(&self) -> Option<Wake> {
        let rested = self.ended.is_none_or(|ended| ended.elapsed() > self.debounce * RESTED);
        if rested && !self.first_waits {
            return None;
        }
        let latest = Instant::now() + self.debounce * MOST_QUIET_TIMES + self.took;
        loop {
            let quiet = self.debounce.min(latest.saturating_duration_since(Instant::now()));
            match self.wakes.recv_timeout(quiet) {
                Ok(Wake::Changed) if Instant::now() < latest => {}
                Ok(Wake::Changed) | Err(RecvTimeoutError::Timeout) => return None,
                Ok(other) => return Some(other),
                Err(RecvTimeoutError::Disconnected) => return Some(Wake::Stop),
            }
        }
    }

    /// Takes what is new and acts on it; `anyway` also if nothing is.
    fn poll(&mut self, anyway: bool) {
        let begun = Instant::now();
        self.runtime.block_on(self.plane.poll(anyway));
        self.took = begun.elapsed();
        self.ended = Some(Instant::now());
    }

    fn begin_to_keep(&mut self) {
        self.plane.begin_to_keep();
    }

    /// Acts on what is held though nothing in it has changed.
    fn again(&mut self) {
        self.runtime.block_on(self.plane.again());
    }

    /// Without an event: takes what is new though nobody said so, and else tries again what did not work.
    fn look(&mut self) {
        self.idle.clone().into_iter().for_each(|worker| self.adopt(worker));
        if self.plane.differs() {
            self.poll(false);
        } else {
            self.retry();
        }
    }

    /// Tries again what did not work.
    fn retry(&mut self) {
        self.runtime.block_on(self.plane.retry());
    }
}
