//! The backend's side of an exchange over HTTP/2, whatever the client speaks.

use std::cell::RefCell;
use std::net::SocketAddr;

use gateway_grammar::Method;
use gateway_http::h1::{BodyDecoder, BodyFraming, ResponseHead};
use gateway_http::h2::{upstream_connect, upstream_request};
use gateway_http::head::{HeadEdits, RequestParts};
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::uri::Scheme;

use super::response_source::H2ResponseSource;
use super::sink::{Data, H2Sink, Outgoing};
use super::source::{FromTunnel, H2Source, Parted};
use crate::upgrade::Upgrade;
use crate::{ProxyConfig, Reason};

/// A request's stream both ways, once its head is sent.
#[derive(Debug, Default)]
pub(crate) struct Call {
    request: RefCell<RequestSender>,
    /// `None` if the connection was lost before.
    response: Option<ResponseFuture>,
    /// The backend has not looked at it.
    refused: bool,
    /// There once the request has changed protocols.
    tunnel: Option<Box<FromTunnel>>,
    /// There once the response's exchange is over before it is read.
    unread: Option<Box<Parted>>,
}

/// The place that a request is sent to.
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    pub(crate) endpoint: SocketAddr,
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
    /// Sends a request's head, changed by `edits`; the endpoint is named where the request names no host. One that is to change
    /// protocols, to `upgrade`, goes as an extended CONNECT (RFC 8441).
    ///
    /// # Errors
    /// It cannot be said in HTTP/2, or the backend knows no extended CONNECT.
    pub(crate) fn begin(
        requests: &mut SendRequest<Data>,
        request: &RequestParts<'_>,
        edits: &HeadEdits,
        framing: BodyFraming,
        upgrade: Option<&str>,
        target: Target,
    ) -> Result<Self, Reason> {
        let Target { scheme, endpoint } = target;
        let endpoint = || endpoint.to_string();
        let head = match upgrade {
            // CONNECT has no room for another method.
            Some(_) if request.method != Method::Get || !requests.is_extended_connect_protocol_enabled() => {
                return Err(Reason::UpstreamHttp2Upgrade);
            }
            Some(protocol) => upstream_connect(request, edits, scheme, endpoint).map(|mut head| {
                head.extensions_mut().insert(Protocol::from(protocol));
                head
            }),
            None => upstream_request(request, edits, framing, scheme, endpoint),
        };
        let head = head.ok_or(Reason::FilteredRequestInvalid)?;
        let ends = framing.is_empty() && upgrade.is_none();
        // Fails if the connection takes no more streams, which the response's source tells.
        let (response, stream) = requests.send_request(head, ends).ok().unzip();
        Ok(Self {
            request: RefCell::new(RequestSender(stream)),
            response,
            refused: false,
            tunnel: None,
            unread: None,
        })
    }

    /// True if the backend says that it has not looked at the request.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// The way of the request's body, and the response to that method.
    pub(crate) fn halves<'a>(
        &'a mut self,
        config: &'a ProxyConfig,
        (method, framing, upgrade): (Method, BodyFraming, Option<Upgrade>),
        (head, decoder): (&'a mut ResponseHead, &'a mut BodyDecoder),
    ) -> (H2Sink<'a, RequestSender>, H2ResponseSource<'a>) {
        let mut sink = H2Sink::new(&self.request);
        sink.is_empty = framing.is_empty();
        let source = H2ResponseSource {
            config,
            method,
            upgrade,
            response: self.response.as_mut(),
            refused: &mut self.refused,
            head,
            text: Vec::new(),
            decoder: Some(decoder),
            stream: None,
            tunnel: &mut self.tunnel,
            unread: &mut self.unread,
            body: None,
        };
        (sink, source)
    }

    /// The rest of the response, if its exchange is over before it is read.
    pub(crate) fn unread<'a>(
        &'a mut self,
        decoder: &'a mut BodyDecoder,
    ) -> Option<H2Source<'a, &'a mut RecvStream>> {
        Some(self.unread.as_mut()?.source(decoder))
    }

    /// Both ways of the tunnel that the request has become; `None` if it has not.
    pub(crate) fn tunnel(&mut self) -> Option<(H2Source<'_, &mut RecvStream>, H2Sink<'_, RequestSender>)> {
        let source = self.tunnel.as_mut()?.source();
        Some((source, H2Sink::new(&self.request)))
    }
}
