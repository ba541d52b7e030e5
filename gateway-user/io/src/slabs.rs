//! Blocks of one size in memory of their own, whose pages go back to the system when nobody needs them.
//!
//! The C library's heap can't do that: what a crowd leaves behind lies between things that stay, and the
//! pages of a freed buffer are its own to keep.

use std::{
    alloc::{Layout, handle_alloc_error},
    ptr::{self, NonNull},
};

/// Blocks of one slab: a bit each in a word.
const BLOCKS: usize = 64;

/// Any block begins at a multiple of this: two cache lines, as the runtime's timers want it.
pub(crate) const ALIGN: usize = 128;

/// Most different offsets of blocks in their pages.
const COLOURS: usize = 16;

/// The largest page a kernel of this architecture may use: giving back a part of one would take all of it.
const PAGE: usize = if cfg!(target_arch = "x86_64") { 4 * 1024 } else { 64 * 1024 };

/// The slabs of one pool of one thread.
pub(crate) struct Slabs {
    shape: Shape,
    /// Ordered by address.
    slabs: Vec<Slab>,
    /// No slab before this one has an empty block.
    roomy: usize,
}

/// Sizes in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// From one block to the next: whole pages.
    stride: usize,
    /// Blocks that all began at a page would share few lines of the processor's cache.
    colours: usize,
}

/// One mapping. Blocks of another shape than the present one come back to where they were taken from.
struct Slab {
    base: NonNull<u8>,
    shape: Shape,
    /// A bit for each block that nobody has and that holds no page.
    empty: u64,
}

impl Slabs {
    /// Makes nothing before the first block is taken.
    pub(crate) const fn new(size: usize) -> Slabs {
        Slabs { shape: Shape::of(size), slabs: Vec::new(), roomy: 0 }
    }

    /// From now on blocks have this many bytes.
    pub(crate) fn set_size(&mut self, size: usize) {
        self.shape = Shape::of(size);
        self.roomy = 0;
    }

    /// A block of zeros.
    pub(crate) fn take(&mut self) -> NonNull<u8> {
        let shape = self.shape;
        let has_room = |slab: &Slab| slab.empty != 0 && slab.shape == shape;
        while self.slabs.get(self.roomy).is_some_and(|slab| !has_room(slab)) {
            self.roomy += 1;
        }
        if self.roomy == self.slabs.len() {
            let slab = Slab::map(shape);
            self.roomy = self.slabs.partition_point(|other| other.base < slab.base);
            self.slabs.insert(self.roomy, slab);
        }
        // The index was found or made just above.
        #[expect(clippy::indexing_slicing, reason = "in bounds by the lines above")]
        self.slabs[self.roomy].take()
    }

    /// Takes back blocks that nobody uses any more, and gives their pages to the system.
    pub(crate) fn give_back(&mut self, blocks: impl Iterator<Item = NonNull<u8>>) {
        let mut blocks: Vec<_> = blocks.collect();
        blocks.sort_unstable();
        let mut blocks = blocks.into_iter().peekable();
        while let Some(first) = blocks.peek() {
            let after = self.slabs.partition_point(|slab| slab.base <= *first);
            let index = after.saturating_sub(1);
            // Blocks come from slabs and slabs with a block out stay: there is one.
            let Some(slab) = self.slabs.get_mut(index) else { return };
            let mut left = 0;
            while let Some(block) = blocks.next_if(|block| slab.holds(*block)) {
                left |= 1 << slab.number(block);
            }
            debug_assert!(left != 0 && slab.empty & left == 0, "not a block of ours, or given back twice");
            if left == 0 {
                return;
            }
            slab.vacate(left);
            self.roomy = self.roomy.min(index);
            if slab.empty == u64::MAX {
                self.slabs.remove(index).unmap();
            }
        }
    }

    /// Mappings there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.slabs.len()
    }
}

impl Shape {
    const fn of(size: usize) -> Shape {
        let stride = size.next_multiple_of(PAGE);
        let colours = (stride - size) / ALIGN;
        let colours = if colours > COLOURS { COLOURS } else { colours };
        Shape { stride, colours: if colours == 0 { 1 } else { colours } }
    }

    fn bytes(self) -> usize {
        self.stride * BLOCKS
    }
}

