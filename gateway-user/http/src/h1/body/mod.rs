//! Message bodies (RFC 9112 sections 6 and 7): which of the bytes received are content, and where the message
//! ends.

mod chunked;
mod trailers;

use std::ops::Range;

use chunked::ChunkState;
use trailers::Trailers;

use super::error::BodyError;
use super::framing::BodyFraming;
use super::limits::BodyLimits;
use crate::head::{Field, Fields};

/// The result of one call of [`BodyDecoder::decode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyStep {
    /// Bytes of the input that are done with; offer the rest again.
    pub consumed: usize,
    /// Which of them are content, possibly none. Ends at or before `consumed`.
    pub data: Range<usize>,
    /// True if the body is over. Bytes after `consumed` are the next message's.
    pub finished: bool,
}

/// Reads one body after another. Holds the limits and the storage for trailers, so keep it for the
/// connection.
#[derive(Debug, Default)]
pub struct BodyDecoder {
    limits: BodyLimits,
    state: State,
    content: u64,
    trailers: Trailers,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Done,
    Length(u64),
    Chunked(ChunkState),
    UntilClose,
    Failed(BodyError),
}

impl BodyDecoder {
    /// A decoder with no body to read yet.
    pub fn new(limits: BodyLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Begins a body, forgetting the one before.
    ///
    /// # Errors
    /// [`BodyError::TooLong`] if the announced length is over the limit.
    pub fn begin(&mut self, framing: BodyFraming) -> Result<(), BodyError> {
        self.trailers.clear();
        self.content = 0;
        self.state = match framing {
            BodyFraming::None | BodyFraming::Length(0) => State::Done,
            BodyFraming::Length(length) if length > self.limits.content => return Err(BodyError::TooLong),
            BodyFraming::Length(length) => State::Length(length),
            BodyFraming::Chunked => State::Chunked(ChunkState::default()),
            BodyFraming::UntilClose => State::UntilClose,
        };
        Ok(())
    }

    /// True if the body is over.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Content bytes still to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Content bytes read so far.
    pub fn content_read(&self) -> u64 {
        self.content
    }

    /// Reads on. Gives at most one run of content, and consumes at least one byte unless the input is empty
    /// or the body is over, so call it until `finished` or until the input is used up.
    ///
    /// # Errors
    /// The rule the body breaks; every further call gives the same one.
    pub fn decode(&mut self, input: &[u8]) -> Result<BodyStep, BodyError> {
        let step = self.read(input);
        if let Err(error) = step {
            self.state = State::Failed(error);
        }
        step
    }

    fn read(&mut self, input: &[u8]) -> Result<BodyStep, BodyError> {
        let mut consumed = 0;
        let mut data = 0..0;
        match &mut self.state {
            State::Done => {}
            State::Failed(error) => return Err(*error),
            State::Length(left) => {
                let length = bounded(*left, input.len());
                (consumed, data) = (length, 0..length);
                *left -= length as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
            }
            State::UntilClose => (consumed, data) = (input.len(), 0..input.len()),
            State::Chunked(chunk) => {
                while let Some(rest) = input.get(consumed..).filter(|rest| !rest.is_empty()) {
                    let left = chunk.data_left();
                    if left > 0 {
                        if !data.is_empty() {
                            break;
                        }
                        let length = bounded(left, rest.len());
                        data = consumed..consumed + length;
                        consumed += length;
                        chunk.take_data(length as u64);
                    } else if chunk.in_trailers() {
                        let (used, finished) = self.trailers.read(rest, &self.limits)?;
                        consumed += used;
                        if finished {
                            self.state = State::Done;
                            break;
                        }
                    } else {
                        consumed += chunk.read(rest, &self.limits, self.content + data.len() as u64)?;
                    }
                }
            }
        }
        self.content = self.content.saturating_add(data.len() as u64);
        if self.content > self.limits.content {
            return Err(BodyError::TooLong);
        }
        Ok(BodyStep { consumed, data, finished: self.is_finished() })
    }

    /// The connection's sending side closed.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] if the body was not over.
    pub fn close(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            State::Length(_) | State::Chunked(_) => Err(BodyError::Truncated),
        }
    }

    /// The trailer fields of a chunked body that is over, without those that are forbidden there
    /// ([`super::is_forbidden_trailer`]).
    pub fn trailers(&self) -> Fields<'_> {
        self.trailers.view()
    }

    /// Forgets the trailer fields that `keep` does not want.
    pub fn retain_trailers(&mut self, keep: impl FnMut(Field<'_>) -> bool) {
        self.trailers.retain(keep);
    }
}

/// The lesser of a 64-bit count and a length in memory.
fn bounded(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}
