//! Heads are written straight into the buffer they are sent from.

use gateway_http::h1::encode::{Full, HeadSink};
use gateway_io::Chunk;

/// Largest head that is sent: far above what is received, so that filters have room to add.
const MAX_HEAD: usize = 256 * 1024;

/// Writes into a chunk, which moves into a larger buffer when a head outgrows the pool's.
pub(crate) struct ChunkSink<'a> {
    chunk: &'a mut Chunk,
}

impl<'a> ChunkSink<'a> {
    pub(crate) fn new(chunk: &'a mut Chunk) -> Self {
        Self { chunk }
    }
}

impl HeadSink for ChunkSink<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if self.chunk.extend_from_slice(bytes).is_ok() {
            return Ok(());
        }
        self.chunk.reserve(bytes.len(), MAX_HEAD).map_err(|_| Full)?;
        self.chunk.extend_from_slice(bytes).map_err(|_| Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_head_grows_its_chunk_up_to_a_limit() {
        let mut chunk = Chunk::take();
        let mut sink = ChunkSink::new(&mut chunk);
        let line = [b'x'; 1000];
        let fits = std::iter::repeat_with(|| sink.put(&line)).take(MAX_HEAD / 1000).all(|put| put.is_ok());
        assert!(fits);
        assert_eq!((sink.put(&line), chunk.len()), (Err(Full), MAX_HEAD / 1000 * 1000));
    }
}
