//! The requests that clients make, and the responses that they must see.

use super::transport::Transport;

/// One kind of request.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) action: Action,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Which content the request has; one that is sized is made once for each size.
    pub(super) body: Body,
    pub(super) status: u16,
    pub(super) content: Content,
    /// Clear text and each version of TLS, unless the case is about one.
    pub(super) transports: &'static [Transport],
    /// Asks for compressed content.
    pub(super) gzip: bool,
    /// Waits for 100 (Continue) before it sends its content.
    pub(super) expect: bool,
    /// A field line that no client sends by itself.
    pub(super) field: &'static str,
    /// The server name of the handshake, and the request's host; empty for what the client makes of the URL.
    pub(super) server_name: &'static str,
}

/// How a client goes about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// One request on a connection of its own.
    Request,
    /// Several requests on one connection.
    Keep,
    /// Two connections, of which the second resumes the first one's TLS session.
    Resume,
    /// Ends its side of the connection right after the request.
    HalfClose,
    /// Ends its side of the connection once a part of the response is there.
    HalfCloseStream,
    /// Speaks HTTP/1.0, and says so in ALPN.
    Http10,
    /// Offers HTTP/2 by `Upgrade`.
    H2c,
    /// As many requests as a large page makes, all at once.
    AtOnce,
    /// Reads a response piece by piece while it comes.
    Pieces,
    /// Reads a response with trailers.
    Trailers,
    /// Has its content sent back by a WebSocket, as one message, and closes it in order.
    WebSocket,
    /// The same, with a message in many fragments.
    WebSocketFragments,
    /// The same, with a short message of text.
    WebSocketText,
    /// The same, after pings whose pongs it waits for.
    WebSocketPings,
    /// The same, closed with a code and a reason of the application, which come back.
    WebSocketClose,
}

/// A request's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// None.
    None,
    /// With a length.
    Plain,
    /// In chunks.
    Chunked,
}

/// A response's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Anything: a local reply or an early response.
    Any,
    /// No content.
    Nothing,
    /// The backend's short text.
    Text,
    /// The backend's text that comes piece by piece.
    Stream,
    /// Bytes of the size.
    Pattern,
    /// That the backend had the request's whole content.
    Received,
}

/// Requests on a kept connection.
pub(super) const KEPT: u32 = 5;
/// Requests of a large page.
const ASSETS: u32 = 200;
/// The listener for this name alone has its certificate for it.
pub(super) const NAME_WITH_DOT: &str = "www.example.test.";

const GET: Case = Case {
    name: "get",
    action: Action::Request,
    method: "GET",
    path: "/text",
    body: Body::None,
    status: 200,
    content: Content::Text,
    transports: Transport::ALL,
    gzip: false,
    expect: false,
    field: "",
    server_name: "",
};
const UPLOAD: Case = Case {
    name: "upload",
    method: "POST",
    path: "/receive",
    body: Body::Plain,
    content: Content::Received,
    ..GET
};

const WEBSOCKET: Case = Case {
    name: "websocket",
    action: Action::WebSocket,
    path: "/websocket",
    body: Body::Plain,
    status: 101,
    content: Content::Pattern,
    ..GET
};

/// A WebSocket for the backend's short text.
const fn short(name: &'static str, action: Action) -> Case {
    Case { name, action, body: Body::None, content: Content::Text, ..WEBSOCKET }
}

/// An upload whose response comes before its end.
const fn early(name: &'static str, path: &'static str, status: u16) -> Case {
    Case { name, path, status, content: Content::Any, ..UPLOAD }
}

pub(super) const CASES: &[Case] = &[
    GET,
    Case { name: "head", method: "HEAD", content: Content::Nothing, ..GET },
    Case { name: "keep", action: Action::Keep, ..GET },
    Case { name: "gzip", path: "/gzip", gzip: true, ..GET },
    Case { name: "download", path: "/large", content: Content::Pattern, ..GET },
    UPLOAD,
    Case { name: "upload-chunked", body: Body::Chunked, ..UPLOAD },
    Case { name: "upload-expect", expect: true, ..UPLOAD },
    early("post-404", "/nowhere", 404),
    early("post-301", "/moved", 301),
    early("post-401", "/early-401", 401),
    early("post-413", "/early-413", 413),
    early("post-503", "/empty", 503),
    Case { name: "chunked-404", body: Body::Chunked, ..early("", "/nowhere", 404) },
    Case { name: "expect-404", expect: true, ..early("", "/nowhere", 404) },
    Case { name: "expect-empty", field: "Expect:", ..GET },
    Case { name: "half-close", action: Action::HalfClose, path: "/late", ..GET },
    Case {
        name: "half-close-stream",
        action: Action::HalfCloseStream,
        path: "/stream",
        content: Content::Stream,
        ..GET
    },
    Case { name: "http10", action: Action::Http10, ..GET },
    Case { name: "h2c", action: Action::H2c, transports: Transport::CLEAR, ..GET },
    Case { name: "final-dot", transports: Transport::TLS, server_name: NAME_WITH_DOT, ..GET },
    Case { name: "resume", action: Action::Resume, transports: Transport::TLS, ..GET },
    Case { name: "assets", action: Action::AtOnce, ..GET },
    Case { name: "pieces", action: Action::Pieces, path: "/stream", content: Content::Stream, ..GET },
    Case { name: "trailers", action: Action::Trailers, path: "/trailers", ..GET },
    WEBSOCKET,
    Case { name: "websocket-fragments", action: Action::WebSocketFragments, ..WEBSOCKET },
    short("websocket-text", Action::WebSocketText),
    short("websocket-pings", Action::WebSocketPings),
    short("websocket-close", Action::WebSocketClose),
];

impl Case {
    /// True if its content has a size.
    pub(super) fn is_sized(&self) -> bool {
        self.body != Body::None || self.content == Content::Pattern
    }

    /// Requests of one try.
    pub(super) fn times(&self) -> u32 {
        match self.action {
            Action::Keep => KEPT,
            Action::Resume => 2,
            Action::AtOnce => ASSETS,
            _ => 1,
        }
    }
}

impl Action {
    /// For the programs that read jobs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Keep => "keep",
            Self::Resume => "resume",
            Self::HalfClose => "half-close",
            Self::HalfCloseStream => "half-close-stream",
            Self::Http10 => "http10",
            Self::H2c => "h2c",
            Self::AtOnce => "at-once",
            Self::Pieces => "pieces",
            Self::Trailers => "trailers",
            Self::WebSocket => "websocket",
            Self::WebSocketFragments => "websocket-fragments",
            Self::WebSocketText => "websocket-text",
            Self::WebSocketPings => "websocket-pings",
            Self::WebSocketClose => "websocket-close",
        }
    }
}

impl Body {
    /// For the programs that read jobs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Plain => "plain",
            Self::Chunked => "chunked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_cases_own() {
        let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(!names.contains(&""));
    }
}
