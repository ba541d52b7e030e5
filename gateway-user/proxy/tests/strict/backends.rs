//! Backends that break the rules: what the client gets, and whether their connection is used again (RFC 9112 sections
//! 4, 6 and 9).

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_io::Driver;

use crate::support::Gateway;
use crate::support::backend::{Backend, ok};
use crate::support::ir::Config;

/// A backend's response to the first request; every later one gets a good one.
struct Lie {
    why: &'static str,
    wire: &'static str,
    /// It closes after that.
    closes: bool,
    /// Status and reason of the response; no reason if it is the backend's.
    answer: (u16, Option<&'static str>),
    /// Connections to the backend after a second request: one if the first was used again.
    connections: usize,
}

const fn refused(why: &'static str, wire: &'static str, reason: &'static str) -> Lie {
    Lie { why, wire, closes: false, answer: (502, Some(reason)), connections: 2 }
}

const LIES: &[Lie] = &[
    Lie {
        why: "the truth, for comparison",
        wire: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        closes: false,
        answer: (200, None),
        connections: 1,
    },
    refused("another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "backend_bad_status_line"),
    refused("HTTP/0.9", "<html>hello</html>\r\n\r\n", "backend_bad_status_line"),
    refused("HTTP/2", "HTTP/2 200\r\n\r\n", "backend_bad_status_line"),
    refused("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "backend_bad_status_line"),
    refused("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "backend_bad_status_line"),
    refused("no blank behind the version", "HTTP/1.1200 OK\r\n\r\n", "backend_bad_status_line"),
    refused(
        "two lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        "backend_repeated_content_length",
    ),
    refused(
        "length and coding",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "backend_length_with_transfer_encoding",
    ),
    refused(
        "a length that is none",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
        "backend_bad_content_length",
    ),
    refused(
        "a coding unknown",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "backend_bad_transfer_encoding",
    ),
    refused(
        "a coding on HTTP/1.0",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "backend_transfer_encoding_on_http10",
    ),
    refused("lines of LF alone", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "backend_bare_lf"),
    refused(
        "a CR in a value, as in split answers",
        "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
        "backend_bare_cr",
    ),
    refused(
        "a folded field",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "backend_obs_fold",
    ),
    refused(
        "a blank before a colon",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "backend_space_before_colon",
    ),
    refused(
        "a NUL in a value",
        "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n",
        "backend_bad_header_value",
    ),
    refused("a name that is no token", "HTTP/1.1 200 OK\r\nX y: 1\r\n\r\n", "backend_bad_header_name"),
    refused(
        "a switch of protocols that nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "upstream_unexpected_upgrade",
    ),
    Lie {
        why: "half a head",
        wire: "HTTP/1.1 200 OK\r\nContent-Le",
        closes: true,
        answer: (502, Some("upstream_reset")),
        connections: 2,
    },
    Lie { why: "nothing", wire: "", closes: true, answer: (502, Some("upstream_reset")), connections: 2 },
    Lie {
        why: "bytes behind the answer, as if to answer the next one's request",
        wire: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        closes: false,
        answer: (200, None),
        connections: 2,
    },
    Lie {
        why: "bytes behind an answer in chunks",
        wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        closes: false,
        answer: (200, None),
        connections: 2,
    },
    Lie {
        why: "a body where none may be",
        wire: "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil",
        closes: false,
        answer: (204, None),
        connections: 2,
    },
    Lie {
        why: "a close that was announced",
        wire: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        closes: false,
        answer: (200, None),
        connections: 2,
    },
];

pub(crate) fn check(driver: Driver) {
    let mut faults = Vec::new();
    for lie in LIES {
        let told = Arc::new(AtomicUsize::new(0));
        let first = Arc::clone(&told);
        let backend = Backend::start(move |mut exchange| {
            while exchange.request().is_some() {
                let lies = first.fetch_add(1, Ordering::SeqCst) == 0;
                let bytes = if lies { lie.wire.as_bytes().to_vec() } else { ok("good") };
                if exchange.stream.write_all(&bytes).is_err() || lies && lie.closes {
                    return;
                }
            }
        });
        let gateway = Gateway::start(driver, &Config::to(backend.address()));
        // A POST is never sent twice, so that the lie reaches the client.
        let answer =
            gateway.raw("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let later = gateway.get("/2");
        let seen = (answer.status, answer.reason());
        if seen != lie.answer {
            faults.push(format!("{}: answered {seen:?} instead of {:?}", lie.why, lie.answer));
        }
        if (later.status, later.text().as_str()) != (200, "good") {
            faults.push(format!("{}: the next request got {} {:?}", lie.why, later.status, later.text()));
        }
        if backend.accepted() != lie.connections {
            faults.push(format!("{}: {} connections", lie.why, backend.accepted()));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), LIES.len(), faults.join("\n"));
}
