//! The type of a YAML scalar without quotes.

use super::tree::Tree;

/// Reads a plain scalar by the core schema of YAML 1.2 (section 10.3.2). Scalars that YAML 1.1 readers such
/// as kubectl take for something else stay strings, marked.
pub(crate) fn resolve(text: &str) -> Tree {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Tree::Null,
        "true" | "True" | "TRUE" => return Tree::Bool(true),
        "false" | "False" | "FALSE" => return Tree::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Tree::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Tree::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Tree::Float(f64::NAN),
        _ => {}
    }
    if is_ambiguous(text) {
        return Tree::String { text: text.to_owned(), ambiguous: true };
    }
    integer(text)
        .or_else(|| float(text))
        .unwrap_or_else(|| Tree::String { text: text.to_owned(), ambiguous: false })
}

/// A boolean, an octal number or a number with separators in YAML 1.1, a string or another number in YAML
/// 1.2.
fn is_ambiguous(text: &str) -> bool {
    let word = ["yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF"].contains(&text);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'_')
        && (digits.contains('_') || (digits.len() > 1 && digits.starts_with('0')));
    word || numeric
}

/// A number beyond 64 bits becomes a float, as in JSON readers.
fn integer(text: &str) -> Option<Tree> {
    let based = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(Tree::Int);
    if let Some(hex) = text.strip_prefix("0x") {
        return based(hex, 16);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return based(octal, 8);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match text.parse() {
        Ok(number) => Some(Tree::Int(number)),
        Err(_) => text.parse().ok().map(Tree::Float),
    }
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`: narrower than what Rust parses
/// ("inf").
fn float(text: &str) -> Option<Tree> {
    let allowed = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    let begins =
        text.trim_start_matches(['-', '+']).trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    if !begins || !text.bytes().all(allowed) {
        return None;
    }
    text.parse().ok().map(Tree::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let string = |text: &str, ambiguous| Tree::String { text: text.to_owned(), ambiguous };
        for (text, tree) in [
            ("~", Tree::Null),
            ("True", Tree::Bool(true)),
            ("-12", Tree::Int(-12)),
            ("0x1F", Tree::Int(31)),
            ("0o17", Tree::Int(15)),
            ("0", Tree::Int(0)),
            ("1.5e3", Tree::Float(1500.0)),
            ("99999999999999999999", Tree::Float(1e20)),
            ("yes", string("yes", true)),
            ("010", string("010", true)),
            ("1_000", string("1_000", true)),
            ("10s", string("10s", false)),
            ("1.2.3", string("1.2.3", false)),
            ("inf", string("inf", false)),
            ("-", string("-", false)),
            ("1-2", string("1-2", false)),
            ("::1", string("::1", false)),
        ] {
            assert_eq!(resolve(text), tree, "{text}");
        }
    }
}
