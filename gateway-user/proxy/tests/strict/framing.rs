//! Where a request's body ends: RFC 9112 section 6. Two answers to that question are what request smuggling is made of.

use crate::table::Expected::{Backend, Refused};
use crate::table::Seen::{Nothing, Whole};
use crate::table::{Expected, Row};

const BAD_LENGTH: &[Expected] = &[Refused(400, "bad_content_length")];
const TWO_LENGTHS: &[Expected] = &[Refused(400, "repeated_content_length")];
const BOTH: &[Expected] = &[Refused(400, "length_with_transfer_encoding")];
const BAD_CODING: &[Expected] = &[Refused(400, "bad_transfer_encoding")];
const OTHER_CODING: &[Expected] = &[Refused(501, "unsupported_transfer_coding")];

const fn refused(why: &'static str, wire: &'static str, answers: &'static [Expected]) -> Row {
    Row { why, wire, answers, seen: Nothing }
}

pub(crate) const ROWS: &[Row] = &[
    refused(
        "length and coding",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        BOTH,
    ),
    refused(
        "coding and length",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        BOTH,
    ),
    refused(
        "two lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        TWO_LENGTHS,
    ),
    refused(
        "two equal lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        TWO_LENGTHS,
    ),
    refused("a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", TWO_LENGTHS),
    refused("a plus sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", BAD_LENGTH),
    refused("a minus sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx", BAD_LENGTH),
    refused("minus nothing", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n", BAD_LENGTH),
    refused("a blank within", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\nx", BAD_LENGTH),
    refused("hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx", BAD_LENGTH),
    refused(
        "a digit of another alphabet",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \u{661}\r\n\r\nx",
        BAD_LENGTH,
    ),
    refused("a fraction", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1.0\r\n\r\nx", BAD_LENGTH),
    refused("quotes", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"1\"\r\n\r\nx", BAD_LENGTH),
    refused("nothing", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", BAD_LENGTH),
    refused(
        "one more than 64 bits hold",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nx",
        BAD_LENGTH,
    ),
    refused(
        "a coding after chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "a coding alone",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "identity",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "chunked on two lines",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "identity on another line",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "a coding that sounds like it",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "in quotes",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "with a parameter",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x=1\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "an empty element",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "no coding at all",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    refused(
        "a vertical tab before it",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        &[Refused(400, "bad_header_value")],
    ),
    refused(
        "a coding that we cannot undo",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OTHER_CODING,
    ),
    refused(
        "on HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[Refused(400, "transfer_encoding_on_http10")],
    ),
    Row {
        why: "a length with zeros before it is a length",
        wire: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0002\r\n\r\nxy",
        answers: &[Backend],
        seen: Whole("POST / HTTP/1.1\r\nHost: a\r\n{ours a}Content-Length: 2\r\n\r\nxy"),
    },
    Row {
        why: "a length on GET is a body",
        wire: "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy",
        answers: &[Backend],
        seen: Whole("GET / HTTP/1.1\r\nHost: a\r\n{ours a}Content-Length: 2\r\n\r\nxy"),
    },
    Row {
        why: "no length, no body",
        wire: "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        answers: &[Backend],
        seen: Whole("POST / HTTP/1.1\r\nHost: a\r\n{ours a}\r\n"),
    },
    Row {
        why: "a coding in capitals is the coding",
        wire: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nxy\r\n0\r\n\r\n",
        answers: &[Backend],
        seen: Whole(
            "POST / HTTP/1.1\r\nHost: a\r\n{ours a}Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n",
        ),
    },
];
