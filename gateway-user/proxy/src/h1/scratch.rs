//! Storage for one request over HTTP/1.1, reused by the next one: an idle connection holds none.

use gateway_http::h1::{BodyDecoder, RequestHead, ResponseHead};

use crate::ProxyConfig;
use crate::exchange;

/// Most bytes of a head's text that are kept for the next one.
const MAX_KEPT_TEXT: usize = 4096;

/// Everything a request needs beside its chunks.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) exchange: exchange::Scratch,
    pub(crate) codec: Codec,
    /// The head of a request over HTTP/2, as text.
    pub(crate) text: Vec<u8>,
}

/// Both messages as the codec reads them.
#[derive(Debug)]
pub(crate) struct Codec {
    pub(crate) request: RequestHead,
    pub(crate) request_body: BodyDecoder,
    pub(crate) response: ResponseHead,
    pub(crate) response_body: BodyDecoder,
}

impl Scratch {
    pub(crate) fn new(config: &ProxyConfig) -> Self {
        let codec = Codec {
            request: RequestHead::new(),
            request_body: BodyDecoder::new(config.body.clone()),
            response: ResponseHead::new(),
            response_body: BodyDecoder::new(config.body.clone()),
        };
        Self { exchange: exchange::Scratch::default(), codec, text: Vec::new() }
    }

    /// Forgets the request and keeps the storage, unless it has grown beyond the ordinary.
    pub(crate) fn clear(&mut self) {
        self.exchange.clear();
        self.codec.request.clear();
        self.codec.response.clear();
        self.text.clear();
        self.text.shrink_to(MAX_KEPT_TEXT);
    }
}
