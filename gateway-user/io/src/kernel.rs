//! Memory that the kernel holds while an operation runs: chunks lent to it, and the rule that they are freed
//! only after it has let go of them.

use std::{
    cell::{Cell, RefCell},
    mem::ManuallyDrop,
};

use monoio::buf::{IoBuf, IoBufMut, IoVecBuf};

use crate::chunk::Chunk;

/// Most chunks one vectored send takes.
pub(crate) const MAX_GATHER: usize = 10;

/// Most gathers a thread keeps for reuse.
const SPARE_GATHERS: usize = 256;

thread_local! {
    #[expect(clippy::vec_box, reason = "the boxes are lent to the kernel as they are")]
    static GATHERS: RefCell<Vec<Box<Gather>>> = const { RefCell::new(Vec::new()) };
    /// Operations whose memory the kernel may still touch.
    static LENT: Cell<usize> = const { Cell::new(0) };
    /// True if the thread's ring still runs. While it does, memory dropped with a completion is
    /// safe to reuse.
    static RING_ALIVE: Cell<bool> = const { Cell::new(false) };
}

/// Number of operations that hold memory of ours.
pub(crate) fn lent() -> usize {
    LENT.get()
}

/// Says whether the ring of this thread runs. With `false`, memory that is still lent is leaked on
/// drop: a ring that is torn down with operations in flight is cleaned up by the kernel later, and may
/// write until then.
pub(crate) fn set_ring_alive(alive: bool) {
    RING_ALIVE.set(alive);
}

/// Memory lent to one operation. It comes back by `into_inner` when the operation's result is taken;
/// it is dropped by monoio when nobody waits any more but the operation has completed, or when the
/// ring itself goes.
struct Lent<T>(ManuallyDrop<T>);

impl<T> Lent<T> {
    fn new(memory: T) -> Lent<T> {
        LENT.set(LENT.get() + 1);
        Lent(ManuallyDrop::new(memory))
    }

    fn into_inner(mut self) -> T {
        LENT.set(LENT.get().saturating_sub(1));
        // SAFETY: `self` is forgotten right after, so the value is taken once and not dropped again.
        let memory = unsafe { ManuallyDrop::take(&mut self.0) };
        std::mem::forget(self);
        memory
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // Err: thread-locals are gone, so is the runtime; leak.
        let _ = LENT.try_with(|lent| lent.set(lent.get().saturating_sub(1)));
        if RING_ALIVE.try_with(Cell::get).unwrap_or(false) {
            // SAFETY: dropped once, here; the operation has completed (its ring runs, and monoio keeps what
            // an abandoned operation uses until its completion).
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

/// An empty chunk lent to a receive.
pub(crate) struct RecvBuf(Lent<Chunk>);

/// A filled chunk lent to a send.
pub(crate) struct SendBuf(Lent<Chunk>);

/// Chunks and the array of their places, lent to a vectored send.
pub(crate) struct GatherBuf(Lent<Box<Gather>>);

/// Up to [`MAX_GATHER`] chunks that go out in one operation. Reused by whichever stream sends next.
pub(crate) struct Gather {
    pub(crate) chunks: Vec<Chunk>,
    places: Vec<libc::iovec>,
}

impl RecvBuf {
    pub(crate) fn new(chunk: Chunk) -> RecvBuf {
        RecvBuf(Lent::new(chunk))
    }

    pub(crate) fn into_chunk(self) -> Chunk {
        self.0.into_inner()
    }
}

impl SendBuf {
    pub(crate) fn new(chunk: Chunk) -> SendBuf {
        SendBuf(Lent::new(chunk))
    }

    pub(crate) fn into_chunk(self) -> Chunk {
        self.0.into_inner()
    }
}

impl Gather {
    /// One without chunks.
    pub(crate) fn take() -> Box<Gather> {
        // Err: the thread is ending.
        let spare = GATHERS.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        let fresh =
            || Gather { chunks: Vec::with_capacity(MAX_GATHER), places: Vec::with_capacity(MAX_GATHER) };
        spare.unwrap_or_else(|| Box::new(fresh()))
    }

    /// Keeps the arrays for the next send; its chunks have gone.
    pub(crate) fn give_back(mut self: Box<Gather>) {
        self.chunks.clear();
        let _ = GATHERS.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_GATHERS {
                spare.push(self);
            }
        });
    }
}

impl GatherBuf {
    pub(crate) fn new(mut gather: Box<Gather>) -> GatherBuf {
        let Gather { chunks, places } = &mut *gather;
        places.clear();
        places.extend(chunks.iter_mut().map(|chunk| {
            let data = chunk.as_mut_slice();
            libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() }
        }));
        GatherBuf(Lent::new(gather))
    }

    pub(crate) fn into_gather(self) -> Box<Gather> {
        self.0.into_inner()
    }
}

// SAFETY: a chunk's data lives on the heap and does not move with the chunk; the whole spare range is
// writable and initialised; `Lent` keeps it alive until the operation has completed.
unsafe impl IoBufMut for RecvBuf {
    fn write_ptr(&mut self) -> *mut u8 {
        self.0.0.room_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.0.0.room_len()
    }

    unsafe fn set_init(&mut self, written: usize) {
        self.0.0.clear();
        self.0.0.commit(written);
    }
}

// SAFETY: the data lives on the heap, does not move with the chunk, and stays alive and unchanged while lent.
unsafe impl IoBuf for SendBuf {
    fn read_ptr(&self) -> *const u8 {
        self.0.0.as_slice().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.0.0.len()
    }
}

// SAFETY: the array and the data it points to live on the heap, do not move with the box, and stay alive and
// unchanged while lent.
unsafe impl IoVecBuf for GatherBuf {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.0.0.places.as_ptr()
    }

    fn read_iovec_len(&self) -> usize {
        self.0.0.places.len()
    }
}
