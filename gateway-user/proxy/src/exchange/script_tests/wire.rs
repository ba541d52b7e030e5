//! A wire whose two sides follow a script.

use std::future::pending;
use std::net::SocketAddr;
use std::rc::Rc;

use gateway_http::h1::{BodyFraming, FieldError, ResponseError};
use gateway_http::head::{HeadEdits, RequestParts, ResponseParts};

use super::body::{ScriptSink, ScriptSource, until};
use super::case::{self, Case, Fault};
use super::head::{ScriptRequest, ScriptResponse};
use super::plan::{request_body, response_body};
use super::stage::Stage;
use crate::Reason;
use crate::body::ends::PumpError;
use crate::context::Control;
use crate::exchange::progress::Progress;
use crate::exchange::wire::{
    AttemptError, Halves, HeadTimeout, HeadTooLong, Lease, Release, RequestSource, ResponseSink,
    ResponseSource, Wire,
};
use crate::h1::persistence::{Standing, of_response};
use crate::upstream::{Cluster, Tried};

/// Both sides of one exchange.
pub(super) struct ScriptWire {
    request: ScriptRequest,
    response: ScriptResponse,
    pub(super) case: Case,
    stage: Stage,
    pub(super) attempts: usize,
    pub(super) released: Option<Release>,
    pub(super) keep_alive: bool,
    pub(super) until_close: bool,
    /// The request's body was taken out of what was received.
    pub(super) begun: bool,
    /// The request is to change protocols.
    pub(super) upgrade: bool,
    /// The response changes them.
    pub(super) switch: bool,
}

/// A connection that is none.
pub(super) struct ScriptLease {
    address: SocketAddr,
    reused: bool,
}

pub(super) struct ScriptRequestSource<'a> {
    body: ScriptSource<'a>,
    progress: &'a Progress,
}

pub(super) struct ScriptResponseSource<'a> {
    case: Case,
    response: &'a mut ScriptResponse,
    upgrade: bool,
    switch: bool,
    stage: &'a Stage,
    heads: usize,
    body: ScriptSource<'a>,
}

pub(super) struct ScriptResponseSink<'a> {
    meta: crate::h1::head::RequestMeta,
    stage: &'a Stage,
    progress: &'a Progress,
    keep_alive: &'a mut bool,
    until_close: &'a mut bool,
    body: ScriptSink,
}

impl ScriptWire {
    pub(super) fn new(case: Case, control: Rc<Control>) -> Self {
        let (method, version, rest) = match case.request {
            case::Request::Get => ("GET", "1.1", ""),
            case::Request::Old => ("GET", "1.0", ""),
            case::Request::Post => ("POST", "1.1", "Content-Length: 0\r\n"),
            case::Request::Put | case::Request::Part => ("PUT", "1.1", "Content-Length: 6\r\n"),
        };
        Self::with(&format!("{method} /case HTTP/{version}\r\nHost: a\r\n{rest}\r\n"), case, control)
    }

    /// The same for a request with this head.
    pub(super) fn with(request: &str, case: Case, control: Rc<Control>) -> Self {
        Self {
            request: ScriptRequest::read(request),
            response: ScriptResponse::default(),
            case,
            stage: Stage { fault: Some(case.fault), control: Some(control), ..Stage::default() },
            attempts: 0,
            released: None,
            keep_alive: false,
            until_close: false,
            begun: false,
            upgrade: false,
            switch: false,
        }
    }

    /// Makes the wire ready for the same request once more.
    pub(super) fn rewind(&mut self) {
        self.stage.reached.set(false);
        (self.attempts, self.released, self.begun) = (0, None, false);
    }

    /// The client has finished sending, so that no other request comes.
    pub(super) fn is_half_closed(&self) -> bool {
        self.stage.half_closed.get()
    }

    pub(super) fn meta(&self) -> crate::h1::head::RequestMeta {
        self.request.meta()
    }
}

impl Wire for ScriptWire {
    type Lease = ScriptLease;
    type RequestSource<'a> = ScriptRequestSource<'a>;
    type RequestSink<'a> = ScriptSink;
    type ResponseSource<'a> = ScriptResponseSource<'a>;
    type ResponseSink<'a> = ScriptResponseSink<'a>;

    fn request(&self) -> RequestParts<'_> {
        self.request.parts()
    }

    fn wants_upgrade(&self) -> bool {
        self.upgrade
    }

    fn has_underscores(&self) -> bool {
        self.request.has_underscores()
    }

    fn retain_fields(&mut self, keep: impl FnMut(&[u8]) -> bool) {
        self.request.retain_fields(keep);
    }

    async fn lease(&mut self, _: &Cluster, reuse: bool, _: &mut Tried<'_>) -> Result<ScriptLease, Reason> {
        let reused = reuse && self.case.lease == case::Lease::Reused;
        Ok(ScriptLease { address: ([203, 0, 113, 5], 80).into(), reused })
    }

    fn begin(&mut self, _: &mut ScriptLease, _: &HeadEdits) -> Result<(), Reason> {
        self.attempts += 1;
        self.begun = true;
        Ok(())
    }

    fn halves<'a>(&'a mut self, _: &'a mut ScriptLease, progress: &'a Progress) -> Halves<'a, Self> {
        let meta = self.request.meta();
        let Self { response, case, stage, keep_alive, until_close, upgrade, switch, .. } = self;
        let (upgrade, switch) = (*upgrade, *switch);
        let (case, stage) = (*case, &*stage);
        let body = response_body(case, stage);
        Halves {
            request_source: ScriptRequestSource { body: request_body(case, stage), progress },
            request_sink: ScriptSink::default(),
            response_source: ScriptResponseSource { case, response, upgrade, switch, stage, heads: 0, body },
            response_sink: ScriptResponseSink {
                meta,
                stage,
                progress,
                keep_alive,
                until_close,
                body: ScriptSink::default(),
            },
        }
    }

    async fn gone(&mut self, _: &Progress) {
        pending().await
    }

    fn release(&mut self, _: ScriptLease, then: Release) {
        // The pool finds that the backend has closed.
        let closed = self.case.fault == Fault::BackendFin;
        self.released = (!closed).then_some(then);
    }
}

