//! The load of workers: memory that a worker writes and the `sk_reuseport` program reads.

/// One worker's load. Its own cache line, so that workers storing theirs do not slow each other down.
///
/// The load that the program compares is `connections + picked`. A worker stores `connections` whenever it
/// changes and sets `picked` to zero with it; the program adds one to `picked` for each connection it gives
/// to the slot. So a burst that arrives faster than workers accept still spreads, and a guess that went wrong
/// (a SYN that never became a connection) is forgotten at the worker's next store.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLoad {
    /// Number of open connections, as the worker last stored it; [`SlotLoad::OFFLINE`] when the slot
    /// has no worker.
    pub connections: u64,
    /// Number of connections given to the slot since that store.
    pub picked: u64,
    /// Fills the cache line; zero.
    pub pad: [u64; 6],
}

impl SlotLoad {
    /// Value of `connections` of a slot without a worker: above every real load, small enough to
    /// add `picked` to.
    pub const OFFLINE: u64 = 1 << 62;
}

const _: () = assert!(size_of::<SlotLoad>() == 64 && align_of::<SlotLoad>() == 64);
