//! `Chunk`: the buffer everything on the data plane is received in, built in and sent from.

use std::{fmt, io, marker::PhantomData, ops::Deref};

use crate::{buffer::Buffer, pool::HEADROOM};

/// A pooled buffer with its data range: `headroom | data | spare`.
///
/// `take` lends one from the worker's pool, drop returns it; neither allocates once the worker is warm. A
/// chunk belongs to the thread that took it (`!Send`).
pub struct Chunk {
    buffer: Buffer,
    // start <= end <= buffer.len(), kept by every method.
    start: usize,
    end: usize,
    // The pool is the thread's.
    _thread: PhantomData<*const ()>,
}

/// The bytes do not fit into the chunk; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes do not fit into the {spare} bytes left of the chunk")]
pub struct ChunkFull {
    /// Bytes that were to be written.
    pub wanted: usize,
    /// Bytes that were free.
    pub spare: usize,
}

impl Chunk {
    /// An empty chunk of the pool's size.
    #[must_use]
    pub fn take() -> Chunk {
        Chunk::with_capacity(0)
    }

    /// An empty chunk for content of a stream that fills ordinary ones: larger where the worker can spare it.
    #[must_use]
    pub fn bulk() -> Chunk {
        match Buffer::lend_bulk() {
            Some(buffer) => Chunk { buffer, start: HEADROOM, end: HEADROOM, _thread: PhantomData },
            None => Chunk::take(),
        }
    }

    /// True if larger chunks pay after this receive: it filled this one, or would have filled
    /// an ordinary one.
    pub(crate) fn is_bulk(&self) -> bool {
        self.spare_len() == 0 || self.end >= Buffer::ordinary()
    }

    /// An empty chunk with room for at least `capacity` bytes. Above the pool's size it is allocated, and
    /// freed on drop: meant for rare large heads.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Chunk {
        let buffer = Buffer::lend(HEADROOM + capacity);
        Chunk { buffer, start: HEADROOM, end: HEADROOM, _thread: PhantomData }
    }

    /// An empty chunk with room for `capacity` bytes in memory of its own, as for a wait of any length. Freed on drop.
    #[must_use]
    pub fn exact(capacity: usize) -> Chunk {
        let buffer = Buffer::lend_exact(HEADROOM + capacity);
        Chunk { buffer, start: HEADROOM, end: HEADROOM, _thread: PhantomData }
    }

    /// Bytes that a chunk of the pool takes.
    #[must_use]
    pub fn ordinary() -> usize {
        Buffer::ordinary() - HEADROOM
    }

    /// The data.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The data, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Bytes of data.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True if no data is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that the chunk can hold from the start of its data on.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Drops the first `n` bytes of data (all of it when there are fewer).
    pub fn advance(&mut self, n: usize) {
        self.start += n.min(self.len());
    }

    /// Keeps the first `n` bytes of data (all of it when there are fewer).
    pub fn truncate(&mut self, n: usize) {
        self.end = self.start + n.min(self.len());
    }

    /// Makes the chunk empty again, with its whole capacity.
    pub fn clear(&mut self) {
        self.start = HEADROOM;
        self.end = HEADROOM;
    }

    /// Free bytes behind the data; write there, then `commit`.
    pub fn spare(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Number of free bytes behind the data.
    #[must_use]
    pub fn spare_len(&self) -> usize {
        self.buffer.len() - self.end
    }

    /// Counts the first `n` spare bytes as data (all of them when there are fewer).
    pub fn commit(&mut self, n: usize) {
        self.end += n.min(self.spare_len());
    }

    /// Appends all of `bytes` or nothing.
    ///
    /// # Errors
    /// [`ChunkFull`] if they are more than [`spare_len`](Self::spare_len).
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), ChunkFull> {
        let full = ChunkFull { wanted: bytes.len(), spare: self.spare_len() };
        let room = self.spare().get_mut(..bytes.len()).ok_or(full)?;
        room.copy_from_slice(bytes);
        self.end += bytes.len();
        Ok(())
    }

    /// Appends as many of `bytes` as fit; gives their number.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let fits = bytes.len().min(self.spare_len());
        match bytes.get(..fits).map(|part| self.extend_from_slice(part)) {
            Some(Ok(())) => fits,
            _ => 0,
        }
    }

    /// Puts `bytes` in front of the data; a fresh or received chunk has room for [`HEADROOM`] bytes.
    ///
    /// # Errors
    /// [`ChunkFull`] if they do not fit in front; nothing is written.
    pub fn prepend(&mut self, bytes: &[u8]) -> Result<(), ChunkFull> {
        let full = ChunkFull { wanted: bytes.len(), spare: self.start };
        let begin = self.start.checked_sub(bytes.len()).ok_or(full)?;
        self.buffer.get_mut(begin..self.start).ok_or(full)?.copy_from_slice(bytes);
        self.start = begin;
        Ok(())
    }

    /// Makes room for `n` more bytes: moves the data to the front, or into a larger buffer of at most `limit`
    /// bytes of data and spare together.
    ///
    /// # Errors
    /// [`ChunkFull`] if data and `n` bytes are more than `limit`; the chunk stays as it is.
    pub fn reserve(&mut self, n: usize, limit: usize) -> Result<(), ChunkFull> {
        if self.spare_len() >= n {
            return Ok(());
        }
        let needed = self.len().saturating_add(n);
        if needed > limit {
            return Err(ChunkFull { wanted: n, spare: self.spare_len() });
        }
        if needed <= self.buffer.len() - HEADROOM {
            self.buffer.copy_within(self.start..self.end, HEADROOM);
            self.end = HEADROOM + self.len();
            self.start = HEADROOM;
            return Ok(());
        }
        // Doubling keeps the copies of a head that trickles in linear in its size.
        let mut larger = Chunk::with_capacity(needed.max(self.capacity() * 2).min(limit));
        larger.extend_from_slice(self.as_slice())?;
        *self = larger;
        Ok(())
    }

    /// Splits the data after `at` bytes (clamped): `self` keeps the front, the tail is copied into a
    /// chunk of its own.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Chunk {
        let at = at.min(self.len());
        let tail = self.as_slice().get(at..).unwrap_or_default();
        let mut rest = Chunk::with_capacity(tail.len());
        // Cannot fail: the capacity was just asked for.
        let _ = rest.extend_from_slice(tail);
        self.truncate(at);
        rest
    }

    /// The same data; what is less than half of its buffer moves into memory of its own, as for a wait of any length.
    #[must_use]
    pub fn compact(self) -> Chunk {
        if HEADROOM + self.len() > self.buffer.len() / 2 {
            return self;
        }
        let mut small = Chunk::exact(self.len());
        // Cannot fail: the room was just asked for.
        let _ = small.extend_from_slice(&self);
        small
    }

    /// Start of the memory that a receive writes to. The chunk must be empty. A pointer, since the next
    /// reference to these bytes would end its right to write.
    pub(crate) fn room_ptr(&mut self) -> *mut u8 {
        self.clear();
        // SAFETY: the headroom lies within every buffer.
        unsafe { self.buffer.as_mut_ptr().add(HEADROOM) }
    }

    /// Number of bytes that a receive may write there.
    pub(crate) fn room_len(&self) -> usize {
        self.buffer.len() - HEADROOM
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("len", &self.len()).field("spare", &self.spare_len()).finish()
    }
}

impl io::Write for Chunk {
    /// Writes all or fails with `WriteZero`, so that `write!` can build a head.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes).map_err(|_| io::Error::from(io::ErrorKind::WriteZero))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
