//! Host and authority: RFC 9112 sections 3.2 and 3.3, RFC 9110 section 7.2.

use crate::table::Expected::{Backend, Refused};
use crate::table::Row;
use crate::table::Seen::{Nothing, Whole};

pub(crate) const ROWS: &[Row] = &[
    Row {
        why: "none",
        wire: "GET / HTTP/1.1\r\n\r\n",
        answers: &[Refused(400, "missing_host")],
        seen: Nothing,
    },
    Row {
        why: "two",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        answers: &[Refused(400, "repeated_host")],
        seen: Nothing,
    },
    Row {
        why: "two, equal",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "repeated_host")],
        seen: Nothing,
    },
    Row {
        why: "two on HTTP/1.0",
        wire: "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        answers: &[Refused(400, "repeated_host")],
        seen: Nothing,
    },
    Row {
        why: "empty",
        wire: "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        answers: &[Refused(400, "bad_host")],
        seen: Nothing,
    },
    Row {
        why: "a list",
        wire: "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        answers: &[Refused(400, "bad_host")],
        seen: Nothing,
    },
    Row {
        why: "a list without a blank",
        wire: "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
        answers: &[Refused(400, "bad_host")],
        seen: Nothing,
    },
    Row {
        why: "a list in the target",
        wire: "GET http://a,b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_target")],
        seen: Nothing,
    },
    Row {
        why: "user information",
        wire: "GET / HTTP/1.1\r\nHost: x@a\r\n\r\n",
        answers: &[Refused(400, "bad_host")],
        seen: Nothing,
    },
    Row {
        why: "a path",
        wire: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        answers: &[Refused(400, "bad_host")],
        seen: Nothing,
    },
    Row {
        why: "a port that is none",
        wire: "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n",
        answers: &[Refused(400, "bad_host")],
        seen: Nothing,
    },
    Row {
        why: "a port beyond 65535",
        wire: "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n",
        answers: &[Refused(400, "bad_host")],
        seen: Nothing,
    },
    Row {
        why: "a space in it",
        wire: "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        answers: &[Refused(400, "bad_host")],
        seen: Nothing,
    },
    Row {
        why: "an address without brackets",
        wire: "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
        answers: &[Refused(400, "bad_host")],
        seen: Nothing,
    },
    Row {
        why: "name and port",
        wire: "GET / HTTP/1.1\r\nHost: A.Example:8080\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: A.Example:8080\r\n{ours A.Example:8080}\r\n"),
    },
    Row {
        why: "an address in brackets",
        wire: "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: [::1]:80\r\n{ours [::1]:80}\r\n"),
    },
    Row {
        why: "an empty port (RFC 3986 section 3.2.3)",
        wire: "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a:\r\n{ours a:}\r\n"),
    },
    Row {
        why: "the target's authority wins over Host (section 3.2.2)",
        wire: "GET http://b/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET /x?y HTTP/1.1\r\nHost: b\r\n{ours b}\r\n"),
    },
    Row {
        why: "absolute form without a path",
        wire: "GET http://b HTTP/1.1\r\nHost: b\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: b\r\n{ours b}\r\n"),
    },
    Row {
        why: "absolute form does not make up for a missing Host",
        wire: "GET http://b/ HTTP/1.1\r\n\r\n",
        answers: &[Refused(400, "missing_host")],
        seen: Nothing,
    },
    Row {
        why: "user information in the target",
        wire: "GET http://u@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
        answers: &[Refused(400, "bad_target")],
        seen: Nothing,
    },
    Row {
        why: "another scheme",
        wire: "GET ftp://b/ HTTP/1.1\r\nHost: b\r\n\r\n",
        answers: &[Refused(400, "bad_target")],
        seen: Nothing,
    },
    Row {
        why: "absolute form without an authority",
        wire: "GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n",
        answers: &[Refused(400, "bad_target")],
        seen: Nothing,
    },
];
