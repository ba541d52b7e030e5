//! Runs of slashes: two spellings of a path where rules see one and backends the other.

/// Policy for empty segments (`//`), which the RFC calls different from none and many servers do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MergeSlashes {
    /// Rules see a path without them ([`merged`]), so that one for `/admin` holds for `/x/..//admin` too.
    /// Backends see them as written, but for a leading run, which would read as a host (RFC 3986 section
    /// 4.2): URLs in paths and keys of object stores survive. Dot segments are resolved before, as the RFC
    /// does: `..` takes an empty segment away.
    #[default]
    Match,
    /// They are taken out of the path before dot segments are resolved, for rules and for backends.
    Always,
    /// They stay, for rules as well.
    Never,
}

/// The form of a normal path that rules see with [`MergeSlashes::Match`]: each run of slashes is one. Returns
/// `path` itself where it has none, else writes to `out`.
pub fn merged<'a>(path: &'a [u8], out: &'a mut Vec<u8>) -> &'a [u8] {
    if !path.windows(2).any(|pair| pair == b"//") {
        return path;
    }
    out.clear();
    for byte in path {
        if *byte != b'/' || out.last() != Some(&b'/') {
            out.push(*byte);
        }
    }
    out
}

/// Length in bytes of the part of `path` that the first `len` bytes of its [`merged`] form stand for; a run
/// of slashes belongs to what precedes it only if the merged part ends with it.
pub fn unmerged_len(path: &[u8], len: usize) -> usize {
    let (mut taken, mut at, mut slash) = (0, 0, false);
    for byte in path {
        let counts = *byte != b'/' || !slash;
        if counts && taken == len {
            break;
        }
        taken += usize::from(counts);
        slash = *byte == b'/';
        at += 1;
    }
    at
}

/// Number of slashes that a path begins with.
pub(super) fn leading_run(path: &[u8]) -> usize {
    path.iter().take_while(|byte| **byte == b'/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_merged_form_stands_for_a_part_of_the_path() {
        for (path, len, part) in [
            ("/a/b", 0, ""),
            ("/a/b", 2, "/a"),
            ("/a//b/c", 2, "/a"),
            ("/a//b/c", 4, "/a//b"),
            ("/a///b", 3, "/a///"),
            ("/a//b", 99, "/a//b"),
            ("/", 1, "/"),
        ] {
            assert_eq!(&path[..unmerged_len(path.as_bytes(), len)], part, "{len} of {path}");
        }
    }

    #[test]
    fn runs_become_one() {
        let mut out = Vec::new();
        for (path, want) in
            [("/a/b", "/a/b"), ("/a//b///", "/a/b/"), ("/http://x//y", "/http:/x/y"), ("*", "*")]
        {
            assert_eq!(merged(path.as_bytes(), &mut out), want.as_bytes());
        }
    }
}
