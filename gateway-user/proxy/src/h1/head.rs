//! Request heads: receiving them, and what is kept of one.

use std::io;
use std::time::Duration;

use gateway_http::h1::{BodyFraming, HeadLimits, Method, Parsed, RequestError, RequestHead, Version};
use gateway_io::{BufferLevel, Chunk, RecvHalf, buffer_level};

use crate::Reason;
use crate::upgrade::Upgrade;

/// The parts of a request that its response and its connection depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestMeta {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) keep_alive: bool,
    pub(crate) framing: BodyFraming,
    /// The client takes trailers (RFC 9110 section 6.5.1): others may not even look for them.
    pub(crate) accepts_trailers: bool,
}

/// One request as far as the head tells.
pub(crate) struct Head {
    /// Bytes of the head at the start of the inbox.
    pub(crate) len: usize,
    pub(crate) meta: RequestMeta,
    /// The protocol that it is to change to.
    pub(crate) upgrade: Option<Upgrade>,
}

/// Why there is no head.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// No head had begun: the connection ends without a word.
    Silent,
    /// The client is told why.
    Refused(Reason),
}

/// Receives until `inbox` holds a whole head; gives its length. `inbox` holds at least its first byte. `limit` runs
/// from here: a head that trickles in is not given more time for each byte. With all buffers lent a head that did not
/// come whole is not waited for.
pub(crate) async fn receive(
    from: &mut RecvHalf,
    inbox: &mut Option<Chunk>,
    head: &mut RequestHead,
    limits: &HeadLimits,
    limit: Duration,
) -> Result<usize, HeadError> {
    let mut timed = false;
    let found = loop {
        if let Some(buffer) = inbox {
            match head.parse(buffer, limits) {
                Ok(Parsed::Complete { consumed }) => break Ok(consumed),
                Ok(Parsed::Incomplete) => {}
                Err(error) => break Err(HeadError::Refused(Reason::Request(error))),
            }
        }
        if !timed {
            // It would keep its buffer for as long as the client likes. A head that is there costs nothing to look at, and
            // may be of a tenant that others make room for.
            if buffer_level() == BufferLevel::Exhausted {
                break Err(HeadError::Refused(Reason::OverloadMemory));
            }
            from.set_deadline(Some(limit));
            timed = true;
        }
        match from.recv().await {
            Ok(Some(more)) => {
                if append(inbox, more, limits).is_err() {
                    break Err(HeadError::Refused(Reason::Request(RequestError::HeadTooLarge)));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                break Err(HeadError::Refused(Reason::RequestHeaderTimeout));
            }
            Ok(None) | Err(_) => break Err(HeadError::Silent),
        }
    };
    if timed {
        from.set_deadline(None);
    }
    found
}

/// Puts `more` behind what is there, in one buffer: a head is parsed in one piece.
fn append(inbox: &mut Option<Chunk>, more: Chunk, limits: &HeadLimits) -> Result<(), gateway_io::ChunkFull> {
    match inbox {
        Some(buffer) if !buffer.is_empty() => {
            // What came with the head's last bytes may be a body of any size.
            buffer.reserve(more.len(), limits.head.saturating_add(more.len()))?;
            buffer.extend_from_slice(&more)
        }
        _ => {
            *inbox = Some(more);
            Ok(())
        }
    }
}
