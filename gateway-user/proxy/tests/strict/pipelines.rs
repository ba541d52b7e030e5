//! Requests behind a request on its connection: RFC 9112 section 9.3.2.

use crate::table::Expected::{Backend, Refused};
use crate::table::Row;
use crate::table::Seen::{Nothing, Whole};

pub(crate) const ROWS: &[Row] = &[
    Row {
        why: "two in one write",
        wire: "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Backend, Backend],
        seen: Whole("GET /1 HTTP/1.1\r\nHost: a\r\n{ours a}\r\nGET /2 HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "a request behind a body begins where the body ends",
        wire: "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxyGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Backend, Backend],
        seen: Whole(
            "POST /1 HTTP/1.1\r\nHost: a\r\n{ours a}Content-Length: 2\r\n\r\nxyGET /2 HTTP/1.1\r\nHost: a\r\n{ours a}\r\n",
        ),
    },
    Row {
        why: "what follows a refused request is not read as one",
        wire: "GET /1 HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "space_before_colon")],
        seen: Nothing,
    },
    Row {
        why: "a good request is answered before a bad one behind it",
        wire: "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Backend, Refused(400, "missing_host")],
        seen: Whole("GET /1 HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "a body that is longer than its length is another request",
        wire: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxyz\r\n\r\n",
        answers: &[Backend, Refused(400, "bad_request_line")],
        seen: Whole("POST / HTTP/1.1\r\nHost: a\r\n{ours a}Content-Length: 1\r\n\r\nx"),
    },
    Row {
        why: "nothing behind a request that closes the connection is read",
        wire: "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET /1 HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
];
