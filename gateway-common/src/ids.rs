//! Worker slots.

/// Most workers of one process, and the number of entries of the map of loads. Bounds the programs' loops too.
pub const MAX_SLOTS: u32 = 256;

/// Index of the stand-by in the map of sockets, behind the last worker's: a socket of the workers' group that nobody
/// accepts from, where connections wait while no worker has a socket.
pub const STAND_BY: u32 = MAX_SLOTS;

/// Index of a worker in the slot-indexed maps; always below [`MAX_SLOTS`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerSlot(u32);

impl WorkerSlot {
    /// The slot with this index, or `None` from [`MAX_SLOTS`] on.
    #[must_use]
    pub const fn new(index: u32) -> Option<Self> {
        if index < MAX_SLOTS { Some(Self(index)) } else { None }
    }

    /// Its index.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}
