//! The backend's side of an exchange over HTTP/2, whatever the client speaks.

use std::cell::RefCell;

use gateway_grammar::Method;
use gateway_http::h1::{BodyDecoder, BodyFraming, ResponseHead};
use gateway_http::h2::upstream_request;
use gateway_http::head::{HeadEdits, RequestParts};
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};

use super::response_source::H2ResponseSource;
use super::sink::{Data, H2Sink, Outgoing};
use crate::{ProxyConfig, Reason};

/// A request's stream both ways, once its head is sent.
#[derive(Debug, Default)]
pub(crate) struct Call {
    request: RefCell<RequestSender>,
    /// `None` if the connection was lost before.
    response: Option<ResponseFuture>,
    /// The backend has not looked at it.
    refused: bool,
}

/// The way of one request to the backend. Its head is out.
#[derive(Debug, Default)]
pub(crate) struct RequestSender(Option<SendStream<Data>>);

impl Outgoing for RequestSender {
    type Head = ();

    fn open(&mut self, (): (), _ends: bool) -> Result<(), h2::Error> {
        Ok(())
    }

    fn stream(&mut self) -> Option<&mut SendStream<Data>> {
        self.0.as_mut()
    }
}

impl Call {
    /// Sends a request's head, changed by `edits`; `endpoint` is named where the request names no host.
    ///
    /// # Errors
    /// It cannot be said in HTTP/2.
    pub(crate) fn begin(
        requests: &mut SendRequest<Data>,
        request: &RequestParts<'_>,
        edits: &HeadEdits,
        framing: BodyFraming,
        endpoint: impl FnOnce() -> String,
    ) -> Result<Self, Reason> {
        let head =
            upstream_request(request, edits, framing, endpoint).ok_or(Reason::FilteredRequestInvalid)?;
        // Fails if the connection takes no more streams, which the response's source tells.
        let (response, stream) = requests.send_request(head, framing.is_empty()).ok().unzip();
        Ok(Self { request: RefCell::new(RequestSender(stream)), response, refused: false })
    }

    /// True if the backend says that it has not looked at the request.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// The way of the request's body, and the response to that method.
    pub(crate) fn halves<'a>(
        &'a mut self,
        config: &'a ProxyConfig,
        (method, framing): (Method, BodyFraming),
        (head, decoder): (&'a mut ResponseHead, &'a mut BodyDecoder),
    ) -> (H2Sink<'a, RequestSender>, H2ResponseSource<'a>) {
        let mut sink = H2Sink::new(&self.request);
        sink.is_empty = framing.is_empty();
        let source = H2ResponseSource {
            limits: &config.head,
            method,
            response: self.response.as_mut(),
            refused: &mut self.refused,
            head,
            text: Vec::new(),
            decoder: Some(decoder),
            max_body: config.body.content,
            stream: None,
            body: None,
        };
        (sink, source)
    }
}
