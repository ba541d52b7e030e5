//! Paths: RFC 3986 section 6.2.2. What is matched is what is forwarded.

use crate::table::Expected::{Backend, Refused};
use crate::table::Row;
use crate::table::Seen::{Nothing, Whole};

macro_rules! becomes {
    ($why:literal, $from:literal, $to:literal) => {
        Row {
            why: $why,
            wire: concat!("GET ", $from, " HTTP/1.1\r\nHost: a\r\n\r\n"),
            answers: &[Backend],
            seen: Whole(concat!("GET ", $to, " HTTP/1.1\r\nHost: a\r\n{ours a}\r\n")),
        }
    };
}

macro_rules! refused {
    ($why:literal, $from:literal, $reason:literal) => {
        Row {
            why: $why,
            wire: concat!("GET ", $from, " HTTP/1.1\r\nHost: a\r\n\r\n"),
            answers: &[Refused(400, $reason)],
            seen: Nothing,
        }
    };
}

pub(crate) const ROWS: &[Row] = &[
    becomes!("dots", "/a/./b/../c", "/a/c"),
    becomes!("dots at the end", "/a/b/..", "/a/"),
    becomes!("never above the root", "/../../a", "/a"),
    becomes!("dots that were hidden", "/a/%2e%2E/b", "/b"),
    becomes!("letters that were hidden", "/%61%7E%2d", "/a~-"),
    becomes!("capitals in escapes", "/%c3%a9", "/%C3%A9"),
    becomes!("slashes at the start are one, others stay", "//a///b", "/a///b"),
    becomes!("an encoded slash separates nothing", "/a%2fb/..", "/"),
    becomes!("an encoded slash stays", "/a%2fb", "/a%2Fb"),
    becomes!(
        "a project with a slash in its name, as GitLab's clients send it",
        "/api/v4/projects/group%2Fproject",
        "/api/v4/projects/group%2Fproject"
    ),
    becomes!("a package of a scope, as npm sends it", "/@scope%2fpkg", "/@scope%2Fpkg"),
    becomes!(
        "a key with slashes and dots in it, as S3's clients send it",
        "/bucket/v1..2%2F.a%2Fb..",
        "/bucket/v1..2%2F.a%2Fb.."
    ),
    becomes!("path parameters", "/cars;v=1/wheels;color=red;..", "/cars;v=1/wheels;color=red;.."),
    becomes!("an escape of an escape", "/%252e%252e%252f", "/%252e%252e%252f"),
    becomes!("an encoded backslash in a name", "/a%5cb", "/a%5Cb"),
    refused!("a backslash", "/a\\b", "encoded_separator"),
    refused!("an encoded NUL", "/a%00", "encoded_separator"),
    refused!("dots before a path parameter", "/..;/admin", "hidden_dot_segment"),
    refused!("dots before a path parameter further in", "/public/..;x=1/admin", "hidden_dot_segment"),
    refused!("dots before an encoded slash", "/public/%2e%2e%2fadmin", "hidden_dot_segment"),
    refused!("dots behind an encoded slash", "/public%2F..", "hidden_dot_segment"),
    refused!("dots before an encoded backslash", "/public/..%5cadmin", "hidden_dot_segment"),
    becomes!("a query is not touched", "/a?b=/../%zz//?", "/a?b=/../%zz//?"),
    becomes!("an empty query is one", "/a?", "/a?"),
    refused!("half an escape", "/a%2", "bad_percent_escape"),
    refused!("an escape that is none", "/a%zz", "bad_percent_escape"),
];

/// With all separators kept, as before they were looked at.
pub(crate) const KEPT_SEPARATORS: &[Row] = &[
    becomes!("a backslash stays", "/a\\b", "/a\\b"),
    becomes!("an encoded NUL stays", "/a%00", "/a%00"),
    becomes!("dots behind an encoded slash stay", "/a%2f..", "/a%2F.."),
    becomes!("dots before a path parameter stay", "/..;/admin", "/..;/admin"),
    becomes!("an encoded slash separates nothing", "/a%2fb/..", "/"),
];

/// With encoded separators refused.
pub(crate) const REFUSED_SEPARATORS: &[Row] = &[
    refused!("an encoded slash", "/a%2Fb", "encoded_separator"),
    refused!("an encoded backslash", "/a%5cb", "encoded_separator"),
    refused!("a backslash", "/a\\b", "encoded_separator"),
    refused!("an encoded NUL", "/a%00", "encoded_separator"),
    refused!("dots before a path parameter", "/..;/admin", "hidden_dot_segment"),
    becomes!("in a query they are data", "/a?b=%2F%5C%00", "/a?b=%2F%5C%00"),
];
