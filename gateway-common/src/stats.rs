//! Verdicts of the kernel programs, one per-CPU counter each.

/// Decision of a program on one packet. The discriminant is the index in the map
/// [`VERDICTS`](crate::maps::VERDICTS).
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// `sk_lookup`: the destination is none of our binds; left to the host's own sockets.
    NotOurs = 0,
    /// `sk_lookup`: given to the group of worker sockets.
    Steered = 1,
    /// `sk_lookup`: ours, but no worker has a socket, and there is no stand-by; left to the host, which refuses it or
    /// serves it itself.
    NoWorker = 2,
    /// `sk_lookup`: ours, but another program attached before had a socket for it; left there.
    Taken = 3,
    /// `sk_lookup`: ours, but the map entry makes no sense or the socket was refused by the kernel; dropped.
    Broken = 4,
    /// `sk_reuseport`: went to the less loaded of two workers.
    Picked = 5,
    /// `sk_reuseport`: the chosen worker has no socket; went to another one.
    PickedOther = 6,
    /// `sk_reuseport`: a connection of a closing socket, not yet accepted, moved to a live worker.
    Migrated = 7,
    /// `sk_reuseport`: nobody to move such a connection to; the kernel resets it.
    MigrateFailed = 8,
    /// `sk_reuseport`: no slot could be chosen; the kernel chose by its own hash.
    Hashed = 9,
    /// `sk_lookup`: a reserved port on an address of the node; left to the host, whatever the binds say.
    Reserved = 10,
    /// `sk_lookup`: ours, and no worker has a socket; given to the stand-by.
    Held = 11,
    /// `sk_reuseport`: no worker has a socket; a connection that is new, or that was not accepted when its worker's socket
    /// closed, went to the stand-by.
    StoodBy = 12,
}

impl Verdict {
    /// Number of verdicts, which is that of the map's entries.
    pub const COUNT: u32 = 13;

    /// All of them, in the order of their indices.
    pub const ALL: [Self; Self::COUNT as usize] = [
        Self::NotOurs,
        Self::Steered,
        Self::NoWorker,
        Self::Taken,
        Self::Broken,
        Self::Picked,
        Self::PickedOther,
        Self::Migrated,
        Self::MigrateFailed,
        Self::Hashed,
        Self::Reserved,
        Self::Held,
        Self::StoodBy,
    ];

    /// Index in the map of counters.
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// Stable name for metrics and status.
    #[cfg(feature = "user")]
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotOurs => "lookup_not_ours",
            Self::Steered => "lookup_steered",
            Self::NoWorker => "lookup_no_worker",
            Self::Taken => "lookup_taken",
            Self::Broken => "lookup_broken",
            Self::Picked => "reuseport_picked",
            Self::PickedOther => "reuseport_picked_other",
            Self::Migrated => "reuseport_migrated",
            Self::MigrateFailed => "reuseport_migrate_failed",
            Self::Hashed => "reuseport_hashed",
            Self::Reserved => "lookup_reserved",
            Self::Held => "lookup_held",
            Self::StoodBy => "reuseport_stood_by",
        }
    }
}

const _: () = {
    let mut index = 0;
    while index < Verdict::ALL.len() {
        assert!(Verdict::ALL[index] as usize == index);
        index += 1;
    }
};
