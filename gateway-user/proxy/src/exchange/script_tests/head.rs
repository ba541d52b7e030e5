//! Heads of scripts, as the codec of HTTP/1.1 reads them.

use gateway_grammar::Scheme;
use gateway_http::h1::{HeadLimits, Method, RequestHead, ResponseHead};
use gateway_http::head::{RequestParts, ResponseParts};

use crate::h1::head::RequestMeta;

/// A request's head and the bytes it was read from.
pub(super) struct ScriptRequest {
    bytes: Vec<u8>,
    head: RequestHead,
}

/// The same of a response.
#[derive(Default)]
pub(super) struct ScriptResponse {
    bytes: Vec<u8>,
    head: ResponseHead,
}

impl ScriptRequest {
    pub(super) fn read(text: &str) -> Self {
        let mut head = RequestHead::new();
        head.parse(text.as_bytes(), &HeadLimits::default()).unwrap();
        Self { bytes: text.into(), head }
    }

    pub(super) fn parts(&self) -> RequestParts<'_> {
        self.head.view(&self.bytes).parts(Scheme::Http)
    }

    pub(super) fn has_underscores(&self) -> bool {
        self.head.has_underscores()
    }

    pub(super) fn retain_fields(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        self.head.retain_fields(&self.bytes, |field| keep(field.name));
    }

    pub(super) fn meta(&self) -> RequestMeta {
        let request = self.head.view(&self.bytes);
        RequestMeta {
            method: request.method(),
            version: request.version(),
            keep_alive: request.keep_alive(),
            framing: request.framing(),
            accepts_trailers: request.accepts_trailers(),
        }
    }
}

impl ScriptResponse {
    /// Reads another head into the same storage.
    pub(super) fn read(&mut self, text: &str, to: Method) {
        self.bytes.clear();
        self.bytes.extend_from_slice(text.as_bytes());
        self.head.parse(&self.bytes, &HeadLimits::default(), to).unwrap();
    }

    pub(super) fn parts(&self) -> ResponseParts<'_> {
        self.head.view(&self.bytes).parts()
    }

    pub(super) fn is_reusable(&self) -> bool {
        self.head.view(&self.bytes).reusable()
    }
}
