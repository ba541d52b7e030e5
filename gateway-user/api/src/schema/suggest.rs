//! "Did you mean …?"

/// Bytes of the longest text that is compared: comparing costs the product of the lengths, and no name is near it.
const LONGEST: usize = 128;

/// The name among `known` that `wrong` was most probably meant to be: the same but for case, or at most a third of its
/// letters away.
pub(crate) fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > LONGEST {
        return None;
    }
    let lower = wrong.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).clamp(1, 4))
        .min()
        .map(|(_, name)| name)
}

/// `; did you mean "x"?`, or nothing.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(wrong, known).map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

/// As [`did_you_mean`], for one of a few values: also the only one that the text is a part of (`Prefix` for `PathPrefix`).
pub(crate) fn did_you_mean_value<'a>(wrong: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let near = did_you_mean(wrong, known.clone());
    let lower = wrong.to_lowercase();
    let mut around = known.filter(|name| lower.len() >= 3 && name.to_lowercase().contains(&lower));
    match (near.is_empty(), around.next(), around.next()) {
        (true, Some(name), None) => format!("; did you mean {name:?}?"),
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

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["parentRefs", "hostnames", "rules"];
        assert_eq!(closest("parentRef", known), Some("parentRefs"));
        assert_eq!(closest("PARENTREFS", known), Some("parentRefs"));
        assert_eq!(closest("hosntames", known), Some("hostnames"));
        assert_eq!(closest("backends", known), None);
    }
}
