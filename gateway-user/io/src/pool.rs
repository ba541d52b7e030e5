//! The worker's idle blocks: those of chunks and those of tasks, kept on the thread that uses them.

use std::{
    cell::{Cell, RefCell},
    ptr::NonNull,
};

use crate::slabs::Slabs;

/// Bytes kept free before the data of every chunk, so that a chunk-size line or a frame head can be put in
/// front of a received body without a copy.
pub const HEADROOM: usize = 32;

/// Default size of a chunk in bytes, headroom not counted. One receive takes at most this much, but
/// for long bodies.
pub const DEFAULT_CHUNK_SIZE: usize = 16 * 1024;

/// Bytes of a chunk for a stream that fills ordinary ones, headroom not counted: an eighth of the operations
/// for the same bytes. Larger ones gain little more.
pub(crate) const BULK_CHUNK_SIZE: usize = 128 * 1024;

/// Most such chunks that a worker lends (16 MiB), so that many fast senders to slow receivers take no
/// more than that.
const MAX_BULK: usize = 128;

/// Default cap on the number of idle buffers of one worker (16 MiB of 16 KiB chunks).
pub const DEFAULT_IDLE_BUFFERS: usize = 1024;

/// Bytes of the blocks that tasks are placed in: two pages less what lets them begin at different offsets.
pub(crate) const TASK_BYTES: usize = 7 * 1024;

/// Hundredths of the buffers that may be lent: with so many lent they are short, no large ones are lent, and
/// callers begin to choose whom to serve.
const SHORT: usize = 60;
/// And with so many the rest is the reserve of what is under way.
const FULL: usize = 80;

/// Most blocks of a pool whose pages go back at once, so that no connection waits for those of a whole crowd.
const TRIMMED_AT_ONCE: usize = 512;

/// Figures of the calling thread's pools: of that of chunks, unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes a fresh chunk takes, headroom not counted.
    pub chunk_size: usize,
    /// Number of buffers lent and not yet returned, those of [`bulk`](Self::bulk) included.
    pub lent: usize,
    /// Number of large buffers lent, for streams that fill ordinary ones; at most 128.
    pub bulk: usize,
    /// Number of buffers that wait to be lent again, their pages included.
    pub idle: usize,
    /// Number of buffers that had to be made when they were wanted, since the thread began.
    pub allocated: u64,
    /// Number of futures in blocks of their own, see [`place`](crate::place).
    pub placed: usize,
    /// Bytes of all buffers lent, of any size.
    pub lent_bytes: usize,
}

/// Share of a worker's buffers that is lent, against [`RuntimeOptions::buffer_limit`](crate::RuntimeOptions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BufferLevel {
    /// Fewer than three fifths.
    Plenty,
    /// More than that: nobody should take more than others.
    Short,
    /// Four fifths: the rest is the reserve of what is under way, and of those that have least.
    Full,
    /// All. Streams under way still get more, or they could not end and give back what they have; nothing
    /// new should begin.
    Exhausted,
}

/// Blocks of one size.
pub(crate) struct Pool {
    size: Cell<usize>,
    cap: Cell<usize>,
    lent: Cell<usize>,
    /// Of those that are lent.
    bytes: Cell<usize>,
    allocated: Cell<u64>,
    /// Fewest idle blocks since the last trim: so many were not needed.
    spare: Cell<usize>,
    /// Warm ones last. They keep their pages.
    idle: RefCell<Vec<NonNull<u8>>>,
    slabs: RefCell<Slabs>,
}