impl Lease for ScriptLease {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn is_reused(&self) -> bool {
        self.reused
    }

    fn is_private(&self) -> bool {
        false
    }
}

impl<'a> RequestSource for ScriptRequestSource<'a> {
    type Body = ScriptSource<'a>;

    fn body(&mut self) -> &mut ScriptSource<'a> {
        &mut self.body
    }

    async fn gone(&mut self) {
        let stage = self.body.stage;
        match stage.fault {
            Some(Fault::ClientReset) => until(|| stage.is_reached()).await,
            Some(Fault::ClientFin) => {
                until(|| stage.is_reached()).await;
                stage.half_closed.set(true);
                // The wait of a client without a response is over at once.
                if !self.progress.may_reply() {
                    pending().await
                }
            }
            _ => pending().await,
        }
    }
}

impl ScriptResponseSource<'_> {
    /// The fault before a final head is whole; `begun` tells whether some of it has come.
    async fn fault(&mut self, timeout: HeadTimeout<'_>, begun: bool) -> Result<(), AttemptError> {
        self.stage.reach();
        match self.case.fault {
            Fault::BackendFin | Fault::BackendReset if begun => Err(AttemptError::For(Reason::UpstreamReset)),
            Fault::BackendFin | Fault::BackendReset => Err(AttemptError::BeforeResponse),
            Fault::BackendGarbage if begun => {
                Err(AttemptError::For(Reason::Response(ResponseError::Field(FieldError::BadName))))
            }
            Fault::BackendGarbage => Err(AttemptError::For(Reason::Response(ResponseError::BadStatusLine))),
            Fault::BackendSilent => {
                let began = begun.then(crate::clock::now);
                until(|| timeout.left(began).is_err()).await;
                timeout.left(began).map(drop)
            }
            _ => pending().await,
        }
    }
}

impl<'a> ResponseSource for ScriptResponseSource<'a> {
    type Body = ScriptSource<'a>;

    async fn head(&mut self, timeout: HeadTimeout<'_>) -> Result<(), AttemptError> {
        self.heads += 1;
        let head = match self.case.stage {
            _ if self.switch => "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            case::Stage::Interim if self.heads == 1 => "HTTP/1.1 103 Early Hints\r\n\r\n",
            case::Stage::Nothing | case::Stage::Interim => return self.fault(timeout, false).await,
            case::Stage::HalfHead => return self.fault(timeout, true).await,
            case::Stage::Head | case::Stage::Length | case::Stage::Whole => {
                "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
            }
            case::Stage::Chunked => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            case::Stage::UntilClose => "HTTP/1.1 200 OK\r\n\r\n",
        };
        self.response.read(head, gateway_http::h1::Method::Get);
        Ok(())
    }

    fn parts(&self) -> ResponseParts<'_> {
        self.response.parts()
    }

    fn switches(&self) -> Result<bool, Reason> {
        match self.parts().status {
            101 if self.upgrade => Ok(true),
            101 => Err(Reason::UpstreamUnexpectedUpgrade),
            _ => Ok(false),
        }
    }

    fn begin_body(&mut self) -> Result<(), PumpError> {
        Ok(())
    }

    fn body(&mut self) -> &mut ScriptSource<'a> {
        &mut self.body
    }

    fn is_reusable(&self) -> bool {
        self.response.is_reusable() && self.case.fault != Fault::BackendGarbage
    }
}

impl ResponseSink for ScriptResponseSink<'_> {
    const CARRIES_LOGINS: bool = true;
    type Body = ScriptSink;

    fn body(&mut self) -> &mut ScriptSink {
        &mut self.body
    }

    fn interim(&mut self, _: &ResponseParts<'_>) -> Result<(), HeadTooLong> {
        Ok(())
    }

    fn head(&mut self, head: &ResponseParts<'_>, _: &HeadEdits) -> Result<(), HeadTooLong> {
        let standing = Standing {
            request_read: self.progress.read.get(),
            half_closed: self.stage.half_closed.get(),
            draining: false,
        };
        let (framing, keep) = of_response(self.meta, head.length, standing);
        (*self.keep_alive, *self.until_close) = (keep, framing == BodyFraming::UntilClose);
        self.body.prepared = true;
        Ok(())
    }

    fn switch(&mut self, head: &ResponseParts<'_>, _: &HeadEdits) -> Result<u16, HeadTooLong> {
        self.body.prepared = true;
        Ok(head.status)
    }
}
