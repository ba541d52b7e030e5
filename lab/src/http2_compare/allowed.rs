//! Differences that have a reason. Most are heads that Sluice refuses over HTTP/1.1 too (docs/http.md), or errors of a stream that
//! one server takes for errors of its connection.

/// Peculiarities, the servers that take them another way than Sluice, and why that is right.
const ALLOWED: &[(&[&str], &[&str], &str)] = &[
    (&["method with a blank"], &["go"], "a method is a token (RFC 9110 section 9.1)"),
    (
        &["unknown scheme"],
        &["haproxy", "go"],
        "schemes beside http and https may be asked for (RFC 9113 section 8.3.1): HAProxy passes them on, Go refuses",
    ),
    (&["path with a blank"], &["go"], "a blank in a path would end it over HTTP/1.1"),
    (
        &["path beyond ASCII"],
        &["haproxy", "nghttpd", "go"],
        "a path is of a URI's bytes (RFC 3986 section 2)",
    ),
    (
        &["path with a fragment"],
        &["haproxy", "go"],
        "a fragment is no part of a target (RFC 9110 section 7.1): it is taken away, HAProxy refuses, Go keeps it",
    ),
    (&["whole URI as path"], &["go"], "a path begins with a slash (RFC 9113 section 8.3.1)"),
    (&["asterisk"], &["haproxy", "go"], "OPTIONS alone asks for the server itself (RFC 9113 section 8.3.1)"),
    (
        &["escape that is none"],
        &["haproxy", "nghttpd", "go"],
        "a percent sign begins an escape (RFC 3986 section 2.1)",
    ),
    (
        &["escaped slash"],
        &["haproxy", "go"],
        "escapes are passed on in upper case (RFC 3986 section 6.2.2.1)",
    ),
    (
        &["dots"],
        &["haproxy", "go"],
        "dot segments are removed before a route is looked up (RFC 3986 section 5.2.4)",
    ),
    (&["empty authority", "no authority"], &["haproxy", "go"], "a request is for a host"),
    (
        &["authority with a port", "authority of IPv6"],
        &["haproxy"],
        "HAProxy takes the scheme's own port away",
    ),
    (
        &["port that is none", "port beyond 65535"],
        &["haproxy", "nghttpd", "go"],
        "a port is a number of 16 bits",
    ),
    (
        &["authority with a blank", "authority with a slash"],
        &["go"],
        "an authority is a URI's (RFC 3986 section 3.2)",
    ),
    (&["Host alone", "Host beside the same"], &["go"], "Go's server leaves Host among the fields as well"),
    (
        &["Host beside another"],
        &["haproxy", "nghttpd", "go"],
        ":authority and Host that name two places may be refused (RFC 9113 section 8.3.1)",
    ),
    (&["two Hosts"], &["haproxy", "go"], "there is one Host (RFC 9112 section 3.2)"),
    (
        &[
            "empty name",
            "name with a blank",
            "name with a colon",
            "name with NUL",
            "name beyond ASCII",
            "value with a carriage return",
            "value with a line feed",
            "value with NUL",
        ],
        &["nghttpd"],
        "such a field is malformed (RFC 9113 section 8.2.1): nghttpd leaves it out and serves the rest",
    ),
    (
        &["name with an underscore"],
        &["haproxy", "go"],
        "such fields are removed, since CGI takes them for those with a hyphen (--underscore-headers)",
    ),
    (
        &["value with a control", "value with DEL"],
        &["haproxy", "nghttpd"],
        "controls may be refused (RFC 9110 section 5.5)",
    ),
    (
        &["blank before a value", "blank behind a value"],
        &["haproxy", "nghttpd", "go"],
        "a value has no blanks around it (RFC 9113 section 8.2.1)",
    ),
    (
        &["length without content", "length with a sign", "length that is none", "two lengths"],
        &["go"],
        "Go does not look at the length of a request that has ended (RFC 9113 section 8.1.1)",
    ),
    (
        &["same length twice", "list of a length"],
        &["haproxy", "go"],
        "a length that is told twice may be refused (RFC 9110 section 8.6)",
    ),
    (
        &["expectation that is none"],
        &["haproxy", "nghttpd", "go"],
        "an expectation that is not met is refused (RFC 9110 section 10.1.1)",
    ),
];

/// The same of sequences of frames.
const ALLOWED_SEQUENCES: &[(&[&str], &[&str], &str)] = &[
    (
        &["DATA after the end", "HEADERS after the end", "trailers after the end", "number that falls"],
        &["nghttpd"],
        "a stream that has ended takes nothing more (RFC 9113 section 5.1): nghttpd ignores it",
    ),
    (&["length not met"], &["go"], "Go tells this a handler that reads, and ours does not"),
    (&["frame beyond the bound"], &["go"], "Go announces a bound of 1 MiB (RFC 9113 section 6.5.2)"),
    (
        &[
            "window of a stream beyond the bound",
            "HEADERS that depend on themselves",
            "trailers without an end",
        ],
        &["haproxy", "nghttpd"],
        "an error of a stream may be taken for one of its connection (RFC 9113 section 5.4.1): they do",
    ),
    (
        &["window of a stream widened by nothing"],
        &["haproxy", "go"],
        "an error of a stream may be taken for one of its connection (RFC 9113 section 5.4.1): Sluice does",
    ),
    (
        &["trailers with a pseudo-header"],
        &["haproxy", "nghttpd", "go"],
        "an error of a stream may be taken for one of its connection (RFC 9113 section 5.4.1): Sluice does",
    ),
    (
        &["PRIORITY that depends on itself"],
        &["nghttpd", "go"],
        "priorities may be left unread (RFC 9113 section 5.3.2): HAProxy and the h2 crate refuse this one",
    ),
];

/// The reason for which a server may differ about a head with these peculiarities, or about a sequence.
pub(super) fn reason(names: &[&str], server: &str) -> Option<&'static str> {
    let differs = |of: &[&str]| names.iter().any(|name| of.contains(name));
    let mut all = ALLOWED.iter().chain(ALLOWED_SEQUENCES);
    all.find(|(of, servers, _)| differs(of) && servers.contains(&server)).map(|row| row.2)
}

#[cfg(test)]
mod tests {
    use super::super::cases::cases;
    use super::super::sequences::sequences;
    use super::*;

    #[test]
    fn every_row_is_of_a_peculiarity_that_is_tried() {
        let heads = cases(0, 0).into_iter().flat_map(|case| case.names);
        let tried: Vec<_> = heads.chain(sequences().iter().map(|sequence| sequence.name)).collect();
        let named: Vec<_> = ALLOWED.iter().chain(ALLOWED_SEQUENCES).flat_map(|row| row.0).collect();
        assert!(named.iter().all(|name| tried.contains(name)));
        let mut once = named.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), named.len(), "a peculiarity has one reason");
        assert!(reason(&["query", "dots"], "go").is_some());
        assert!(reason(&["dots"], "nghttpd").is_none());
    }
}
