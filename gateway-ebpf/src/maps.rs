//! The maps, and the few ways in which programs touch them.
//!
//! Layouts are in `gateway_common`; the user side finds each map by its Rust name (`gateway_common::maps`).

use core::ptr::addr_of;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, SockMap};
use gateway_common::{
    MAX_BINDS, MAX_SLOTS, STAND_BY, SlotLoad, SteerConfig, SteerGuard, SteerKey, SteerValue, Verdict,
};

/// Binds that are steered: written by the user side only.
#[map]
pub(crate) static BINDS: HashMap<SteerKey, SteerValue> =
    HashMap::with_max_entries(MAX_BINDS, aya_ebpf::bindings::BPF_F_NO_PREALLOC);

/// Worker slot → listening socket, and [`STAND_BY`] → the stand-by; the kernel empties an entry when its socket closes.
/// It serves both programs: a socket cannot be in a `SOCKMAP` and a `REUSEPORT_SOCKARRAY` at once (EBUSY).
#[map]
pub(crate) static SOCKETS: SockMap = SockMap::with_max_entries(STAND_BY + 1, 0);

/// Worker slot → load, mapped into the workers' memory.
#[map]
pub(crate) static LOADS: Array<SlotLoad> = Array::with_max_entries(MAX_SLOTS, BPF_F_MMAPABLE);

/// One entry: settings that the user side writes before it attaches anything.
#[map]
pub(crate) static CONFIG: Array<SteerConfig> = Array::with_max_entries(1, 0);

/// Verdict → count.
#[map]
pub(crate) static VERDICTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Verdict::COUNT, 0);

/// Ports and networks that are never steered. The user side fills them in before the kernel sees the object,
/// and freezes them; the name is `gateway_common::globals::GUARD`.
#[unsafe(no_mangle)]
pub(crate) static GUARD: SteerGuard = SteerGuard::NONE;

/// Slots in use.
#[derive(Clone, Copy)]
pub(crate) struct Slots(*const SteerConfig);

impl Slots {
    /// Those of this process.
    #[inline(always)]
    pub(crate) fn get() -> Option<Self> {
        CONFIG.get_ptr(0).map(Self)
    }

    /// Number of them, at most [`MAX_SLOTS`].
    #[inline(always)]
    pub(crate) fn count(self) -> u32 {
        let count = self.read();
        if count < MAX_SLOTS { count } else { MAX_SLOTS }
    }

    /// True if a slot is one of them. It reads the number anew each time: a loop over [`MAX_SLOTS`] whose end the compiler
    /// knew to be no higher than it would lose that bound, and the verifier accepts no loop without one.
    #[inline(always)]
    pub(crate) fn has(self, slot: u32) -> bool {
        slot < self.read()
    }

    #[inline(always)]
    fn read(self) -> u32 {
        // SAFETY: memory of a map, aligned, valid while the program runs.
        unsafe { addr_of!((*self.0).slots).read_volatile() }
    }
}

/// Adds one to a verdict's counter of this CPU.
#[inline(always)]
pub(crate) fn count(verdict: Verdict) {
    if let Some(counter) = VERDICTS.get_ptr_mut(verdict.index()) {
        // SAFETY: the pointer is to this CPU's own u64, aligned to 8, valid until the program returns;
        // a program of ours is not preempted by another one of ours on the same CPU (both run with
        // bottom halves off).
        unsafe { *counter = (*counter).wrapping_add(1) };
    }
}
