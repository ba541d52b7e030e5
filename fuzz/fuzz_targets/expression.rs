//! Expressions: any text has a verdict within its budget, and what is accepted matches as the
//! crate `regex` does.
#![no_main]

use gateway_regex::Library;
use libfuzzer_sys::fuzz_target;
use regex::bytes::RegexBuilder;

/// Small, so that a verdict takes no longer than other inputs do.
const LIMIT: usize = 16 << 10;

fuzz_target!(|data: &[u8]| {
    let (text, value) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, data),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let library = Library::new(LIMIT);
    let expression = library.get(text);
    assert!(expression.cost() <= LIMIT.max(64 << 10), "a refusal costs no more than the work it took");
    let Ok(matcher) = expression.verdict() else { return };
    assert!(matcher.memory_usage() <= matcher.cost() && matcher.cost() <= LIMIT);
    // A comment of the verbose mode would take the rival's own parenthesis.
    if text.contains("(?") && text.contains('#') {
        return;
    }
    RegexBuilder::new(text).unicode(false).build().expect("what is accepted is an expression");
    let rival = RegexBuilder::new(&format!(r"\A(?:{text})\z")).unicode(false).build();
    let rival = rival.expect("and one between anchors");
    assert_eq!(matcher.is_match(value), rival.is_match(value), "{text:?} {value:?}");
});
