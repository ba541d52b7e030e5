//! Chunked bodies: RFC 9112 section 7.1.

use crate::table::Expected::{Backend, Refused};
use crate::table::Seen::{Cut, Whole};
use crate::table::{Expected, Row};

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\n{ours a}Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n";

const fn refused(why: &'static str, wire: &'static str, answers: &'static [Expected]) -> Row {
    Row { why, wire, answers, seen: Cut(CHUNKED) }
}

macro_rules! chunked {
    ($body:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n", $body)
    };
}

pub(crate) const ROWS: &[Row] = &[
    refused("no size", chunked!("\r\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_size")]),
    refused("no hexadecimal digit", chunked!("g\r\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_size")]),
    refused("0x", chunked!("0x1\r\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_size")]),
    refused("a sign", chunked!("+1\r\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_size")]),
    refused("a minus sign", chunked!("-1\r\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_size")]),
    refused("a blank before", chunked!(" 1\r\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_size")]),
    refused("a blank behind", chunked!("1 \r\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_line")]),
    refused(
        "beyond 64 bits",
        chunked!("10000000000000000\r\nx\r\n0\r\n\r\n"),
        &[Refused(400, "bad_chunk_size")],
    ),
    refused("a size line of LF alone", chunked!("1\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_size")]),
    refused("a CR within the line", chunked!("1\rx\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_line")]),
    refused("an LF in an extension", chunked!("1;a\nb\r\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_line")]),
    refused("more data than the size", chunked!("1\r\nxy\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_end")]),
    refused("less data than the size", chunked!("3\r\nx\r\n0\r\n\r\n"), &[Refused(400, "bad_chunk_end")]),
    refused("data that ends in LF alone", chunked!("1\r\nx\n0\r\n\r\n"), &[Refused(400, "bad_chunk_end")]),
    refused("a trailer that is no field", chunked!("0\r\nx\r\n\r\n"), &[Refused(400, "bad_trailer")]),
    refused("a folded trailer", chunked!("0\r\nA: 1\r\n 2\r\n\r\n"), &[Refused(400, "bad_trailer")]),
    refused(
        "a blank before a trailer's colon",
        chunked!("0\r\nA : 1\r\n\r\n"),
        &[Refused(400, "bad_trailer")],
    ),
    Row {
        why: "extensions are dropped, zeros and capitals of sizes, too",
        wire: chunked!("000A;a=b;c=\"d;e\"\r\n0123456789\r\n00;x\r\n\r\n"),
        answers: &[Backend],
        seen: Whole(
            "POST / HTTP/1.1\r\nHost: a\r\n{ours a}Transfer-Encoding: chunked\r\n\r\nc\r\nxy0123456789\r\n0\r\n\r\n",
        ),
    },
    Row {
        why: "trailers stay behind",
        wire: chunked!("0\r\nX-Sum: 1\r\nHost: b\r\n\r\n"),
        answers: &[Backend],
        seen: Whole(
            "POST / HTTP/1.1\r\nHost: a\r\n{ours a}Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n",
        ),
    },
];

/// With trailers of requests kept.
pub(crate) const KEPT_TRAILERS: &[Row] = &[Row {
    why: "trailers go on, but for those that would change the request",
    wire: chunked!(
        "0\r\nX-Sum: 1\r\nHost: b\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nAuthorization: y\r\n\r\n"
    ),
    answers: &[Backend],
    seen: Whole(
        "POST / HTTP/1.1\r\nHost: a\r\n{ours a}Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
}];
