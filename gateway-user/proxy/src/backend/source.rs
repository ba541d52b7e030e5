//! Responses of backends.

use std::time::Duration;

use gateway_http::head::{Fields, ResponseParts};

use crate::Reason;
use crate::body::ends::{Piece, PumpError, Source};
use crate::exchange::wire::{AttemptError, HeadTimeout, ResponseSource};
use crate::h1::response_source::H1ResponseSource;
use crate::h2::response_source::H2ResponseSource;

/// One response: heads, then a body.
pub(crate) enum BackendSource<'a> {
    H1(H1ResponseSource<'a>),
    /// Boxed, so that an exchange over HTTP/1.1 is no larger for it.
    H2(Box<H2ResponseSource<'a>>),
}

impl ResponseSource for BackendSource<'_> {
    type Body = Self;

    async fn head(&mut self, timeout: HeadTimeout<'_>) -> Result<(), AttemptError> {
        match self {
            Self::H1(source) => source.head(timeout).await,
            Self::H2(source) => source.head(timeout).await,
        }
    }

    fn parts(&self) -> ResponseParts<'_> {
        match self {
            Self::H1(source) => source.parts(),
            Self::H2(source) => source.parts(),
        }
    }

    fn switches(&self) -> Result<bool, Reason> {
        match self {
            Self::H1(source) => source.switches(),
            Self::H2(source) => source.switches(),
        }
    }

    fn begin_body(&mut self) -> Result<(), PumpError> {
        match self {
            Self::H1(source) => source.begin_body(),
            Self::H2(source) => source.begin_body(),
        }
    }

    fn body(&mut self) -> &mut Self {
        self
    }

    fn leave(&mut self) {
        match self {
            Self::H1(source) => source.leave(),
            Self::H2(source) => source.leave(),
        }
    }

    fn is_reusable(&self) -> bool {
        match self {
            Self::H1(source) => source.is_reusable(),
            Self::H2(source) => source.is_reusable(),
        }
    }
}

impl Source for BackendSource<'_> {
    fn is_finished(&self) -> bool {
        match self {
            Self::H1(source) => source.body.is_finished(),
            Self::H2(source) => source.is_finished(),
        }
    }

    fn at_hand(&mut self) -> Option<Result<Piece, PumpError>> {
        match self {
            Self::H1(source) => source.body.at_hand(),
            Self::H2(source) => source.at_hand(),
        }
    }

    fn try_next(&mut self) -> Option<Result<Piece, PumpError>> {
        match self {
            Self::H1(source) => source.body.try_next(),
            Self::H2(source) => source.try_next(),
        }
    }

    async fn next(&mut self, wait: Duration) -> Result<Piece, PumpError> {
        match self {
            Self::H1(source) => source.body.next(wait).await,
            Self::H2(source) => source.next(wait).await,
        }
    }

    fn retain_trailers(&mut self, keep: impl FnMut(&[u8]) -> bool) {
        match self {
            Self::H1(source) => source.body.retain_trailers(keep),
            Self::H2(source) => source.retain_trailers(keep),
        }
    }

    fn trailers(&self) -> Fields<'_> {
        match self {
            Self::H1(source) => source.body.trailers(),
            Self::H2(source) => source.trailers(),
        }
    }
}
