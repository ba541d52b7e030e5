//! Costs of expressions, and those that are refused.

use gateway_regex::{DEFAULT_LIMIT, Error, Library, Matcher};
use std::sync::Arc;

fn verdict(text: &str) -> Result<Arc<Matcher>, Error> {
    Library::default().get(text).verdict().clone()
}

fn matcher(text: &str) -> Arc<Matcher> {
    verdict(text).unwrap_or_else(|error| panic!("{error}"))
}

/// As a route of one tenant had them, 4,224 times: each took 0.6 MB and 8 ms to build, and 4.7 s for one long
/// header.
#[test]
fn an_expression_whose_automaton_doubles_with_each_repetition_is_refused_at_the_limit() {
    for text in ["[ab]*a[ab]{9900}c", ".*a.{30}c", "[ -~]*a[ -~]{4000}c", "(a{0,100}){0,100}"] {
        let error = verdict(text).unwrap_err();
        assert_eq!(error.cost(), DEFAULT_LIMIT, "{text}: work was done, and is charged for");
        let message = error.to_string();
        assert!(message.contains("more than 1 MiB") && message.contains("--regex-bytes"), "{message}");
    }
}

#[test]
fn an_absurd_expression_is_refused_before_anything_is_built() {
    for text in ["a{1000}{1000}", "a{1000}{1000}{1000}", "(?:[ab]c{999}){999}", "(?u)\\w{900}"] {
        let error = verdict(text).unwrap_err();
        assert_eq!(error.cost(), 0, "{text}");
        assert!(error.to_string().contains("more than 1 MiB"), "{error}");
    }
}

#[test]
fn a_verdict_is_the_same_whenever_and_wherever_it_is_found() {
    for text in ["/api/v[0-9]+/.*", "a|b|cd", "(?i)x{3,9}y", "(", ".*a.{30}c", "a{1000}{1000}"] {
        let (first, second) = (verdict(text), verdict(text));
        let figures = |one: &Result<Arc<Matcher>, Error>| match one {
            Ok(matcher) => Ok((matcher.cost(), matcher.memory_usage())),
            Err(error) => Err(error.clone()),
        };
        assert_eq!(figures(&first), figures(&second), "{text}");
    }
}

#[test]
fn a_higher_limit_admits_more() {
    let text = ".*a.{11}b.*";
    assert!(Library::new(16 << 10).get(text).verdict().is_err());
    assert!(Library::new(1 << 20).get(text).verdict().is_ok());
    let small = Library::new(16 << 10).get(text).verdict().clone().unwrap_err();
    assert!(small.to_string().contains("more than 16 KiB"), "{small}");
}

#[test]
fn nothing_is_held_beyond_what_is_charged_for() {
    for text in ["a|b|cd", "abc", "[a-z]{1,60}", "(?i)(?:foo|bar)+", "(?u)\\w+", ".*a.{8}b.*", "", "^$"] {
        let matcher = matcher(text);
        assert!(matcher.memory_usage() <= matcher.cost() && matcher.cost() <= DEFAULT_LIMIT, "{text}");
    }
}

#[test]
fn what_is_looked_for_inside_a_value_is_forgotten_once_it_is_found() {
    // Each of these would double the automaton if it were still looked for.
    let parts: Vec<String> = ('a'..='c').map(|one| format!("{one}.+{one}")).collect();
    for (text, yes, no) in [
        (format!(".*({}).*", parts.join("|")), "x c x c x", "x c x a x"),
        (format!("^.*?({}).*$", parts.join("|")), "xcyycz", "ca"),
        (format!("(?s).*({})(.*)", parts.join("|")), "x\nb-b\n", "x\nb\n"),
    ] {
        let matcher = matcher(&text);
        assert!(matcher.cost() <= 64 << 10, "{text} costs {}", matcher.cost());
        assert!(matcher.is_match(yes.as_bytes()) && !matcher.is_match(no.as_bytes()), "{text}");
    }
    let line = matcher(".*ab.*");
    for (value, want) in [("xabx", true), ("ab", true), ("ab\n", false), ("\nab", false), ("abxx\nab", false)]
    {
        assert_eq!(line.is_match(value.as_bytes()), want, "{value:?}");
    }
}

