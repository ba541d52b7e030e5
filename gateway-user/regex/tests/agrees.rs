//! Matches are those of the crate `regex` over bytes, without Unicode and between anchors.

use gateway_regex::Library;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use regex::bytes::RegexBuilder;

/// Pieces that fit together in any order often enough.
const PIECES: &[&str] = &[
    "a",
    "b",
    "ab",
    ".",
    "[ab]",
    "[^a]",
    "\\d",
    "\\w",
    "\\s",
    "(a|b)",
    "(?:ab|ba|)",
    "a*",
    "b+?",
    "(a|ab)*",
    "b{2,3}",
    "^",
    "$",
    "\\b",
    "\\B",
    "(?i)A",
    "(?i:B)",
    "é",
    "(?s).",
    "(?m)^",
    "(?m)$",
    "|",
    "\\x00",
    "\\xff",
    "\\A",
    "\\z",
    "(?x) a #c\n",
    "(?u)\\w",
    "(?u:.)",
    ".*",
    ".*",
    "(.*)",
    "(?s:.*)",
    "\n",
    "[[:alpha:]]",
    "1",
];

fn whole(text: &str) -> Option<regex::bytes::Regex> {
    RegexBuilder::new(text).unicode(false).build().ok()?;
    RegexBuilder::new(&format!("^(?:{text}\n)$")).unicode(false).ignore_whitespace(false).build().ok()?;
    RegexBuilder::new(&format!("\\A(?:{text})\\z")).unicode(false).build().ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_match_as_the_rival_says(
        pieces in vec(select(PIECES), 0..7),
        values in vec(vec(select(&b"ab1 \n\x00\xff\xc3\xa9A"[..]), 0..8), 12),
    ) {
        let text = pieces.concat();
        let expression = Library::default().get(&text);
        match (whole(&text), expression.verdict()) {
            (None, verdict) => prop_assert!(verdict.is_err() || text.contains("(?x)"), "{text:?} was accepted"),
            (Some(_), Err(error)) => prop_assert!(text.contains("(?u)"), "{error}"),
            (Some(rival), Ok(matcher)) => {
                for value in &values {
                    prop_assert_eq!(matcher.is_match(value), rival.is_match(value), "{:?} {:?}", &text, value);
                }
            }
        }
    }
}
