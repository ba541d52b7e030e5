//! Status codes as labels of bounded cardinality.

use std::borrow::Cow;

/// A registered code as it is, another one as the first of its digits: backends may send any of 900.
pub(crate) const fn bounded(status: u16) -> u16 {
    if is_registered(status) { status } else { status / 100 }
}

/// A [`SeriesKey`](super::SeriesKey)'s status as a label: the code, `2xx` for codes that are not registered, or `0` for none.
pub fn status_label(status: u16) -> Cow<'static, str> {
    match status {
        0 => Cow::Borrowed("0"),
        class @ 1..=9 => Cow::Owned(format!("{class}xx")),
        code => Cow::Owned(code.to_string()),
    }
}

/// IANA's "Hypertext Transfer Protocol (HTTP) Status Code Registry", permanent entries (RFC 9110 section 16.2).
const fn is_registered(status: u16) -> bool {
    matches!(
        status,
        100..=103 | 200..=208 | 226 | 300..=308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451 | 500..=508 | 510 | 511
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn any_status_has_one_of_few_labels() {
        let labels: BTreeSet<_> =
            (0..1000).map(|status| status_label(bounded(status)).into_owned()).collect();
        assert!(labels.len() < 80, "{}", labels.len());
        for (status, label) in
            [(0, "0"), (200, "200"), (299, "2xx"), (429, "429"), (599, "5xx"), (999, "9xx")]
        {
            assert_eq!(status_label(bounded(status)), label);
        }
    }
}
