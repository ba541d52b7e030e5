//! The worker's idle buffers: plain boxes of one size, kept on the thread that uses them.

use std::cell::{Cell, RefCell};

/// Bytes kept free before the data of every chunk, so that a chunk-size line or a frame head can be put in
/// front of a received body without a copy.
pub const HEADROOM: usize = 32;

/// Default size of a chunk in bytes, headroom not counted. One receive takes at most this much.
pub const DEFAULT_CHUNK_SIZE: usize = 16 * 1024;

/// Default cap on idle buffers of one worker (16 MiB of 16 KiB chunks).
pub const DEFAULT_IDLE_BUFFERS: usize = 1024;

/// What the calling thread's pool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes a fresh chunk takes, headroom not counted.
    pub chunk_size: usize,
    /// Buffers lent and not yet returned, big ones included.
    pub lent: usize,
    /// Buffers waiting to be lent again.
    pub idle: usize,
    /// Buffers taken from the allocator since the thread began.
    pub allocated: u64,
}

struct Pool {
    size: Cell<usize>,
    cap: Cell<usize>,
    lent: Cell<usize>,
    allocated: Cell<u64>,
    /// Fewest idle buffers since the last trim: so many were not needed.
    spare: Cell<usize>,
    idle: RefCell<Vec<Box<[u8]>>>,
}

thread_local! {
    static POOL: Pool = const {
        Pool {
            size: Cell::new(HEADROOM + DEFAULT_CHUNK_SIZE),
            cap: Cell::new(DEFAULT_IDLE_BUFFERS),
            lent: Cell::new(0),
            allocated: Cell::new(0),
            spare: Cell::new(0),
            idle: RefCell::new(Vec::new()),
        }
    };
}

/// Sets the calling thread's chunk size and cap; buffers of another size are freed when they come back.
pub(crate) fn configure(chunk_size: usize, idle_buffers: usize) {
    POOL.with(|pool| {
        pool.size.set(HEADROOM + chunk_size.max(64));
        pool.cap.set(idle_buffers);
        pool.idle.borrow_mut().clear();
    });
}

/// The calling thread's pool, for metrics and tests.
#[must_use]
pub fn pool_stats() -> PoolStats {
    POOL.with(|pool| PoolStats {
        chunk_size: pool.size.get() - HEADROOM,
        lent: pool.lent.get(),
        idle: pool.idle.borrow().len(),
        allocated: pool.allocated.get(),
    })
}

/// A buffer of the pool's size, or of `at_least` bytes when that is more. Its bytes are initialised.
pub(crate) fn lend(at_least: usize) -> Box<[u8]> {
    POOL.try_with(|pool| {
        pool.lent.set(pool.lent.get() + 1);
        let size = pool.size.get();
        if at_least <= size {
            let mut idle = pool.idle.borrow_mut();
            if let Some(buffer) = idle.pop() {
                pool.spare.set(pool.spare.get().min(idle.len()));
                return buffer;
            }
        }
        pool.allocated.set(pool.allocated.get() + 1);
        // Zeroed by calloc: fresh pages stay untouched, so an unused tail costs no memory.
        vec![0; size.max(at_least)].into_boxed_slice()
    })
    // The thread is ending: serve from the allocator.
    .unwrap_or_else(|_| vec![0; at_least.max(HEADROOM + DEFAULT_CHUNK_SIZE)].into_boxed_slice())
}

/// Frees half of the calling thread's buffers that were not needed since the last call. Called every second or so, it
/// lets a burst's buffers go within half a minute, and keeps those of a steady load.
pub fn trim_pool() {
    POOL.with(|pool| {
        let mut idle = pool.idle.borrow_mut();
        let excess = pool.spare.get().min(idle.len()).div_ceil(2);
        // The front: what was lent last is warm.
        idle.drain(..excess);
        pool.spare.set(idle.len());
    });
}

/// Asks the C library to give free pages of all threads back to the system, in a thread of its own: it goes through
/// all that is free, holding one arena's lock at a time. The library itself only ever cuts an arena's end, so memory of
/// a burst would stay for good behind anything that outlived it.
pub fn give_back_free_memory() {
    #[cfg(target_env = "gnu")]
    {
        let trim = || {
            // SAFETY: malloc_trim(3) is thread-safe and touches free memory only.
            unsafe { libc::malloc_trim(0) };
        };
        // Without a thread the memory stays, which harms nobody.
        let _ = std::thread::Builder::new().name("trim".to_owned()).spawn(trim);
    }
}

/// Takes a buffer back; frees it when it has another size or enough are idle.
pub(crate) fn take_back(buffer: Box<[u8]>) {
    // Err: the thread is ending and its pool is gone; the buffer is simply freed.
    let _ = POOL.try_with(|pool| {
        pool.lent.set(pool.lent.get().saturating_sub(1));
        let mut idle = pool.idle.borrow_mut();
        if buffer.len() == pool.size.get() && idle.len() < pool.cap.get() {
            idle.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_a_burst_go_and_those_in_use_stay() {
        configure(64, DEFAULT_IDLE_BUFFERS);
        let burst: Vec<_> = (0..100).map(|_| lend(0)).collect();
        burst.into_iter().for_each(take_back);
        assert_eq!(pool_stats().idle, 100);
        // The first call learns what is there.
        trim_pool();
        for _ in 0..20 {
            let steady: Vec<_> = (0..10).map(|_| lend(0)).collect();
            steady.into_iter().for_each(take_back);
            trim_pool();
        }
        assert_eq!(pool_stats().idle, 10, "what a steady load needs");
        let allocated = pool_stats().allocated;
        let steady: Vec<_> = (0..10).map(|_| lend(0)).collect();
        assert_eq!(pool_stats().allocated, allocated);
        drop(steady);
    }
}
