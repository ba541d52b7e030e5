//! Field lines: RFC 9112 section 5, RFC 9110 sections 5 and 7.6.1; what is passed on and what stays behind.

use crate::table::Expected::{Backend, Refused};
use crate::table::Row;
use crate::table::Seen::{Nothing, Whole};

pub(crate) const ROWS: &[Row] = &[
    Row {
        why: "a folded line",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        answers: &[Refused(400, "obs_fold")],
        seen: Nothing,
    },
    Row {
        why: "a folded first line",
        wire: "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        answers: &[Refused(400, "obs_fold")],
        seen: Nothing,
    },
    Row {
        why: "a line that ends in LF alone",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n",
        answers: &[Refused(400, "bare_lf")],
        seen: Nothing,
    },
    Row {
        why: "a CR in a value",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n",
        answers: &[Refused(400, "bare_cr")],
        seen: Nothing,
    },
    Row {
        why: "a NUL in a value",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX: 1\0\r\n\r\n",
        answers: &[Refused(400, "bad_header_value")],
        seen: Nothing,
    },
    Row {
        why: "a control byte in a value",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX: 1\x07\r\n\r\n",
        answers: &[Refused(400, "bad_header_value")],
        seen: Nothing,
    },
    Row {
        why: "a blank before the colon",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        answers: &[Refused(400, "space_before_colon")],
        seen: Nothing,
    },
    Row {
        why: "a tab before the colon",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX\t: 1\r\n\r\n",
        answers: &[Refused(400, "space_before_colon")],
        seen: Nothing,
    },
    Row {
        why: "a blank before the colon of a length",
        wire: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\nx",
        answers: &[Refused(400, "space_before_colon")],
        seen: Nothing,
    },
    Row {
        why: "no colon",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        answers: &[Refused(400, "bad_header_name")],
        seen: Nothing,
    },
    Row {
        why: "no name",
        wire: "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n",
        answers: &[Refused(400, "bad_header_name")],
        seen: Nothing,
    },
    Row {
        why: "a name that is no token",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX(y): 1\r\n\r\n",
        answers: &[Refused(400, "bad_header_name")],
        seen: Nothing,
    },
    Row {
        why: "a name with a byte outside ASCII",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: 1\r\n\r\n",
        answers: &[Refused(400, "bad_header_name")],
        seen: Nothing,
    },
    Row {
        why: "blanks around a value go, those within and bytes beyond ASCII stay",
        wire: "GET / HTTP/1.1\r\nHost:a\r\nX:\t 1 \t 2\u{e9} \t\r\nempty:\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\nX: 1 \t 2\u{e9}\r\nempty: \r\n{ours a}\r\n"),
    },
    Row {
        why: "fields of one connection stay behind",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
               Proxy-Connection: close\r\nX: 1\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n{ours a}\r\n"),
    },
    Row {
        why: "Connection cannot take away what says who asks for what",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Host, Authorization, Cookie, X-Forwarded-For\r\n\
               Authorization: x\r\nCookie: y\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nCookie: y\r\n{ours a}\r\n"),
    },
    Row {
        why: "Connection cannot take a body's length away",
        wire: "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 1\r\n\r\nx",
        answers: &[Backend],
        seen: Whole("POST / HTTP/1.1\r\nHost: a\r\n{ours a}Content-Length: 1\r\n\r\nx"),
    },
    Row {
        why: "strangers do not say for whom they ask",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: b\r\n\
               X-Forwarded-Proto: https\r\nX-Request-Id: mine\r\nForwarded: for=9.9.9.9\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "an upgrade to HTTP/2 that nobody asked for",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
               HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "settings of HTTP/2 that Connection does not name go with the upgrade (RFC 7540 section 3.2.1)",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nhttp2-settings: AAMA\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "names that a server may take for others (RFC 3875 section 4.1.18)",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nX_A: 1\r\nX-A: 2\r\n_: 3\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\nX-A: 2\r\n{ours a}\r\n"),
    },
    Row {
        why: "an announcement of trailers that stay behind",
        wire: "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
        answers: &[Backend],
        seen: Whole("POST / HTTP/1.1\r\nHost: a\r\n{ours a}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    },
    Row {
        why: "another upgrade",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x/1\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "of TE only trailers goes on, written anew",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers, deflate;q=0.5\r\n\r\n",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\n{ours a}TE: trailers\r\nConnection: TE\r\n\r\n"),
    },
    Row {
        why: "an expectation goes on with its body",
        wire: "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
        answers: &[Backend],
        seen: Whole(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n{ours a}Content-Length: 1\r\n\r\nx",
        ),
    },
    Row {
        why: "an expectation that nobody knows",
        wire: "POST / HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\nx",
        answers: &[Refused(417, "expectation_failed")],
        seen: Nothing,
    },
    Row {
        why: "on HTTP/1.0 an expectation means nothing (RFC 9110 section 10.1.1)",
        wire: "POST / HTTP/1.0\r\nHost: a\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\nx",
        answers: &[Backend],
        seen: Whole("POST / HTTP/1.1\r\nHost: a\r\n{ours a}Content-Length: 1\r\n\r\nx"),
    },
];