thread_local! {
    pub(crate) static CHUNKS: Pool = const { Pool::new(HEADROOM + DEFAULT_CHUNK_SIZE) };
    pub(crate) static BULK: Pool = const { Pool::new(HEADROOM + BULK_CHUNK_SIZE) };
    pub(crate) static TASKS: Pool = const { Pool::new(TASK_BYTES) };
    /// Most bytes of buffers that should be lent.
    static LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Sets the calling thread's chunk size, cap and limit of bytes; chunks of another size are not lent again.
pub(crate) fn configure(chunk_size: usize, idle_buffers: usize, limit: usize) {
    LIMIT.set(limit);
    CHUNKS.with(|pool| {
        pool.trim(usize::MAX);
        pool.size.set(HEADROOM + chunk_size.max(64));
        pool.slabs.borrow_mut().set_size(pool.size.get());
        pool.cap.set(idle_buffers);
    });
}

/// The calling thread's pools, for metrics and tests.
#[must_use]
pub fn pool_stats() -> PoolStats {
    CHUNKS.with(|pool| PoolStats {
        chunk_size: pool.size.get() - HEADROOM,
        lent: pool.lent.get() + BULK.with(|bulk| bulk.lent.get()),
        bulk: BULK.with(|bulk| bulk.lent.get()),
        idle: pool.idle.borrow().len(),
        allocated: pool.allocated.get(),
        placed: TASKS.with(|tasks| tasks.lent.get()),
        lent_bytes: lent_bytes(),
    })
}

/// Share of the calling thread's buffers that is lent. Costs a few loads.
#[must_use]
pub fn buffer_level() -> BufferLevel {
    let (lent, limit) = (lent_bytes(), LIMIT.get());
    if lent < limit / 100 * SHORT {
        BufferLevel::Plenty
    } else if lent < limit / 100 * FULL {
        BufferLevel::Short
    } else if lent < limit {
        BufferLevel::Full
    } else {
        BufferLevel::Exhausted
    }
}

fn lent_bytes() -> usize {
    // Err: the thread is ending.
    let bytes = |pool: &Pool| pool.bytes.get();
    CHUNKS.try_with(bytes).unwrap_or(0) + BULK.try_with(bytes).unwrap_or(0)
}

/// Gives back the pages of a quarter of the calling thread's blocks that were not needed since the last call,
/// and of those above the cap, but of so few that nobody has to wait. Called several times a second, it lets
/// a burst's memory go within seconds and keeps that of a steady load.
pub fn trim_pool() {
    CHUNKS.with(Pool::trim_unneeded);
    BULK.with(Pool::trim_unneeded);
    TASKS.with(Pool::trim_unneeded);
}

/// Asks the C library to give free pages of all threads back to the system, in a thread of its own: it goes
/// through all that is free, holding one arena's lock at a time. The library itself only ever cuts an arena's
/// end, so memory of a burst would stay for good behind anything that outlived it. Of a program with another
/// allocator for Rust this is the memory of code in C, such as that of TLS handshakes.
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

impl Pool {
    const fn new(size: usize) -> Pool {
        Pool {
            size: Cell::new(size),
            cap: Cell::new(DEFAULT_IDLE_BUFFERS),
            lent: Cell::new(0),
            bytes: Cell::new(0),
            allocated: Cell::new(0),
            spare: Cell::new(0),
            idle: RefCell::new(Vec::new()),
            slabs: RefCell::new(Slabs::new(size)),
        }
    }

    /// Bytes of the blocks that are lent now.
    pub(crate) fn size(&self) -> usize {
        self.size.get()
    }

    /// A block of [`size`](Self::size) initialised bytes, aligned to [`ALIGN`](crate::slabs::ALIGN).
    pub(crate) fn lend(&self) -> NonNull<u8> {
        self.lent.set(self.lent.get() + 1);
        self.bytes.set(self.bytes.get() + self.size.get());
        let mut idle = self.idle.borrow_mut();
        if let Some(block) = idle.pop() {
            self.spare.set(self.spare.get().min(idle.len()));
            return block;
        }
        self.allocated.set(self.allocated.get() + 1);
        self.slabs.borrow_mut().take()
    }

    /// A block unless [`MAX_BULK`] are lent, or buffers are short.
    pub(crate) fn lend_bulk(&self) -> Option<NonNull<u8>> {
        (self.lent.get() < MAX_BULK && buffer_level() == BufferLevel::Plenty).then(|| self.lend())
    }

    /// Takes back a block that was lent when blocks had `size` bytes.
    pub(crate) fn take_back(&self, block: NonNull<u8>, size: usize) {
        self.lent.set(self.lent.get().saturating_sub(1));
        self.bytes.set(self.bytes.get().saturating_sub(size));
        if size == self.size.get() {
            self.idle.borrow_mut().push(block);
        } else {
            self.slabs.borrow_mut().give_back([block].into_iter());
        }
    }

    /// Counts a buffer of `size` bytes that is too big for a block.
    pub(crate) fn lend_elsewhere(&self, size: usize) {
        self.lent.set(self.lent.get() + 1);
        self.bytes.set(self.bytes.get() + size);
        self.allocated.set(self.allocated.get() + 1);
    }

    /// And its end.
    pub(crate) fn freed_elsewhere(&self, size: usize) {
        self.lent.set(self.lent.get().saturating_sub(1));
        self.bytes.set(self.bytes.get().saturating_sub(size));
    }

    fn trim_unneeded(&self) {
        let unneeded = self.spare.get().div_ceil(4);
        let above = self.idle.borrow().len().saturating_sub(self.cap.get());
        self.trim(unneeded.max(above).min(TRIMMED_AT_ONCE));
    }

    /// Gives back the pages of up to `count` blocks.
    fn trim(&self, count: usize) {
        let mut idle = self.idle.borrow_mut();
        let count = count.min(idle.len());
        // The front: what was lent last is warm.
        self.slabs.borrow_mut().give_back(idle.drain(..count));
        if idle.capacity() > 4 * idle.len().max(DEFAULT_IDLE_BUFFERS) {
            idle.shrink_to(2 * DEFAULT_IDLE_BUFFERS);
        }
        self.spare.set(idle.len());
    }
}

impl Drop for Pool {
    /// Blocks that are lent when their thread ends keep their slab in memory for good: the
    /// kernel may have one.
    fn drop(&mut self) {
        self.trim(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lend_and_take_back(pool: &Pool, count: usize) {
        let lent: Vec<_> = (0..count).map(|_| pool.lend()).collect();
        lent.into_iter().for_each(|block| pool.take_back(block, pool.size()));
    }

    #[test]
    fn blocks_of_a_burst_go_and_those_in_use_stay() {
        let pool = Pool::new(64);
        lend_and_take_back(&pool, 100);
        assert_eq!(pool.idle.borrow().len(), 100);
        // The first call learns what is there.
        pool.trim_unneeded();
        for _ in 0..40 {
            lend_and_take_back(&pool, 10);
            pool.trim_unneeded();
        }
        assert_eq!(pool.idle.borrow().len(), 10, "what a steady load needs");
        let allocated = pool.allocated.get();
        lend_and_take_back(&pool, 10);
        assert_eq!(pool.allocated.get(), allocated);
    }

    #[test]
    fn what_is_above_the_cap_goes_sooner_and_not_all_at_once() {
        let pool = Pool::new(64);
        pool.cap.set(10);
        lend_and_take_back(&pool, 1000);
        let idle = || pool.idle.borrow().len();
        pool.trim_unneeded();
        assert_eq!(idle(), 1000 - TRIMMED_AT_ONCE);
        pool.trim_unneeded();
        assert_eq!((idle(), pool.slabs.borrow().count()), (10, 1));
    }

    #[test]
    fn buffers_of_every_size_are_counted_and_large_ones_end_when_they_are_short() {
        let body = || {
            use crate::chunk::Chunk;
            const SIZE: usize = HEADROOM + 1000;
            configure(1000, 10, 400 * 1024);
            assert_eq!(buffer_level(), BufferLevel::Plenty);
            let mut held: Vec<_> = (0..10).map(|_| Chunk::take()).collect();
            held.push(Chunk::with_capacity(5000));
            held.push(Chunk::bulk());
            let lent = 10 * SIZE + HEADROOM + 5000 + HEADROOM + BULK_CHUNK_SIZE;
            assert_eq!(pool_stats().lent_bytes, lent);
            held.push(Chunk::bulk());
            assert_eq!((buffer_level(), pool_stats().bulk), (BufferLevel::Short, 2));
            held.push(Chunk::bulk());
            assert_eq!(pool_stats().bulk, 2, "an ordinary one in its place");
            held.push(Chunk::with_capacity(60 * 1024));
            assert_eq!(buffer_level(), BufferLevel::Full);
            // Beyond the limit: who is under way gets them all the same.
            held.push(Chunk::with_capacity(100 * 1024));
            assert_eq!(buffer_level(), BufferLevel::Exhausted);
            held.push(Chunk::take());
            drop(held);
            assert_eq!((pool_stats().lent_bytes, buffer_level()), (0, BufferLevel::Plenty));
        };
        std::thread::spawn(body).join().unwrap();
    }

    #[test]
    fn a_thread_that_ends_unmaps_all_but_what_is_lent() {
        fn is_mapped(place: usize) -> bool {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            maps.lines().filter_map(|line| line.split(' ').next()?.split_once('-')).any(|(from, to)| {
                let [from, to] = [from, to].map(|end| usize::from_str_radix(end, 16).unwrap());
                (from..to).contains(&place)
            })
        }
        let ended = |lost: usize| {
            let body = move || {
                configure(1_000_000, 10, usize::MAX);
                let blocks: Vec<_> = CHUNKS.with(|pool| (0..2).map(|_| pool.lend()).collect());
                blocks.iter().skip(lost).for_each(|b| CHUNKS.with(|pool| pool.take_back(*b, pool.size())));
                assert!(blocks.iter().all(|block| is_mapped(block.addr().get())));
                blocks.iter().map(|block| block.addr().get()).collect::<Vec<_>>()
            };
            std::thread::spawn(body).join().unwrap()
        };
        assert!(ended(1).into_iter().all(is_mapped), "the kernel may still write there");
        // Other threads may map something at the same place at once, but not each time.
        assert!((0..50).any(|_| !ended(0).into_iter().any(is_mapped)));
    }
}
