//! The cases that uNetworking's h1spec puts to a server, in our own words: those which must wait for more, and those
//! with a response.

use crate::table::Expected::{Backend, Refused};
use crate::table::Seen::{Nothing, Whole};
use crate::table::{Expected, Row};

/// Every beginning of a request is waited for.
pub(crate) const UNFINISHED: &[&str] = &[
    "G",
    "GET ",
    "GET /hello",
    "GET /hello ",
    "GET /hello HTTP",
    "GET /hello HTTP/1.1",
    "GET /hello HTTP/1.1\r",
    "GET /hello HTTP/1.1\r\n",
    "GET /hello HTTP/1.1\r\nHos",
    "GET /hello HTTP/1.1\r\nHost:",
    "GET /hello HTTP/1.1\r\nHost: ",
    "GET /hello HTTP/1.1\r\nHost: localhost",
    "GET /hello HTTP/1.1\r\nHost: localhost\r",
    "GET /hello HTTP/1.1\r\nHost: localhost\r\n",
    "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r",
];

const fn refused(why: &'static str, wire: &'static str, answers: &'static [Expected]) -> Row {
    Row { why, wire, answers, seen: Nothing }
}

pub(crate) const ROWS: &[Row] = &[
    refused("no version", "GET / \r\n\r\n", &[Refused(400, "bad_request_line")]),
    Row {
        why: "an expectation without a body",
        wire: "GET / HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\n{ours example.com}\r\n"),
    },
    Row {
        why: "a valid GET",
        wire: "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: example.com\r\n{ours example.com}\r\n"),
    },
    Row {
        why: "a valid GET that looks odd",
        wire: "GET / HTTP/1.1\r\nhoSt:\texample.com\r\nempty:\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: example.com\r\nempty: \r\n{ours example.com}\r\n"),
    },
    refused(
        "brackets in a name",
        "GET / HTTP/1.1\r\nHost: example.com\r\nX-Invalid[]: test\r\n\r\n",
        &[Refused(400, "bad_header_name")],
    ),
    refused("no Host", "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", &[Refused(400, "missing_host")]),
    refused(
        "two Hosts",
        "GET / HTTP/1.1\r\nHost: example.com\r\nHost: example.org\r\n\r\n",
        &[Refused(400, "repeated_host")],
    ),
    refused(
        "a negative length that overflows",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -123456789123456789123456789\r\n\r\n",
        &[Refused(400, "bad_content_length")],
    ),
    refused(
        "a negative length",
        "GET / HTTP/1.1\r\nHost: example.com\r\nContent-Length: -1234\r\n\r\n",
        &[Refused(400, "bad_content_length")],
    ),
    refused(
        "a length of letters",
        "GET / HTTP/1.1\r\nHost: example.com\r\nContent-Length: abc\r\n\r\n",
        &[Refused(400, "bad_content_length")],
    ),
    Row {
        why: "an empty value",
        wire: "GET / HTTP/1.1\r\nHost: example.com\r\nX-Empty-Header: \r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: example.com\r\nX-Empty-Header: \r\n{ours example.com}\r\n"),
    },
    refused(
        "a control byte",
        "GET / HTTP/1.1\r\nHost: example.com\r\nX-Bad-Control-Char: test\x07\r\n\r\n",
        &[Refused(400, "bad_header_value")],
    ),
    refused(
        "a version that does not exist",
        "GET / HTTP/9.9\r\nHost: example.com\r\n\r\n",
        &[Refused(505, "unsupported_version")],
    ),
    refused(
        "words before the method",
        "Extra lineGET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        &[Refused(400, "bad_request_line")],
    ),
    refused(
        "a CR at the start of a line",
        "GET / HTTP/1.1\r\nHost: example.com\r\n\rSome-Header: Test\r\n\r\n",
        &[Refused(400, "bare_cr")],
    ),
    Row {
        why: "a body by length",
        wire: "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello",
        answers: &[Backend],
        seen: Whole(
            "POST / HTTP/1.1\r\nHost: example.com\r\n{ours example.com}Content-Length: 5\r\n\r\nhello",
        ),
    },
    Row {
        why: "a body in chunks",
        wire: "POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n\
               c\r\nHellO world1\r\n0\r\n\r\n",
        answers: &[Backend],
        seen: Whole(
            "POST / HTTP/1.1\r\nHost: example.com\r\n{ours example.com}Transfer-Encoding: chunked\r\n\r\n\
             c\r\nHellO world1\r\n0\r\n\r\n",
        ),
    },
    refused(
        "length and coding in odd cases",
        "POST / HTTP/1.1\r\nHost: a\r\ncontent-LengtH: 5\r\nTransFer-Encoding: chunked\r\n\r\n\
         c\r\nHellO world1\r\n0\r\n\r\n",
        &[Refused(400, "length_with_transfer_encoding")],
    ),
];
