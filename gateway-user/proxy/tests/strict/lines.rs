//! Request lines: RFC 9112 section 3.

use crate::table::Expected::{Backend, LocalReply, Refused};
use crate::table::Row;
use crate::table::Seen::{Nothing, Whole};

pub(crate) const ROWS: &[Row] = &[
    Row {
        why: "a plain request",
        wire: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "an empty line before a request is passed over (section 2.2)",
        wire: "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "a method of one's own",
        wire: "PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Backend],
        seen: Whole("PURGE /x HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "methods have a case",
        wire: "get /x HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Backend],
        seen: Whole("get /x HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "HTTP/1.0 is spoken on as 1.1",
        wire: "GET /x HTTP/1.0\r\nHost: a\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET /x HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "OPTIONS for the server has no path that a rule could match",
        wire: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[LocalReply(404, "no_rule_for_path")],
        seen: Nothing,
    },
    Row {
        why: "no token",
        wire: "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_method")],
        seen: Nothing,
    },
    Row {
        why: "two spaces before the target",
        wire: "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_request_line")],
        seen: Nothing,
    },
    Row {
        why: "two spaces before the version",
        wire: "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_request_line")],
        seen: Nothing,
    },
    Row {
        why: "a space in the target",
        wire: "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_request_line")],
        seen: Nothing,
    },
    Row {
        why: "a tab for a space",
        wire: "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_method")],
        seen: Nothing,
    },
    Row {
        why: "a space behind the version",
        wire: "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_request_line")],
        seen: Nothing,
    },
    Row {
        why: "a blank before the method",
        wire: " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_request_line")],
        seen: Nothing,
    },
    Row {
        why: "HTTP/0.9",
        wire: "GET /\r\n\r\n",
        answers: &[Refused(400, "bad_request_line")],
        seen: Nothing,
    },
    Row {
        why: "a version that does not exist",
        wire: "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        answers: &[Refused(505, "unsupported_version")],
        seen: Nothing,
    },
    Row {
        why: "versions have one digit on each side",
        wire: "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_request_line")],
        seen: Nothing,
    },
    Row {
        why: "names of versions have a case",
        wire: "GET / http/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_request_line")],
        seen: Nothing,
    },
    Row {
        why: "CONNECT",
        wire: "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        answers: &[Refused(501, "connect_not_supported")],
        seen: Nothing,
    },
    Row {
        why: "a fragment",
        wire: "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_target")],
        seen: Nothing,
    },
    Row {
        why: "a target of no form",
        wire: "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_target")],
        seen: Nothing,
    },
    Row {
        why: "an asterisk for another method",
        wire: "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_target")],
        seen: Nothing,
    },
    Row {
        why: "a byte outside ASCII",
        wire: "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_target")],
        seen: Nothing,
    },
    Row {
        why: "a NUL",
        wire: "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bad_target")],
        seen: Nothing,
    },
    Row {
        why: "a line that ends in LF alone",
        wire: "GET / HTTP/1.1\nHost: a\n\n",
        answers: &[Refused(400, "bare_lf")],
        seen: Nothing,
    },
    Row {
        why: "a CR within the line",
        wire: "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Refused(400, "bare_cr")],
        seen: Nothing,
    },
];
