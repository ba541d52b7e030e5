//! The bytes behind a chunk: a block of the pool, or memory of its own for what does not fit into one.

use std::{
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use crate::pool::{BULK, BULK_CHUNK_SIZE, CHUNKS, DEFAULT_CHUNK_SIZE, HEADROOM};

/// Initialised bytes that belong to the thread. Dropping them gives them back.
pub(crate) enum Buffer {
    /// A block of the pool.
    Block {
        /// Its first byte.
        start: NonNull<u8>,
        /// Bytes of blocks when it was lent.
        len: usize,
    },
    /// A large block, of [`BULK_BYTES`].
    Bulk(NonNull<u8>),
    /// Of another size than a block, freed on drop.
    Own(Box<[u8]>),
}

const BULK_BYTES: usize = HEADROOM + BULK_CHUNK_SIZE;

impl Buffer {
    /// A large buffer, unless the worker has lent as many as it may, or ordinary ones are as large.
    pub(crate) fn lend_bulk() -> Option<Buffer> {
        if Buffer::ordinary() >= BULK_BYTES {
            return None;
        }
        BULK.try_with(|pool| pool.lend_bulk().map(Buffer::Bulk)).ok().flatten()
    }

    /// Bytes of a block of the pool.
    pub(crate) fn ordinary() -> usize {
        // Err: the thread is ending.
        CHUNKS.try_with(|pool| pool.size()).unwrap_or(HEADROOM + DEFAULT_CHUNK_SIZE)
    }

    /// A buffer of the pool's size, or of `at_least` bytes when that is more.
    pub(crate) fn lend(at_least: usize) -> Buffer {
        let lent = CHUNKS.try_with(|pool| {
            if at_least <= pool.size() {
                return Buffer::Block { start: pool.lend(), len: pool.size() };
            }
            pool.lend_elsewhere(at_least);
            Buffer::own(at_least)
        });
        // Err: the thread is ending.
        lent.unwrap_or_else(|_| Buffer::own(at_least.max(HEADROOM + DEFAULT_CHUNK_SIZE)))
    }

    /// A buffer of so many bytes, however few.
    pub(crate) fn lend_exact(size: usize) -> Buffer {
        // Err: the thread is ending.
        let _ = CHUNKS.try_with(|pool| pool.lend_elsewhere(size));
        Buffer::own(size)
    }

    /// Bytes of it. Makes no reference to them.
    pub(crate) fn len(&self) -> usize {
        match self {
            Buffer::Block { len, .. } => *len,
            Buffer::Bulk(_) => BULK_BYTES,
            Buffer::Own(bytes) => bytes.len(),
        }
    }

    /// Its first byte, for the kernel: of a block without a reference to it.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        match self {
            Buffer::Block { start, .. } | Buffer::Bulk(start) => start.as_ptr(),
            Buffer::Own(bytes) => bytes.as_mut_ptr(),
        }
    }

    fn own(len: usize) -> Buffer {
        // Zeroed by calloc: fresh pages stay untouched, so an unused tail costs no memory.
        Buffer::Own(vec![0; len].into_boxed_slice())
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            // SAFETY: the pool lent `len` initialised bytes from `start` on to this buffer alone,
            // until it is dropped.
            Buffer::Block { start, len } => unsafe { std::slice::from_raw_parts(start.as_ptr(), *len) },
            // SAFETY: as above; large blocks have one size.
            Buffer::Bulk(start) => unsafe { std::slice::from_raw_parts(start.as_ptr(), BULK_BYTES) },
            Buffer::Own(bytes) => bytes,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            // SAFETY: as in `deref`; the exclusive borrow of the buffer is one of its bytes.
            Buffer::Block { start, len } => unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), *len) },
            // SAFETY: as above.
            Buffer::Bulk(start) => unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), BULK_BYTES) },
            Buffer::Own(bytes) => bytes,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Err: the thread is ending and its pool is gone, but not this block's slab, which stays.
        let _ = match self {
            Buffer::Block { start, len } => CHUNKS.try_with(|pool| pool.take_back(*start, *len)),
            Buffer::Bulk(start) => BULK.try_with(|pool| pool.take_back(*start, BULK_BYTES)),
            Buffer::Own(bytes) => CHUNKS.try_with(|pool| pool.freed_elsewhere(bytes.len())),
        };
    }
}
