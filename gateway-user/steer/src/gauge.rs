//! The load gauges: memory that workers write with plain stores and the `sk_reuseport` program reads.

// mmap(2) of a BPF map, which aya does not offer, and access to the memory it gives.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_common::{MAX_SLOTS, SlotLoad};

/// Bytes of all gauges together; a whole number of 4 KiB pages.
const LENGTH: usize = MAX_SLOTS as usize * size_of::<SlotLoad>();

/// [`SlotLoad`] as the user side sees it: the kernel writes `picked` at the same time.
#[repr(C, align(64))]
struct AtomicSlotLoad {
    connections: AtomicU64,
    picked: AtomicU64,
    pad: [AtomicU64; 6],
}

const _: () = assert!(size_of::<AtomicSlotLoad>() == size_of::<SlotLoad>());
const _: () = assert!(align_of::<AtomicSlotLoad>() == align_of::<SlotLoad>());

/// All gauges: the map's memory, or memory of our own where no program reads it.
pub(crate) struct Loads {
    start: NonNull<AtomicSlotLoad>,
}

// SAFETY: the memory lives as long as `Loads` and is accessed through atomics only.
unsafe impl Send for Loads {}
// SAFETY: as above.
unsafe impl Sync for Loads {}

impl Loads {
    /// Maps the memory of the map behind `map`, an array of `MAX_SLOTS` [`SlotLoad`]s made with
    /// `BPF_F_MMAPABLE`.
    pub(crate) fn map(map: BorrowedFd<'_>) -> io::Result<Arc<Self>> {
        Self::mmap(libc::MAP_SHARED, map.as_raw_fd())
    }

    /// Memory that nobody but the gauges' holders sees, so that workers need not know whether a
    /// program reads it.
    pub(crate) fn unread() -> io::Result<Arc<Self>> {
        Self::mmap(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
    }

    fn mmap(flags: libc::c_int, fd: libc::c_int) -> io::Result<Arc<Self>> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: no address is asked for, so no existing mapping is touched; the result is checked below.
        let start = unsafe { libc::mmap(ptr::null_mut(), LENGTH, access, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start =
            NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap(2) gave address zero"))?;
        Ok(Arc::new(Self { start }))
    }

    fn slot(&self, slot: u32) -> Option<&AtomicSlotLoad> {
        if slot >= MAX_SLOTS {
            return None;
        }
        // SAFETY: the mapping holds MAX_SLOTS of these from its page-aligned start; any bytes
        // are valid atomics.
        Some(unsafe { self.start.add(slot as usize).as_ref() })
    }

    pub(crate) fn store(&self, slot: u32, connections: u64) {
        if let Some(load) = self.slot(slot) {
            load.connections.store(connections, Ordering::Relaxed);
            load.picked.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for Loads {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `mmap`; nobody borrows from it any more. A failure
        // leaves it mapped.
        unsafe { libc::munmap(self.start.as_ptr().cast(), LENGTH) };
    }
}

/// A worker's handle on its load. Dropping it takes the worker out of the choice.
pub struct Gauge {
    loads: Arc<Loads>,
    slot: u32,
}

impl Gauge {
    pub(crate) fn new(loads: Arc<Loads>, slot: u32) -> Self {
        Self { loads, slot }
    }

    /// Stores the number of connections that the worker has open: two plain stores, whenever it changes.
    #[inline]
    pub fn set(&self, connections: u64) {
        self.loads.store(self.slot, connections);
    }

    /// Says that the worker takes no more connections; the next [`set`](Self::set) takes that back.
    pub fn offline(&self) {
        self.set(SlotLoad::OFFLINE);
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.offline();
    }
}

impl std::fmt::Debug for Gauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauge").field("slot", &self.slot).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_forgets_what_was_picked_before_it() {
        let loads = Loads::unread().unwrap();
        loads.slot(255).unwrap().picked.store(7, Ordering::Relaxed);
        let gauge = Gauge::new(Arc::clone(&loads), 255);
        gauge.set(3);
        let load = loads.slot(255).unwrap();
        assert_eq!((load.connections.load(Ordering::Relaxed), load.picked.load(Ordering::Relaxed)), (3, 0));
        drop(gauge);
        assert_eq!(loads.slot(255).unwrap().connections.load(Ordering::Relaxed), SlotLoad::OFFLINE);
        assert!(loads.slot(256).is_none());
    }
}
