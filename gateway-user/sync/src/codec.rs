//! Frames in a stream of bytes: a length of four bytes, the most significant first, then a protobuf message.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::frame::Down;

/// Longest frame of a node. Nodes read strangers' bytes, so what they send is bounded.
pub const MAX_UP: usize = 1 << 20;
/// Longest frame of a controller: an object of Kubernetes is 1.5 MiB at most, and grows in translation.
pub const MAX_DOWN: usize = 32 << 20;

/// Bytes that are received at once; memory grows with what came, not with what a length claims.
const PIECE: usize = 64 << 10;

/// The end of a stream of frames.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A length beyond the bound.
    #[error("a frame of {0} bytes is longer than allowed")]
    TooLong(usize),
    /// No message of its kind.
    #[error("a frame cannot be read: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// The stream ends within a frame.
    #[error("the connection ended within a frame")]
    Cut,
    /// The stream fails.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A frame as it is written.
pub fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(4 + length);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // Fails only for lack of room, and buffers of this kind grow.
    let _ = message.encode(&mut bytes);
    bytes.freeze()
}

/// Receives frames.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    buffer: BytesMut,
    max: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Frames of at most `max` bytes.
    pub fn new(stream: R, max: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), max }
    }

    /// Another longest frame from here on.
    pub fn allow(&mut self, max: usize) {
        self.max = max;
    }

    /// The next frame; `None` at the end of the stream. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, ReadError> {
        Ok(match self.next_bytes().await? {
            Some(bytes) => Some(M::decode(bytes)?),
            None => None,
        })
    }

    /// The same as bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn next_bytes(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            if let Some(frame) = take(&mut self.buffer, self.max)? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(PIECE);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ReadError::Cut) };
            }
        }
    }
}

/// A controller's frame out of the bytes that [`take`] gave.
///
/// # Errors
/// It is none.
pub fn down(bytes: Bytes) -> Result<Down, ReadError> {
    Ok(Down::decode(bytes)?)
}

/// Takes a whole frame off the front.
///
/// # Errors
/// It is longer than `max`.
pub fn take(buffer: &mut BytesMut, max: usize) -> Result<Option<Bytes>, ReadError> {
    let Some(mut length) = buffer.get(..4) else { return Ok(None) };
    let length = length.get_u32() as usize;
    if length > max {
        return Err(ReadError::TooLong(length));
    }
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Ack, ServedGateway, Up, UpFrame};

    /// As many ListenerSets as are served at most (decision 338), of the longest names that Kubernetes takes.
    #[test]
    fn an_ack_of_all_sets_that_can_be_served_is_half_a_frame_at_most() {
        let set = |number: usize| ServedGateway {
            namespace: "n".repeat(63),
            name: format!("{number:s>253}"),
            digest: "d".repeat(16),
        };
        let ack = Ack { listener_sets: (0..1_024).map(set).collect(), ..Ack::default() };
        let bytes = encode(&Up::from(UpFrame::Ack(ack)));
        assert!(bytes.len() > 300 << 10 && bytes.len() <= MAX_UP / 2, "{}", bytes.len());
    }
}
