//! The stand-by: where connections wait while no worker has a socket, also after this process was killed.

use gateway_common::Verdict;

use super::Kernel;
use crate::SteerError;

impl Kernel {
    /// Has connections move to workers that wait at the stand-by because for a moment no worker had a socket.
    pub(super) fn empty_stand_by(&mut self) {
        let stood_by = self.programs.counters().map_or(0, |counters| counters.get(Verdict::StoodBy));
        if stood_by > self.stood_by {
            self.stood_by = stood_by;
            self.renew_stand_by();
        }
    }

    /// Has the helper make the stand-by, which may not be the helper of before.
    pub(crate) fn renew_stand_by(&mut self) {
        if !self.is_released {
            self.programs.stand_by(self.port, self.backlog);
        }
    }

    /// Our programs choose in the group of a killed process from now on, and a helper lets go of what it kept of it.
    pub(super) fn succeed_orphan(&mut self) -> Result<(), SteerError> {
        if let Some(orphan) = &self.orphan {
            let what = "steering in place of the process that was killed".to_owned();
            let chosen = self.programs.choose_in_group_of(orphan);
            chosen.map_err(|reason| SteerError::Kernel { what, reason })?;
            // Before the helper's: what waits moves when the last one closes.
            self.orphan = None;
        }
        self.relieve();
        Ok(())
    }

    pub(super) fn relieve(&mut self) {
        if std::mem::take(&mut self.relieves) {
            self.programs.relieve();
        }
    }
}
