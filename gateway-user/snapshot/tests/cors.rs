//! Origins are matched as a simple oracle matches them: a regular expression made of each pattern.
#![allow(missing_docs)]

use gateway_ir::Cors as Source;
use gateway_snapshot::Cors;
use proptest::prelude::*;
use regex::Regex;

/// A pattern as the Gateway API's schema takes it, of few letters so that origins fit.
fn patterns() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        3 => "[abA]{1,2}(\\.[ab]{1,2}){0,2}",
        3 => "\\*\\.[ab]{1,2}(\\.[abB]{1,2}){0,1}",
        1 => Just("*".to_owned()),
    ];
    (
        prop_oneof!["http", "https"],
        host,
        prop_oneof![4 => Just(""), 1 => Just(":80"), 1 => Just(":443"), 1 => Just(":8080")],
    )
        .prop_map(|(scheme, host, port)| format!("{scheme}://{host}{port}"))
}

fn origins() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![5 => Just("http"), 5 => Just("https"), 1 => Just("ftp"), 1 => Just("")];
    let host = prop_oneof![8 => "[abAB]{1,2}(\\.[abAB]{1,2}){0,3}", 1 => "[ab.*/@:-]{0,4}"];
    let port =
        prop_oneof![4 => Just(""), 2 => Just(":80"), 2 => Just(":443"), 1 => Just(":8080"), 1 => Just(":x")];
    prop_oneof![
        20 => (scheme, host, port).prop_map(|(scheme, host, port)| format!("{scheme}://{host}{port}")),
        1 => Just("null".to_owned()),
    ]
}

/// The oracle: one expression for scheme, host and port as text, with the scheme's port written or not.
fn oracle(pattern: &str, origin: &str) -> bool {
    let (scheme, rest) = pattern.split_once("://").unwrap();
    let well_known = if scheme == "http" { "80" } else { "443" };
    let (host, port) = rest.split_once(':').unwrap_or((rest, well_known));
    let name = "[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*";
    let host = match host.strip_prefix('*') {
        Some(below) => format!("{name}{}", regex::escape(below)),
        None => regex::escape(host),
    };
    let port = if port == well_known { format!("(:{port})?") } else { format!(":{port}") };
    Regex::new(&format!("^{scheme}://(?i:{host}){port}$")).unwrap().is_match(origin)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn origins_are_matched_as_an_expression_would(
        patterns in proptest::collection::vec(patterns(), 0..4),
        origin in origins(),
    ) {
        // Hosts that a browser never sends, such as `a..b`, are nobody's: the oracle knows names alone.
        let is_name = |host: &str| host.split('.').all(|label| !label.is_empty());
        let host = origin.split_once("://").map_or("", |(_, rest)| rest.split(':').next().unwrap_or_default());
        prop_assume!(is_name(host) && !host.contains(['*', '@', '/']));
        let cors = Cors::compile(&Source { origins: patterns.clone(), ..Source::default() }).unwrap();
        let want = patterns.iter().any(|pattern| oracle(pattern, &origin));
        prop_assert_eq!(cors.allows(origin.as_bytes()), want, "{:?} and {}", patterns, origin);
    }
}
