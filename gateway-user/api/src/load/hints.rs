//! Likely intentions behind a file that is not valid YAML.

use super::yaml;

/// Parts of messages that say all there is to say.
const FINAL_MESSAGES: [&str; 5] = ["tab;", "duplicate key", "alias stands", "aliases copy", "nested deeper"];

/// Says it in place of what the parser says, if the lines around the fault show it.
pub(super) fn explain(text: &str, error: &mut yaml::Error) {
    let line = error.at.line.max(1) as usize - 1;
    // A parser often notices only on the next line that it was misled.
    let before = text.lines().skip(line.saturating_sub(1)).take(line.min(1)).next().unwrap_or_default();
    let here = text.lines().nth(line).unwrap_or_default();
    let anywhere = |letters: &str| here.contains(letters) || before.contains(letters);
    if FINAL_MESSAGES.iter().any(|sure| error.message.contains(sure)) {
        return;
    }
    let message = if anywhere("{{") {
        "{{ … }} is a template: render it (helm template) and load what comes out".to_owned()
    } else if anywhere("${") {
        "${…} is not filled in: run the file through envsubst, or write the value".to_owned()
    } else if let Some(blank) = [here, before].iter().find_map(|line| odd_blank(line)) {
        odd(blank)
    } else if let Some(value) = unquoted(here, error.at.column.max(1) as usize - 1) {
        format!("quote it: \"{value}\" (without quotes the first character has a meaning of its own)")
    } else {
        return;
    };
    error.message = format!("YAML: {message}");
}

/// Why a key cannot be meant as it stands: it begins with a blank that only looks like one.
pub(super) fn odd_key(key: &str) -> Option<String> {
    let first = key.chars().next()?;
    odd_blank(key.get(..first.len_utf8())?).map(|blank| format!("YAML: {}", odd(blank)))
}

fn odd(blank: char) -> String {
    let name = if blank == '\u{a0}' { "no-break space " } else { "blank " };
    format!("this line has a {name}(U+{:04X}), which is no space to YAML; use spaces", u32::from(blank))
}

/// A blank that looks like a space and is none.
fn odd_blank(line: &str) -> Option<char> {
    line.chars()
        .find(|c| c.is_whitespace() && !c.is_ascii() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}'))
}

/// The value at a place that begins with what YAML keeps for itself.
fn unquoted(line: &str, column: usize) -> Option<&str> {
    let begin = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    let (before, after) = line.split_at(begin);
    // The place is that of the character, or of what follows it.
    let begin = match after.starts_with(['*', '@', '`', '%']) {
        true => begin,
        false => before.rfind(['*', '@', '`', '%'])?,
    };
    let value = line.get(begin..)?;
    let starts = line.get(..begin)?.trim_end();
    if !(starts.ends_with([':', '-', '[', ','])) {
        return None;
    }
    let flow = line.get(..begin)?.contains(['[', '{']);
    let end = if flow { value.find([',', ']', '}']) } else { value.find(" #") };
    Some(value.get(..end.unwrap_or(value.len()))?.trim_end())
}
