//! Other projects' readers: the requests that a backend behind us would read from these bytes.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use http_muncher::{Parser, ParserHandler};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

/// One request as a reader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub host: Vec<u8>,
    pub body: Vec<u8>,
    /// Names of trailers, in lower case, if the reader tells them from fields.
    pub trailers: Vec<Vec<u8>>,
}

/// hyper's server over a pipe in memory.
#[must_use]
pub fn hyper(bytes: &[u8]) -> Vec<Read> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
    runtime.block_on(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (mut ours, theirs) = duplex(bytes.len() + 64 * 1024);
        let noted = Rc::clone(&seen);
        let service = service_fn(move |request: Request<Incoming>| {
            let noted = Rc::clone(&noted);
            async move {
                let (head, body) = request.into_parts();
                let host = head.headers.get("host").map(|host| host.as_bytes().to_vec());
                // A body that is cut is no request that was understood.
                if let Ok(body) = body.collect().await {
                    let trailers = body.trailers().into_iter().flat_map(|trailers| trailers.keys());
                    let trailers = trailers.map(|name| name.as_str().as_bytes().to_vec()).collect();
                    noted.borrow_mut().push(Read {
                        trailers,
                        method: head.method.as_str().as_bytes().to_vec(),
                        target: head.uri.to_string().into_bytes(),
                        host: host.unwrap_or_default(),
                        body: body.to_bytes().to_vec(),
                    });
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let serving = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(theirs), service);
        let client = async move {
            let _ = ours.write_all(bytes).await;
            let _ = ours.shutdown().await;
            let _ = ours.read_to_end(&mut Vec::new()).await;
        };
        let _ = tokio::join!(serving, client);
        Rc::try_unwrap(seen).map(RefCell::into_inner).unwrap_or_default()
    })
}

#[derive(Default)]
struct Notes {
    all: Vec<Read>,
    now: Read,
    name: Vec<u8>,
    value: Vec<u8>,
    /// A value has begun, if only an empty one.
    in_value: bool,
}

impl Notes {
    fn end_field(&mut self) {
        if self.name.eq_ignore_ascii_case(b"host") {
            self.now.host.clone_from(&self.value);
        }
        self.name.clear();
        self.value.clear();
        self.in_value = false;
    }
}

impl ParserHandler for Notes {
    fn on_url(&mut self, _: &mut Parser, url: &[u8]) -> bool {
        self.now.target.extend_from_slice(url);
        true
    }

    fn on_header_field(&mut self, _: &mut Parser, name: &[u8]) -> bool {
        if self.in_value {
            self.end_field();
        }
        self.name.extend_from_slice(name);
        true
    }

    fn on_header_value(&mut self, _: &mut Parser, value: &[u8]) -> bool {
        self.in_value = true;
        self.value.extend_from_slice(value);
        true
    }

    fn on_headers_complete(&mut self, _: &mut Parser) -> bool {
        self.end_field();
        true
    }

    fn on_body(&mut self, _: &mut Parser, body: &[u8]) -> bool {
        self.now.body.extend_from_slice(body);
        true
    }

    fn on_message_complete(&mut self, _: &mut Parser) -> bool {
        self.all.push(std::mem::take(&mut self.now));
        true
    }
}

/// Node's http_parser; knows registered methods only. Which one it read is left empty: the crate looks for it
/// in the wrong bits.
///
/// # Errors
/// Its error for bytes that it refuses.
pub fn node(bytes: &[u8]) -> Result<Vec<Read>, String> {
    let mut notes = Notes::default();
    let mut parser = Parser::request();
    let used = parser.parse(&mut notes, bytes);
    if parser.has_error() || used != bytes.len() {
        return Err(parser.error().to_string());
    }
    Ok(notes.all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_read() {
        let bytes = b"POST /a?b HTTP/1.1\r\nHost: a\r\nX:\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n";
        let read = |method: &str, target: &str, host: &str, body: &str| Read {
            method: method.into(),
            target: target.into(),
            host: host.into(),
            body: body.into(),
            trailers: Vec::new(),
        };
        let want = vec![read("POST", "/a?b", "a", "y"), read("GET", "/", "b", "")];
        assert_eq!(hyper(bytes), want);
        let want = want.into_iter().map(|read| Read { method: Vec::new(), ..read }).collect();
        assert_eq!(node(bytes), Ok(want));
    }
}
