//! Map layouts, names and numbers that the kernel programs and the user side share.
//!
//! Everything here is `repr(C)`, made of integers only and free of hidden padding, because both sides read
//! the same bytes: no `bool`, no `enum` in memory, no `Option`. Sizes and alignments are asserted while
//! compiling. The user side turns on the feature `user` for conversions that need `std`.
//!
//! A change to anything in here that a map or a pin can see needs a new [`LAYOUT_VERSION`].
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "user")]
extern crate std;

mod ids;
mod load;
mod stats;
mod steer;

pub use ids::{MAX_SLOTS, STAND_BY, WorkerSlot};
pub use load::SlotLoad;
pub use stats::Verdict;
pub use steer::{
    IPPROTO_TCP, MAX_BINDS, MAX_POOL, PoolNetwork, STATE_SERVE, SteerConfig, SteerGuard, SteerKey, SteerValue,
};

/// Number of the version of every layout, map name and program name in this crate. Pins live in a directory
/// named after it, so that a binary never reads the maps of another layout.
pub const LAYOUT_VERSION: u32 = 3;

/// Names of maps in the object, and of their pins.
pub mod maps {
    /// Hash map [`SteerKey`](crate::SteerKey) → [`SteerValue`](crate::SteerValue).
    pub const BINDS: &str = "BINDS";
    /// `BPF_MAP_TYPE_SOCKMAP`: worker slot → that worker's listening socket; [`STAND_BY`](crate::STAND_BY) → the socket
    /// of none.
    pub const SOCKETS: &str = "SOCKETS";
    /// Memory-mapped array: worker slot → [`SlotLoad`](crate::SlotLoad).
    pub const LOADS: &str = "LOADS";
    /// Array of one [`SteerConfig`](crate::SteerConfig).
    pub const CONFIG: &str = "CONFIG";
    /// Per-CPU array: [`Verdict`](crate::Verdict) → count, `u64`.
    pub const VERDICTS: &str = "VERDICTS";
    /// All of them.
    pub const ALL: [&str; 5] = [BINDS, SOCKETS, LOADS, CONFIG, VERDICTS];
}

/// Names of read-only data in the object.
pub mod globals {
    /// The [`SteerGuard`](crate::SteerGuard), frozen before the programs are loaded.
    pub const GUARD: &str = "GUARD";
    /// The map that holds it.
    pub const MAP: &str = ".rodata";
}

/// Names of programs in the object, and of their pins.
pub mod programs {
    /// The `sk_lookup` program.
    pub const SK_LOOKUP: &str = "sluice_lookup";
    /// The `sk_reuseport` program.
    pub const SK_REUSEPORT: &str = "sluice_reuse";
    /// Pin of the link that attaches [`SK_LOOKUP`] to a network namespace.
    pub const SK_LOOKUP_LINK: &str = "lookup_link";
}
