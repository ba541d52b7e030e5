//! The accessors of a parsed request head.

use gateway_grammar::{FieldId, Method, Scheme};

use super::{PathPart, RequestHead};
use crate::h1::BodyFraming;
use crate::head::{Fields, RequestParts, Version};

/// A parsed request head over the bytes it was parsed from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// The head as routing, filters and logs see it, on a connection of that scheme.
    pub fn parts(&self, scheme: Scheme) -> RequestParts<'a> {
        RequestParts {
            method: self.method(),
            method_token: self.method_token(),
            scheme,
            authority: self.authority(),
            host: self.host(),
            path: self.path(),
            query: self.query(),
            version: self.version(),
            fields: self.fields(),
            has_body: !self.framing().is_empty(),
            accepts_trailers: self.accepts_trailers(),
            announces_trailers: self.announces_trailers(),
        }
    }

    /// The method, classified.
    pub fn method(&self) -> Method {
        self.head.line.method
    }

    /// The method token as received.
    pub fn method_token(&self) -> &'a [u8] {
        self.head.line.method_token.of(self.bytes)
    }

    /// The version of the request.
    pub fn version(&self) -> Version {
        self.head.line.version
    }

    /// The path as received, neither decoded nor normalised (see [`gateway_grammar::path::normalize`]): begins with
    /// `/`, or is `*`.
    pub fn path(&self) -> &'a [u8] {
        match self.head.line.path {
            PathPart::Root => b"/",
            PathPart::Asterisk => b"*",
            PathPart::At(span) => span.of(self.bytes),
        }
    }

    /// The query without its `?`, as received; `Some(b"")` for `/?`.
    pub fn query(&self) -> Option<&'a [u8]> {
        self.head.line.query.map(|span| span.of(self.bytes))
    }

    /// `host[:port]` as received: the target's own, else `Host`. `None` only on HTTP/1.0.
    pub fn authority(&self) -> Option<&'a [u8]> {
        self.head.authority.map(|span| span.of(self.bytes))
    }

    /// The host to route on: no port, no final dot, case as received; an IPv6 address keeps its brackets.
    pub fn host(&self) -> Option<&'a [u8]> {
        self.head.host.name.map(|span| span.of(self.bytes))
    }

    /// The port named beside the host.
    pub fn port(&self) -> Option<u16> {
        self.head.host.port
    }

    /// The field lines.
    pub fn fields(&self) -> Fields<'a> {
        self.head.fields.view(self.bytes)
    }

    /// How the body is framed; never [`BodyFraming::UntilClose`].
    pub fn framing(&self) -> BodyFraming {
        self.head.framing
    }

    /// True if the client wants the connection kept after the response (RFC 9112 section 9.3).
    pub fn keep_alive(&self) -> bool {
        let options = self.head.connection;
        !options.close && (self.version() == Version::Http11 || options.keep_alive)
    }

    /// True if the client waits for `100 Continue` before its body (RFC 9110 section 10.1.1): HTTP/1.1, with
    /// a body.
    pub fn expects_continue(&self) -> bool {
        self.head.expects_continue
    }

    /// True if the client takes trailers (`TE: trailers`, RFC 9110 section 10.1.4).
    pub fn accepts_trailers(&self) -> bool {
        self.head.accepts_trailers
    }

    /// True if a `Trailer` field announces trailers of this request (RFC 9110 section 6.6.2).
    pub fn announces_trailers(&self) -> bool {
        self.head.announces_trailers
    }

    /// The `Upgrade` field, if `Connection` names it and the version is 1.1 (RFC 9110 section 7.8). A list,
    /// most wanted first.
    pub fn upgrade(&self) -> Option<&'a [u8]> {
        let wanted = self.head.connection.upgrade && self.version() == Version::Http11;
        wanted.then(|| self.fields().get_known(FieldId::Upgrade)).flatten().filter(|value| !value.is_empty())
    }
}
