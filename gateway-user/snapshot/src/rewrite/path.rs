//! `HTTPPathModifier`: a new path for the backend or the `Location`.

/// A new path in the form in which it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRewrite {
    path: NewPath,
    /// Stands in place of the request's query.
    query: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum NewPath {
    /// The whole path; starts with `/`.
    Full(Box<[u8]>),
    /// The replacement of the matched prefix: starts with `/` and does not end with one, or is empty.
    Prefix(Box<[u8]>),
}

impl PathRewrite {
    /// # Errors
    /// A line that names the path if it has characters in it that no path can have.
    pub(crate) fn compile(rewrite: &gateway_ir::PathRewrite) -> Result<Self, String> {
        let (path, query) = rewrite.parts()?;
        let path = path.as_bytes();
        let path = match rewrite {
            gateway_ir::PathRewrite::Full(_) => NewPath::Full(rooted(path, true)),
            gateway_ir::PathRewrite::Prefix(_) => {
                let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
                NewPath::Prefix(rooted(path.get(..end).unwrap_or_default(), false))
            }
        };
        Ok(Self { path, query: query.map(|query| query.as_bytes().into()) })
    }

    /// The replacement of the request's query, without its `?`; `None` leaves that as it is.
    pub fn query(&self) -> Option<&[u8]> {
        self.query.as_deref()
    }

    /// Appends the new path to `out`. `matched_len`, in bytes, is that of [`RouteHit`](crate::RouteHit).
    ///
    /// The table is in gateway-api `HTTPPathModifier.replacePrefixMatch`. Where the prefix gives way to
    /// nothing, the rest of the path starts with one `/` however many it had: a path that starts with `//`
    /// would be read as a host (RFC 3986 section 4.2).
    pub fn write(&self, path: &[u8], matched_len: usize, out: &mut Vec<u8>) {
        match &self.path {
            NewPath::Full(new) => out.extend_from_slice(new),
            NewPath::Prefix(new) => {
                let rest = path.get(matched_len..).unwrap_or_default();
                out.extend_from_slice(new);
                if new.is_empty() {
                    out.push(b'/');
                    out.extend_from_slice(without_leading_slashes(rest));
                } else {
                    if !rest.is_empty() && !rest.starts_with(b"/") {
                        out.push(b'/');
                    }
                    out.extend_from_slice(rest);
                }
            }
        }
    }
}

/// Appends the request target to send to a backend: the path, changed by `rewrite` if there is one, and the
/// query as the client sent it or as the rewrite has it. `matched_len`, in bytes, is that of
/// [`RouteHit`](crate::RouteHit). Allocates only if `out` has to grow.
pub fn write_target(
    rewrite: Option<&PathRewrite>,
    path: &[u8],
    matched_len: usize,
    query: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    match rewrite {
        Some(rewrite) => rewrite.write(path, matched_len, out),
        None => out.extend_from_slice(path),
    }
    if let Some(query) = rewrite.and_then(PathRewrite::query).or(query) {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

pub(super) fn without_leading_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    path.get(start..).unwrap_or_default()
}

/// `path` with one `/` in front, since a path that starts with `//` would be read as a host; an empty one
/// becomes `/` only if it has to be a path of its own.
fn rooted(path: &[u8], whole: bool) -> Box<[u8]> {
    if path.is_empty() && !whole {
        return path.into();
    }
    [b"/", without_leading_slashes(path)].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_grammar::path::normalize_route_prefix;

    fn prefix(path: &str, prefix: &str, replacement: &str) -> String {
        let rewrite = PathRewrite::compile(&gateway_ir::PathRewrite::Prefix(replacement.into())).unwrap();
        let mut out = Vec::new();
        rewrite.write(path.as_bytes(), normalize_route_prefix(prefix).len(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_of_the_specification() {
        for (path, matched, replacement, want) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
        ] {
            assert_eq!(
                prefix(path, matched, replacement),
                want,
                "{path} with {matched} replaced by {replacement:?}"
            );
        }
    }

    #[test]
    fn beyond_the_table() {
        for (path, matched, replacement, want) in [
            ("/httpbin/get", "/httpbin", "/", "/get"),
            ("/httpbin//get", "/httpbin", "/", "/get"),
            ("/httpbin//", "/httpbin", "/", "/"),
            ("/foo", "/foo", "/xyz/", "/xyz"),
            ("/bar", "/", "/xyz", "/xyz/bar"),
            ("/", "/", "/xyz", "/xyz/"),
            ("/", "/", "/", "/"),
            ("/bar", "/", "/", "/bar"),
            ("/foo/bar", "/foo", "xyz", "/xyz/bar"),
            ("/foo/a//b", "/foo", "/xyz", "/xyz/a//b"),
            ("/foo/bar", "/foo", "///", "/bar"),
            ("/foo/bar", "/foo", "//xyz", "/xyz/bar"),
        ] {
            assert_eq!(
                prefix(path, matched, replacement),
                want,
                "{path} with {matched} replaced by {replacement:?}"
            );
        }
    }

    #[test]
    fn the_query_is_kept_as_it_was_unless_the_replacement_has_one() {
        let full = |path: &str| PathRewrite::compile(&gateway_ir::PathRewrite::Full(path.into())).unwrap();
        let part = |path: &str| PathRewrite::compile(&gateway_ir::PathRewrite::Prefix(path.into())).unwrap();
        for (rewrite, query, want) in [
            (Some(full("/new")), Some("a=%20&b"), "/new?a=%20&b"),
            (Some(full("")), None, "/"),
            (Some(full("//evil.example/a")), None, "/evil.example/a"),
            (Some(full("new")), Some(""), "/new?"),
            (None, Some("a"), "/old/path?a"),
            (Some(full("/index.php?page=1")), Some("a"), "/index.php?page=1"),
            (Some(full("/new?")), Some("a"), "/new?"),
            (Some(part("/new?b")), Some("a"), "/new/path?b"),
            (Some(part("?b")), None, "/path?b"),
        ] {
            let mut out = Vec::new();
            write_target(rewrite.as_ref(), b"/old/path", 4, query.map(str::as_bytes), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