impl Slab {
    fn map(shape: Shape) -> Slab {
        let bytes = shape.bytes();
        let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory that is in use.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, rights, kind, -1, 0) };
        let base = NonNull::new(base.cast::<u8>()).filter(|_| base != libc::MAP_FAILED);
        let Some(base) = base else {
            let layout = Layout::from_size_align(bytes, PAGE).unwrap_or(Layout::new::<u8>());
            // As every allocation does when there is no memory.
            handle_alloc_error(layout)
        };
        // With a huge page the first byte of a block would take two megabytes. Kernels without them refuse.
        // SAFETY: the mapping was just made; the advice changes none of its contents.
        unsafe { advise(base, bytes, libc::MADV_NOHUGEPAGE) };
        Slab { base, shape, empty: u64::MAX }
    }

    /// An empty block; there must be one.
    fn take(&mut self) -> NonNull<u8> {
        let number = self.empty.trailing_zeros() as usize % BLOCKS;
        self.empty &= !(1 << number);
        let offset = number * self.shape.stride + number % self.shape.colours * ALIGN;
        // SAFETY: block `number` lies in the mapping, its colour within its stride.
        unsafe { self.base.add(offset) }
    }

    fn holds(&self, block: NonNull<u8>) -> bool {
        block.addr().get().checked_sub(self.base.addr().get()).is_some_and(|at| at < self.shape.bytes())
    }

    fn number(&self, block: NonNull<u8>) -> usize {
        (block.addr().get() - self.base.addr().get()) / self.shape.stride % BLOCKS
    }

    /// Gives the pages of some blocks to the system: one call for each run of neighbours.
    fn vacate(&mut self, left: u64) {
        self.empty |= left;
        if self.empty == u64::MAX {
            // All of it goes with the mapping.
            return;
        }
        let mut rest = left;
        while rest != 0 {
            let first = rest.trailing_zeros();
            let count = (rest >> first).trailing_ones();
            rest &= !((u64::MAX >> (u64::BITS - count)) << first);
            let (first, count) = (first as usize, count as usize);
            // SAFETY: the run lies in the mapping, and nobody has one of its blocks: each was given back.
            // Pages read as zeros afterwards.
            unsafe {
                let begin = self.base.add(first * self.shape.stride);
                advise(begin, count * self.shape.stride, libc::MADV_DONTNEED);
            }
        }
    }

    /// Ends the mapping, of which nobody may have a block.
    fn unmap(self) {
        debug_assert_eq!(self.empty, u64::MAX);
        // SAFETY: the mapping is ours and no block of it is out, so nothing refers to it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.shape.bytes()) };
    }
}

/// madvise(2), which Miri does not know; there memory that is not needed is zeroed in place.
///
/// # Safety
/// The range lies in one mapping, and with `MADV_DONTNEED` nobody refers to it.
unsafe fn advise(begin: NonNull<u8>, bytes: usize, advice: libc::c_int) {
    #[cfg(not(miri))]
    // SAFETY: the caller's promise.
    unsafe {
        libc::madvise(begin.as_ptr().cast(), bytes, advice)
    };
    #[cfg(miri)]
    if advice == libc::MADV_DONTNEED {
        // SAFETY: the caller's promise.
        unsafe { begin.as_ptr().write_bytes(0, bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 5000;

    fn write(block: NonNull<u8>, byte: u8) {
        // SAFETY: a block of `SIZE` bytes that this test has.
        unsafe { block.as_ptr().write_bytes(byte, SIZE) }
    }

    fn read(block: NonNull<u8>) -> Vec<u8> {
        // SAFETY: as for `write`; all bytes of a block are initialised.
        unsafe { std::slice::from_raw_parts(block.as_ptr(), SIZE) }.to_vec()
    }

    #[test]
    fn blocks_do_not_overlap_and_hold_what_is_written() {
        let mut slabs = Slabs::new(SIZE);
        let blocks: Vec<_> = (0..200).map(|_| slabs.take()).collect();
        assert_eq!(slabs.count(), 4);
        for (number, block) in blocks.iter().enumerate() {
            assert_eq!(block.addr().get() % ALIGN, 0);
            assert!(read(*block).iter().all(|byte| *byte == 0), "fresh blocks are zeros");
            write(*block, number as u8 + 1);
        }
        for (number, block) in blocks.iter().enumerate() {
            assert!(read(*block).iter().all(|byte| *byte == number as u8 + 1));
        }
        slabs.give_back(blocks.into_iter());
        assert_eq!(slabs.count(), 0, "slabs that are all empty go");
    }

    #[test]
    fn blocks_given_back_are_zeros_again_and_their_neighbours_stay() {
        let mut slabs = Slabs::new(SIZE);
        let blocks: Vec<_> = (0..130).map(|_| slabs.take()).collect();
        blocks.iter().for_each(|block| write(*block, 7));
        // Runs, single ones, and both ends.
        let leaves = |number: usize| number % 7 < 3 || number == 63 || number == 129;
        slabs.give_back((0..130).filter(|n| leaves(*n)).map(|n| blocks[n]));
        for number in (0..130).filter(|n| !leaves(*n)) {
            assert!(read(blocks[number]).iter().all(|byte| *byte == 7), "block {number} is lent");
        }
        let gone = (0..130).filter(|n| leaves(*n)).count();
        let again: Vec<_> = (0..gone).map(|_| slabs.take()).collect();
        let mut places: Vec<_> = again.iter().map(|block| block.addr()).collect();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), gone);
        assert!(again.iter().all(|block| read(*block).iter().all(|byte| *byte == 0)));
        assert_eq!(slabs.count(), 3, "what was empty is used before more is mapped");
        slabs.give_back(again.into_iter().chain((0..130).filter(|n| !leaves(*n)).map(|n| blocks[n])));
        assert_eq!(slabs.count(), 0);
    }

    #[test]
    fn blocks_of_a_former_size_come_back_to_their_slab() {
        let mut slabs = Slabs::new(SIZE);
        let old = slabs.take();
        slabs.set_size(3 * SIZE);
        let new = slabs.take();
        assert_eq!(slabs.count(), 2);
        slabs.give_back([old, new].into_iter());
        assert_eq!(slabs.count(), 0);
    }
}
