//! Responses of backends over HTTP/2.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use gateway_grammar::Method;
use gateway_http::h1::{BodyDecoder, Parsed, ResponseError, ResponseHead};
use gateway_http::h2::{write_response, write_switch};
use gateway_http::head::{Fields, ResponseParts};
use h2::client::ResponseFuture;
use h2::{Reason as Code, RecvStream};
use http::Response;

use super::source::{FromTunnel, H2Source, Parted};
use crate::body::ends::{Piece, PumpError, Source};
use crate::clock::within;
use crate::exchange::wire::{AttemptError, HeadTimeout, ResponseSource};
use crate::upgrade::Upgrade;
use crate::{ProxyConfig, Reason};

/// One response, head by head and then its body.
pub(crate) struct H2ResponseSource<'a> {
    pub(super) config: &'a ProxyConfig,
    /// Method of the request.
    pub(super) method: Method,
    /// The protocol that the request is to change to, by extended CONNECT.
    pub(super) upgrade: Option<Upgrade>,
    /// `None` if the request could not be sent.
    pub(super) response: Option<&'a mut ResponseFuture>,
    /// Takes whether the backend has not looked at the request.
    pub(super) refused: &'a mut bool,
    pub(super) head: &'a mut ResponseHead,
    /// The head received last, as text.
    pub(super) text: Vec<u8>,
    /// Reads the trailers, and knows the limits; there until the body begins.
    pub(super) decoder: Option<&'a mut BodyDecoder>,
    /// The stream behind a final head.
    pub(super) stream: Option<RecvStream>,
    /// Takes it if it is a tunnel.
    pub(super) tunnel: &'a mut Option<Box<FromTunnel>>,
    /// Takes what is not read in its exchange.
    pub(super) unread: &'a mut Option<Box<Parted>>,
    pub(super) body: Option<H2Source<'a, RecvStream>>,
}

impl H2ResponseSource<'_> {
    /// The next head; a final one comes with its stream.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AttemptError>> {
        let Some(response) = self.response.as_mut() else {
            return Poll::Ready(Err(AttemptError::Unprocessed));
        };
        if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            let interim = interim.map_err(|error| failure(&error))?;
            return Poll::Ready(self.read(&interim, false));
        }
        match Pin::new(response).poll(cx) {
            Poll::Ready(Ok(response)) => {
                let read = self.read(&response, response.body().is_end_stream());
                self.stream = Some(response.into_body());
                Poll::Ready(read)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(failure(&error))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads a head as if it had come by HTTP/1.1.
    fn read<T>(&mut self, response: &Response<T>, ends: bool) -> Result<(), AttemptError> {
        let malformed = |error| AttemptError::For(Reason::Response(error));
        self.text.clear();
        match self.upgrade {
            Some(upgrade) if response.status().is_success() => {
                write_switch(&mut self.text, response, upgrade.name(self.config), upgrade.accept())
            }
            _ => write_response(&mut self.text, response, self.method, ends),
        }
        .map_err(malformed)?;
        match self.head.parse(&self.text, &self.config.head, self.method) {
            Ok(Parsed::Complete { .. }) => Ok(()),
            // A head that was written whole is read whole.
            Ok(Parsed::Incomplete) => Err(malformed(ResponseError::BadStatusLine)),
            Err(error) => Err(malformed(error)),
        }
    }
}

/// Why there is no head.
fn failure(error: &h2::Error) -> AttemptError {
    let refused = error.is_reset() && error.reason() == Some(Code::REFUSED_STREAM);
    if error.is_remote() && (error.is_go_away() || refused) {
        // RFC 9113 sections 6.8, 8.7: streams beyond the last one that is named, and refused ones, were not looked at.
        return AttemptError::Unprocessed;
    }
    if error.is_io() {
        return AttemptError::BeforeResponse;
    }
    match error.is_library() {
        true => AttemptError::For(Reason::UpstreamProtocolError),
        false => AttemptError::For(Reason::UpstreamReset),
    }
}

impl<'a> ResponseSource for H2ResponseSource<'a> {
    type Body = Self;

    async fn head(&mut self, timeout: HeadTimeout<'_>) -> Result<(), AttemptError> {
        loop {
            let left = timeout.left(None)?;
            let head = pin!(poll_fn(|cx| self.poll_head(cx)));
            if let Some(head) = within(left, head).await {
                *self.refused = head == Err(AttemptError::Unprocessed);
                return head;
            }
        }
    }

    fn parts(&self) -> ResponseParts<'_> {
        self.head.view(&self.text).parts()
    }

    fn switches(&self) -> Result<bool, Reason> {
        let response = self.head.view(&self.text);
        match self.upgrade {
            Some(upgrade) => upgrade.check(self.config, &response),
            // HTTP/2 has no such status (RFC 9113 section 8.6).
            None if response.status() == 101 => Err(Reason::UpstreamUnexpectedUpgrade),
            None => Ok(false),
        }
    }

    fn begin_body(&mut self) -> Result<(), PumpError> {
        let response = self.head.view(&self.text);
        let (framing, switches) = (response.framing(), response.status() == 101);
        let (Some(decoder), Some(stream)) = (self.decoder.take(), self.stream.take()) else {
            return Err(PumpError::SourceLost);
        };
        if switches {
            *self.tunnel = Some(Box::new(FromTunnel::new(stream)));
            return Ok(());
        }
        // A length beyond the limit is known before the first byte.
        decoder.begin(framing).map_err(PumpError::Body)?;
        let is_empty = framing.is_empty() || stream.is_end_stream();
        self.body = Some(H2Source::new(stream, decoder, self.config.body.content, is_empty));
        Ok(())
    }

    fn body(&mut self) -> &mut Self {
        self
    }

    fn leave(&mut self) {
        *self.unread = self.body.take().map(|body| Box::new(body.part()));
    }

    fn is_reusable(&self) -> bool {
        true
    }
}

impl Source for H2ResponseSource<'_> {
    fn is_finished(&self) -> bool {
        self.body.as_ref().is_some_and(Source::is_finished)
    }

    fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
        None
    }

    fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
        self.body.as_mut().map_or(Some(Err(PumpError::SourceLost)), Source::try_next)
    }

    async fn next(&mut self, wait: Duration) -> Result<Piece, PumpError> {
        match &mut self.body {
            Some(body) => body.next(wait).await,
            None => Err(PumpError::SourceLost),
        }
    }

    fn retain_trailers(&mut self, keep: impl FnMut(&[u8]) -> bool) {
        if let Some(body) = &mut self.body {
            body.retain_trailers(keep);
        }
    }

    fn trailers(&self) -> Fields<'_> {
        self.body.as_ref().map_or_else(Fields::default, Source::trailers)
    }
}
