//! The system's allocator, counting what each thread asks of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
    static IN_USE: Cell<i64> = const { Cell::new(0) };
}

fn count(asked: usize, freed: usize) {
    // A thread that is going away has no counters any more, and nobody to read them.
    let _ = ASKED.try_with(|cell| cell.set(cell.get() + asked as u64));
    let _ = IN_USE.try_with(|cell| cell.set(cell.get() + asked as i64 - freed as i64));
}

// SAFETY: every method passes its arguments on to `System`, which upholds the contract of GlobalAlloc, and
// returns what `System` returns. Counting touches thread-local Cells without destructors, which neither
// allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`: a layout of non-zero size.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller got `pointer` from `alloc` above with this layout, so `System` did allocate it.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller got `pointer` from `alloc` above with this layout, and `size` is not zero.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that a piece of work asked for on this thread, and by how many what is in use grew.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) asked: u64,
    pub(crate) kept: i64,
}

/// Runs `work` and counts.
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> (T, Bytes) {
    let before = (ASKED.get(), IN_USE.get());
    let result = work();
    (result, Bytes { asked: ASKED.get() - before.0, kept: IN_USE.get() - before.1 })
}
