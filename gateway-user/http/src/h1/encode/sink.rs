//! Where heads are written to.

/// The sink has no room. Bytes that were put before stay there: start again with a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the head does not fit the buffer")]
pub struct Full;

/// Takes the bytes of a head in order.
pub trait HeadSink {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// [`Full`] if they don't fit; how many were taken is then unspecified.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full>;
}

impl HeadSink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

impl<S: HeadSink + ?Sized> HeadSink for &mut S {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        (**self).put(bytes)
    }
}

/// A slice that is filled from its start.
#[derive(Debug)]
pub struct SliceSink<'a> {
    slice: &'a mut [u8],
    filled: usize,
}

impl<'a> SliceSink<'a> {
    /// An empty sink over `slice`.
    pub fn new(slice: &'a mut [u8]) -> Self {
        Self { slice, filled: 0 }
    }

    /// Bytes written.
    pub fn filled(&self) -> usize {
        self.filled
    }
}

impl HeadSink for SliceSink<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.filled + bytes.len();
        self.slice.get_mut(self.filled..end).ok_or(Full)?.copy_from_slice(bytes);
        self.filled = end;
        Ok(())
    }
}
