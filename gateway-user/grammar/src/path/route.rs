//! The normal form of paths that routes write. Requests arrive normalised (RFC 3986 section 6.2.2), so routes
//! must be too, or `/caf%c3%a9` and `/%7Euser` would match nothing.

use std::borrow::Cow;

use crate::percent::Escape;

/// `path` with escapes of unreserved characters decoded and the hexadecimal digits of the others in upper
/// case. A `%` without two digits stays as it is: such a path fails its rule, and no request has it.
pub fn normalize_route_path(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut parts = path.split('%');
    let mut out = String::with_capacity(path.len());
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let escape = match part.as_bytes() {
            [high, low, ..] => Escape::of(*high, *low),
            _ => None,
        };
        match escape {
            Some(Escape::Plain(byte)) => out.push(byte.into()),
            Some(Escape::Kept { digits: [high, low], .. }) => out.extend(['%', high.into(), low.into()]),
            None => out.push('%'),
        }
        // Two digits are two bytes, so this is no middle of a character.
        out.push_str(part.get(escape.map_or(0, |_| 2)..).unwrap_or_default());
    }
    Cow::Owned(out)
}

/// A `PathPrefix` in that form, without the trailing `/` that the specification ignores; empty for `/`.
pub fn normalize_route_prefix(prefix: &str) -> Cow<'_, str> {
    let mut text = normalize_route_path(prefix);
    if text.ends_with('/') {
        match &mut text {
            Cow::Borrowed(text) => *text = text.strip_suffix('/').unwrap_or(text),
            Cow::Owned(text) => {
                text.pop();
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_have_one_form() {
        for (path, want) in [
            ("/a/b", "/a/b"),
            ("/%7euser", "/~user"),
            ("/caf%c3%A9", "/caf%C3%A9"),
            ("/%2f%2F%20", "/%2F%2F%20"),
            ("/%41%", "/A%"),
            ("/%4", "/%4"),
            ("/%é1", "/%é1"),
            ("/%25%37", "/%257"),
        ] {
            assert_eq!(normalize_route_path(path), want, "{path}");
        }
    }

    #[test]
    fn a_prefix_loses_one_slash() {
        for (prefix, want) in
            [("/", ""), ("", ""), ("/a/", "/a"), ("/a", "/a"), ("/%61/", "/a"), ("/a//", "/a/")]
        {
            assert_eq!(normalize_route_prefix(prefix), want, "{prefix}");
        }
    }
}