/// The longest values that the definitions allow: 1,024 characters of a path, 4,096 of a header or parameter
/// value.
#[test]
fn any_list_of_literals_that_fits_its_field_is_accepted() {
    let printable: Vec<char> = (' '..='~').filter(|one| !r"\.+*?()|[]{}^$#&-~".contains(*one)).collect();
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain(['-', ' ', '_']).collect();
    let lower: Vec<char> = ('a'..='z').chain('0'..='9').collect();
    let wide: Vec<char> = ('\u{1f300}'..='\u{1f5ff}').collect();
    for length in [1024, 4096] {
        for (alphabet, each) in [
            (&printable, 9),
            (&letters, 5),
            (&letters, 17),
            (&letters, 4000),
            (&lower, 3),
            (&wide, 3),
            (&wide, 60),
        ] {
            let list = list(alphabet, each, length - 10);
            if list.is_empty() {
                continue;
            }
            let texts = match alphabet == &wide {
                true => vec![list.clone(), format!("({list})")],
                false => {
                    vec![list.clone(), format!("({list})"), format!("(?i)({list})"), format!("^({list})$")]
                }
            };
            for text in texts {
                assert!(text.chars().count() <= length);
                let matcher = matcher(&text);
                let (first, last) = (list.split('|').next().unwrap(), list.split('|').next_back().unwrap());
                assert!(matcher.is_match(first.as_bytes()) && matcher.is_match(last.as_bytes()));
                assert!(!matcher.is_match(format!("{first}{last}").as_bytes()) && !matcher.is_match(b""));
            }
        }
    }
}

/// Words of `each` characters, all different, as many as fit into `length` characters.
fn list(alphabet: &[char], each: usize, length: usize) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut seed = 1usize;
    while (words.len() + 1) * (each + 1) <= length {
        let mut word = String::new();
        for _ in 0..each {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            word.push(alphabet[(seed >> 33) % alphabet.len()]);
        }
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join("|")
}

#[test]
fn classes_and_cases_are_ascii_unless_unicode_is_asked_for() {
    for (text, value, want) in [
        (r"\w+", "caf\u{e9}", false),
        (r"(?u)\w+", "caf\u{e9}", true),
        (r"\d", "\u{663}", false),
        (r"(?u)\d", "\u{663}", true),
        (r"(?i)straße", "STRAßE", true),
        (r"(?i)é", "É", false),
        (r"(?iu)é", "É", true),
        (r"(?i)k", "\u{212a}", false),
        ("caf.+", "caf\u{e9}", true),
        (r".*\bfoo\b.*", "a foo b", true),
        (r".*\bfoo\b.*", "afoo b", false),
        ("(?s).*", "a\nb", true),
        (".*", "a\nb", false),
        ("(?m)^a$\n^b$", "a\nb", true),
    ] {
        assert_eq!(matcher(text).is_match(value.as_bytes()), want, "{text} {value:?}");
    }
    assert!(matcher("caf.+").is_match(b"caf\xe9"), "bytes need not be text");
    for text in [r"\w+", r"\d{1,5}", "(?i)[a-z]+"] {
        assert!(matcher(text).cost() <= 4 << 10, "{text} costs {}", matcher(text).cost());
    }
}

#[test]
fn many_unicode_classes_are_refused_before_they_are_folded() {
    let text = format!("(?iu){}", r"\pL".repeat(300));
    let error = verdict(&text).unwrap_err();
    assert!(error.to_string().contains("300 character classes; at most 32"), "{error}");
    assert!(verdict(&format!("(?iu){}", r"\pL".repeat(3))).is_ok());
}

#[test]
fn an_expression_matches_whole_values_and_cannot_break_out() {
    let short = matcher("a|bc");
    for (value, want) in
        [("a", true), ("bc", true), ("abc", false), ("a\n", false), ("xa", false), ("", false)]
    {
        assert_eq!(short.is_match(value.as_bytes()), want, "{value:?}");
    }
    for bad in
        ["a)|(?:b", "a)|(b", "(?x)a)#", "a\\", "(", "[z-a]", "\\pL", "(?u)\\b", "(a)\\1", "(?=a)", "a**{"]
    {
        if let Ok(matcher) = verdict(bad) {
            panic!("{bad:?} was accepted, and {} by 'xa'", matcher.is_match(b"xa"));
        }
    }
    let message = verdict("/a(").unwrap_err().to_string();
    assert!(verdict("[ä]").unwrap_err().to_string().ends_with("needs (?u) in front of it"));
    assert_eq!(message, r#""/a(" is not a usable regular expression (Rust regex syntax): unclosed group"#);
}
