//! Once warm, a request that is parsed, changed, forwarded and answered allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gateway_http::h1::encode::{self, LocalReply, RequestOptions, ResponseOptions, SliceSink};
use gateway_http::h1::path::{MergeSlashes, PathOptions, Separators, normalize};
use gateway_http::h1::{
    BodyDecoder, BodyFraming, BodyLimits, HeadEdits, HeadLimits, Method, Parsed, RequestHead, ResponseHead,
    Scheme,
};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() -> u64 {
    COUNT.with(Cell::get)
}

// SAFETY: every call goes to `System` with the arguments it came with, so `System`'s guarantees are ours; the counter is
// a plain thread-local that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and the block came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `realloc`'s contract, and the block came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUEST: &[u8] =
    b"POST /a/../httpbin//get%7e?q=1 HTTP/1.1\r\nHost: Shared.Example:80\r\nUser-Agent: test\r\n\
    Accept: */*\r\nX-Forwarded-For: 10.0.0.1\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
    Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nServer: b\r\nX-Gone: 1\r\n\r\nhello";

#[derive(Default)]
struct Connection {
    request: RequestHead,
    response: ResponseHead,
    edits: HeadEdits,
    body: BodyDecoder,
    path: Vec<u8>,
    host: Vec<u8>,
}

const PATH: PathOptions =
    PathOptions { merge_slashes: MergeSlashes::Always, separators: Separators::RefuseDangerous };

/// One exchange; gives the bytes written both ways.
fn round(c: &mut Connection, out: &mut [u8]) -> usize {
    let limits = HeadLimits::default();
    let mut sink = SliceSink::new(out);
    assert_eq!(c.request.parse(&REQUEST[..100], &limits), Ok(Parsed::Incomplete));
    let Ok(Parsed::Complete { consumed }) = c.request.parse(REQUEST, &limits) else { panic!("a whole head") };
    let view = c.request.view(REQUEST);
    assert_eq!(view.parts(Scheme::Http).host_lower(&mut c.host), Some(&b"shared.example"[..]));
    let path = normalize(view.path(), PATH, &mut c.path).unwrap();
    assert_eq!(path, b"/httpbin/get~");
    c.edits.clear();
    c.edits.set_path_parts(&[b"/", path.strip_prefix(b"/httpbin/").unwrap()]).unwrap();
    let client = view.fields().get(b"x-forwarded-for").unwrap();
    c.edits.set_parts(b"x-forwarded-for", &[client, b", ", b"10.0.0.2"]).unwrap();
    c.edits.add(b"x-request-id", b"0123456789abcdef").unwrap();
    c.edits.remove(b"user-agent").unwrap();
    let options = RequestOptions { framing: view.framing(), ..RequestOptions::default() };
    encode::request(&mut sink, &view.parts(Scheme::Http), &c.edits, &options).unwrap();
    c.body.begin(view.framing()).unwrap();
    assert!(c.body.decode(&REQUEST[consumed..]).unwrap().finished);
    encode::last_chunk(&mut sink, c.body.trailers()).unwrap();

    c.response.parse(RESPONSE, &limits, Method::Post).unwrap();
    let view = c.response.view(RESPONSE);
    c.edits.clear();
    c.edits.remove(b"x-gone").unwrap();
    let options = ResponseOptions { framing: BodyFraming::Length(5), ..ResponseOptions::default() };
    encode::response(&mut sink, &view.parts(), &c.edits, &options).unwrap();
    encode::local_reply(
        &mut sink,
        &LocalReply { status: 404, reason: "no_route", body: b"no\n", ..LocalReply::default() },
    )
    .unwrap();
    sink.filled()
}

#[test]
fn ten_thousand_rounds_allocate_nothing() {
    let mut connection =
        Connection { body: BodyDecoder::new(BodyLimits::default()), ..Connection::default() };
    let mut out = vec![0; 4096];
    let before = count();
    let written = round(&mut connection, &mut out);
    assert!(count() > before, "the counter counts: the first round warms the storage up");
    let warm = count();
    for _ in 0..10_000 {
        assert_eq!(round(&mut connection, &mut out), written);
    }
    assert_eq!(count() - warm, 0);
    assert!(out.starts_with(b"POST /get~?q=1 HTTP/1.1\r\nHost: Shared.Example:80\r\nAccept: */*\r\n"));
}
