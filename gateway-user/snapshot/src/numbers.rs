//! Numbers that stay: what has one in a snapshot has the same in the next, if that is compiled after it.
//!
//! Rules and tables that two snapshots share have numbers written in them, so a number must mean the same
//! thing in both. A thing that goes leaves its number free for the next compile; in its own it stays unused,
//! since what was compiled before it was known to go may name it.

/// Numbers while a snapshot is compiled.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// For each number whether the previous snapshot uses it.
    before: Vec<bool>,
    /// For each number whether this one does.
    used: Vec<bool>,
    /// Numbers below this one are not free.
    free_from: usize,
}

impl Numbers {
    /// `before` says of each number whether the previous snapshot uses it.
    pub(crate) fn after(before: Vec<bool>) -> Self {
        Self { used: vec![false; before.len()], before, free_from: 0 }
    }

    /// A number that neither snapshot uses yet. `None` if there are no more.
    pub(crate) fn take(&mut self) -> Option<u32> {
        while self.before.get(self.free_from) == Some(&true) || self.used.get(self.free_from) == Some(&true) {
            self.free_from += 1;
        }
        let id = u32::try_from(self.free_from).ok()?;
        self.mark(id);
        Some(id)
    }

    /// This snapshot uses the number.
    pub(crate) fn mark(&mut self, id: u32) {
        let id = id as usize;
        if id >= self.used.len() {
            self.used.resize(id + 1, false);
        }
        if let Some(used) = self.used.get_mut(id) {
            *used = true;
        }
    }

    /// Count of the numbers, used or not.
    pub(crate) fn len(&self) -> usize {
        self.used.len()
    }

    /// True if other numbers are used than before.
    pub(crate) fn changed(&self) -> bool {
        self.used != self.before
    }

    /// For each number whether it is used.
    pub(crate) fn into_used(self) -> Vec<bool> {
        self.used
    }

    /// Numbers that are not used.
    pub(crate) fn unused(&self) -> impl Iterator<Item = usize> + '_ {
        self.used.iter().enumerate().filter(|(_, used)| !**used).map(|(id, _)| id)
    }
}
