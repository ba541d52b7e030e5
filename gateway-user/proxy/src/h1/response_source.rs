//! Responses of backends over HTTP/1.1.

use std::io;
use std::time::Instant;

use gateway_grammar::Method;
use gateway_http::h1::{BodyFraming, Parsed, ResponseHead};
use gateway_http::head::ResponseParts;
use gateway_io::{Chunk, now};
use gateway_tls::BackendTlsError;

use super::body::H1Source;
use crate::body::ends::{PumpError, Source as _};
use crate::exchange::wire::{AttemptError, HeadTimeout, ResponseSource};
use crate::tls::layer::REFUSED;
use crate::upgrade::Upgrade;
use crate::{ProxyConfig, Reason};

/// One response, head by head and then its body.
pub(crate) struct H1ResponseSource<'a> {
    pub(super) config: &'a ProxyConfig,
    /// Method of the request.
    pub(super) method: Method,
    /// The protocol that the request is to change to.
    pub(super) upgrade: Option<Upgrade>,
    pub(crate) body: H1Source<'a>,
    pub(super) head: &'a mut ResponseHead,
    /// The head received last, and what came with it.
    pub(super) received: Option<Chunk>,
    /// The head's length therein; 0 before there is one.
    pub(super) len: usize,
}

impl<'a> H1ResponseSource<'a> {
    /// The next bytes of a head of which the first came at `begun`.
    async fn more(
        &mut self,
        begun: Option<Instant>,
        timeout: HeadTimeout<'_>,
    ) -> Result<Chunk, AttemptError> {
        let H1Source { from, .. } = &mut self.body;
        loop {
            from.set_deadline(Some(timeout.left(begun)?));
            let received = from.recv().await;
            from.set_deadline(None);
            match received {
                Ok(Some(chunk)) => return Ok(chunk),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(error) if error.kind() == REFUSED => {
                    return Err(AttemptError::For(Reason::UpstreamTls(BackendTlsError::Refused)));
                }
                Ok(None) | Err(_) if begun.is_some() => return Err(AttemptError::For(Reason::UpstreamReset)),
                Ok(None) | Err(_) => return Err(AttemptError::BeforeResponse),
            }
        }
    }

    /// Takes the head that was read last out of what was received.
    fn drop_head(&mut self) -> Option<Chunk> {
        let mut rest = self.received.take()?;
        rest.advance(self.len);
        self.len = 0;
        Some(rest)
    }

    fn framing(&self) -> BodyFraming {
        self.head.view(self.received.as_deref().unwrap_or_default()).framing()
    }
}

impl<'a> ResponseSource for H1ResponseSource<'a> {
    type Body = H1Source<'a>;

    async fn head(&mut self, timeout: HeadTimeout<'_>) -> Result<(), AttemptError> {
        self.received = self.drop_head().filter(|rest| !rest.is_empty());
        let mut begun = self.received.is_some().then(now);
        loop {
            if let Some(buffer) = &self.received {
                match self.head.parse(buffer, &self.config.head, self.method) {
                    Ok(Parsed::Complete { consumed }) => {
                        self.len = consumed;
                        return Ok(());
                    }
                    Ok(Parsed::Incomplete) => {}
                    Err(error) => return Err(AttemptError::For(Reason::Response(error))),
                }
            }
            let more = self.more(begun, timeout).await?;
            begun.get_or_insert_with(now);
            match &mut self.received {
                None => self.received = Some(more),
                Some(have) => {
                    have.reserve(more.len(), self.config.head.head.saturating_add(more.len()))
                        .and_then(|()| have.extend_from_slice(&more))
                        // The parser refuses a head at its limit before room for another chunk runs out.
                        .map_err(|_| AttemptError::For(Reason::UpstreamReset))?;
                }
            }
        }
    }

    fn parts(&self) -> ResponseParts<'_> {
        self.head.view(self.received.as_deref().unwrap_or_default()).parts()
    }

    fn switches(&self) -> Result<bool, Reason> {
        let response = self.head.view(self.received.as_deref().unwrap_or_default());
        match self.upgrade {
            Some(upgrade) => upgrade.check(self.config, &response),
            None if response.status() == 101 => Err(Reason::UpstreamUnexpectedUpgrade),
            None => Ok(false),
        }
    }

    fn begin_body(&mut self) -> Result<(), PumpError> {
        let (framing, first) = (self.framing(), self.drop_head());
        let source = &mut self.body;
        source.decoder.begin(framing).map_err(PumpError::Body)?;
        match source.is_finished() {
            true => *source.rest = first.filter(|rest| !rest.is_empty()),
            false => source.first = first,
        }
        Ok(())
    }

    fn body(&mut self) -> &mut H1Source<'a> {
        &mut self.body
    }

    fn is_reusable(&self) -> bool {
        // Bytes behind the response would be taken for the response to another request.
        self.body.rest.is_none() && self.head.view(&[]).reusable()
    }
}
