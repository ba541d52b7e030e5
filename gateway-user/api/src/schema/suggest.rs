//! Suggestions at the end of messages.

use crate::suggest::{closest, question};

/// `; did you mean "x"?`, or nothing.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(wrong, known).map(question).unwrap_or_default()
}

/// As [`did_you_mean`], for one of a few values: also the only one that the text is a part of (`Prefix` for
/// `PathPrefix`).
pub(crate) fn did_you_mean_value<'a>(wrong: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let near = did_you_mean(wrong, known.clone());
    let lower = wrong.to_lowercase();
    let mut around = known.filter(|name| lower.len() >= 3 && name.to_lowercase().contains(&lower));
    match (near.is_empty(), around.next(), around.next()) {
        (true, Some(name), None) => question(name),
        _ => near,
    }
}

/// A text in quotes, cut where it would fill a screen.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
