//! Storage for one request, reused by the next one: an idle connection holds none.

use gateway_http::h1::{BodyDecoder, HeadEdits, RequestHead, ResponseHead};

use crate::ProxyConfig;
use crate::observe::record::RequestText;

/// Buffers above this size are freed rather than kept.
const KEPT_BYTES: usize = 16 * 1024;

/// Everything a request needs beside its chunks.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) request: RequestHead,
    pub(crate) request_edits: HeadEdits,
    pub(crate) request_body: BodyDecoder,
    pub(crate) response: ResponseHead,
    pub(crate) response_edits: HeadEdits,
    pub(crate) response_body: BodyDecoder,
    /// The normalised path, if it differs from what was received.
    pub(crate) path: Vec<u8>,
    /// The same as rules see it, if that differs.
    pub(crate) merged: Vec<u8>,
    /// The host in lower case, if it differs from what was received.
    pub(crate) host: Vec<u8>,
    /// A rewritten path, or a `Location`.
    pub(crate) target: Vec<u8>,
    pub(crate) text: RequestText,
}

impl Scratch {
    pub(crate) fn new(config: &ProxyConfig) -> Self {
        Self {
            request: RequestHead::new(),
            request_edits: HeadEdits::new(),
            request_body: BodyDecoder::new(config.body.clone()),
            response: ResponseHead::new(),
            response_edits: HeadEdits::new(),
            response_body: BodyDecoder::new(config.body.clone()),
            path: Vec::new(),
            merged: Vec::new(),
            host: Vec::new(),
            target: Vec::new(),
            text: RequestText::default(),
        }
    }

    /// Forgets the request and keeps the storage, unless it has grown beyond the ordinary.
    pub(crate) fn clear(&mut self) {
        self.request.clear();
        self.request_edits.clear();
        self.response.clear();
        self.response_edits.clear();
        for buffer in [&mut self.path, &mut self.merged, &mut self.host, &mut self.target] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
        self.text.clear(KEPT_BYTES);
    }
}
