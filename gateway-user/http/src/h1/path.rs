//! Path normalisation (RFC 3986 section 6.2.2): one spelling for matching and forwarding.

/// What to do beyond the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathOptions {
    /// `//` becomes `/`, as most servers do. The RFC calls the two different.
    pub merge_slashes: bool,
    /// What becomes of `%2F`, `%5C`, `%00` and a bare `\`, which servers read differently.
    pub separators: Separators,
}

/// Policy for bytes that some servers take for a separator or for the end of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Separators {
    /// They stay as written and are no separators to us.
    #[default]
    Keep,
    /// The path is refused.
    Reject,
}

impl Default for PathOptions {
    fn default() -> Self {
        Self { merge_slashes: true, separators: Separators::Keep }
    }
}

/// Why a path is refused. All are answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathError {
    /// Does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// A `%` without two hexadecimal digits.
    #[error("the path holds a malformed percent escape")]
    BadEscape,
    /// A blank, control byte, byte from 0x80, `?` or `#`.
    #[error("the path holds a byte that is not allowed there")]
    BadByte,
    /// An encoded slash, backslash or NUL, or a bare backslash, under [`Separators::Reject`].
    #[error("the path holds an encoded separator")]
    EncodedSeparator,
}

impl PathError {
    /// Stable code in snake_case.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::BadEscape => "bad_percent_escape",
            Self::BadByte => "bad_path_byte",
            Self::EncodedSeparator => "encoded_separator",
        }
    }

    /// The status to answer with.
    pub fn status(self) -> u16 {
        400
    }
}

/// Gives the one spelling of a path: escapes of unreserved characters decoded, the others in upper case, `.` and `..`
/// segments resolved (never above the root; escaped dots are dots), repeated slashes merged if asked.
///
/// Returns `path` itself when it is in that form already, else writes to `out`. `*` stays as it is. The result has no `.`
/// or `..` segment, and normalising it again changes nothing.
///
/// # Errors
/// [`PathError`]; `out` then holds nothing of use.
pub fn normalize<'a>(
    path: &'a [u8],
    options: PathOptions,
    out: &'a mut Vec<u8>,
) -> Result<&'a [u8], PathError> {
    if path == b"*" {
        return Ok(path);
    }
    if path.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    if is_normal(path, options)? {
        return Ok(path);
    }
    out.clear();
    rewrite(path, options, out)?;
    Ok(out)
}

/// Whether nothing is to be done. Reports an error only if it stands before the first thing to be done.
fn is_normal(path: &[u8], options: PathOptions) -> Result<bool, PathError> {
    let mut rest = path;
    while let [byte, more @ ..] = rest {
        rest = more;
        match byte {
            b'/' if dot_segment(rest) || (options.merge_slashes && rest.first() == Some(&b'/')) => {
                return Ok(false);
            }
            b'%' => match escape(rest, options)? {
                Escape::Plain(_) => return Ok(false),
                Escape::Kept(high, low) => {
                    if rest.get(..2) != Some(&[high, low]) {
                        return Ok(false);
                    }
                    rest = rest.get(2..).unwrap_or_default();
                }
            },
            _ => check(*byte, options)?,
        }
    }
    Ok(true)
}

/// Whether the segment that begins here is `.` or `..`.
fn dot_segment(rest: &[u8]) -> bool {
    matches!(rest, [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
}

fn rewrite(path: &[u8], options: PathOptions, out: &mut Vec<u8>) -> Result<(), PathError> {
    out.push(b'/');
    let mut segment = out.len();
    let mut rest = path.get(1..).unwrap_or_default();
    loop {
        match rest {
            [] => {
                close_segment(out, segment);
                return Ok(());
            }
            [b'/', more @ ..] => {
                rest = more;
                let kept = close_segment(out, segment);
                if kept && !(options.merge_slashes && out.len() == segment) {
                    out.push(b'/');
                }
                segment = out.len();
            }
            [b'%', more @ ..] => {
                match escape(more, options)? {
                    Escape::Plain(byte) => out.push(byte),
                    Escape::Kept(high, low) => out.extend_from_slice(&[b'%', high, low]),
                }
                rest = more.get(2..).unwrap_or_default();
            }
            [byte, more @ ..] => {
                check(*byte, options)?;
                out.push(*byte);
                rest = more;
            }
        }
    }
}

/// Resolves the last segment, which begins at `segment`, if it is `.` or `..`; says whether it stayed.
fn close_segment(out: &mut Vec<u8>, segment: usize) -> bool {
    match out.get(segment..) {
        Some(b".") => out.truncate(segment),
        Some(b"..") => {
            let parents = out.get(..segment.saturating_sub(1)).unwrap_or_default();
            let parent = parents.iter().rposition(|&b| b == b'/').map_or(1, |slash| slash + 1);
            out.truncate(parent);
        }
        _ => return true,
    }
    false
}

enum Escape {
    /// An unreserved character, to be written as itself.
    Plain(u8),
    /// Any other byte: its two digits in upper case.
    Kept(u8, u8),
}

/// Reads the two digits after a `%`.
fn escape(rest: &[u8], options: PathOptions) -> Result<Escape, PathError> {
    let [high, low, ..] = rest else { return Err(PathError::BadEscape) };
    let (Some(upper), Some(lower)) = (hex(*high), hex(*low)) else { return Err(PathError::BadEscape) };
    let byte = upper << 4 | lower;
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        return Ok(Escape::Plain(byte));
    }
    if options.separators == Separators::Reject && matches!(byte, b'/' | b'\\' | 0) {
        return Err(PathError::EncodedSeparator);
    }
    Ok(Escape::Kept(high.to_ascii_uppercase(), low.to_ascii_uppercase()))
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn check(byte: u8, options: PathOptions) -> Result<(), PathError> {
    match byte {
        b'\\' if options.separators == Separators::Reject => Err(PathError::EncodedSeparator),
        b'?' | b'#' => Err(PathError::BadByte),
        _ if byte.is_ascii_graphic() => Ok(()),
        _ => Err(PathError::BadByte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: PathOptions = PathOptions { merge_slashes: true, separators: Separators::Keep };
    const RFC: PathOptions = PathOptions { merge_slashes: false, separators: Separators::Keep };
    const REJECT: PathOptions = PathOptions { merge_slashes: true, separators: Separators::Reject };

    fn norm(path: &str, options: PathOptions) -> Result<String, PathError> {
        let mut out = Vec::new();
        normalize(path.as_bytes(), options, &mut out).map(|p| String::from_utf8(p.to_vec()).unwrap())
    }

    #[test]
    fn paths_in_their_one_spelling() {
        let table = [
            ("/", "/"),
            ("*", "*"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/.", "/"),
            ("/..", "/"),
            ("/../..", "/"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/a/b/c/./../../g", "/a/g"),
            ("/mid/content=5/../6", "/mid/6"),
            ("/.a/..b/c./d..", "/.a/..b/c./d.."),
            ("/...", "/..."),
            ("/a//b", "/a/b"),
            ("//", "/"),
            ("//a", "/a"),
            ("///a///", "/a/"),
            ("/a//../b", "/b"),
            ("/%7Euser", "/~user"),
            ("/%61%2d%5F", "/a-_"),
            ("/%2e%2E/a", "/a"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/.%2e", "/"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb", "/a%2Fb"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/%25%32%65", "/%252e"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%00b", "/a%00b"),
            ("/a\\..\\b", "/a\\..\\b"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/a|{b}\"^`<>", "/a|{b}\"^`<>"),
            ("/a/b%2F../c", "/a/b%2F../c"),
        ];
        for (path, want) in table {
            assert_eq!(norm(path, KEEP).as_deref(), Ok(want), "{path}");
        }
    }

    #[test]
    fn slashes_stay_when_not_merged() {
        let table = [
            ("//", "//"),
            ("/a//b", "/a//b"),
            ("/a//../b", "/a/b"),
            ("/..//a", "//a"),
            ("/a//..", "/a/"),
            ("/a/..//", "//"),
        ];
        for (path, want) in table {
            assert_eq!(norm(path, RFC).as_deref(), Ok(want), "{path}");
        }
    }

    #[test]
    fn refused_paths() {
        use PathError::*;
        let table = [
            ("", NotAbsolute),
            ("a", NotAbsolute),
            ("**", NotAbsolute),
            ("/%", BadEscape),
            ("/%4", BadEscape),
            ("/%4g", BadEscape),
            ("/%g4", BadEscape),
            ("/%+4", BadEscape),
            ("/../%zz", BadEscape),
            ("/a b", BadByte),
            ("/a\u{7f}", BadByte),
            ("/a\tb", BadByte),
            ("/ä", BadByte),
            ("/a?b", BadByte),
            ("/a#b", BadByte),
            ("//a#b", BadByte),
        ];
        for (path, want) in table {
            assert_eq!(norm(path, KEEP), Err(want), "{path}");
        }
        for path in ["/a%2fb", "/a%2F", "/%5c", "/%00", "/a\\b", "/../a%5Cb"] {
            assert_eq!(norm(path, REJECT), Err(EncodedSeparator), "{path}");
        }
        assert_eq!(norm("/a%20b", REJECT).as_deref(), Ok("/a%20b"));
    }

    #[test]
    fn a_normal_path_is_lent_back() {
        let mut out = Vec::new();
        let path = b"/a/b%20c/d";
        let got = normalize(path, KEEP, &mut out).unwrap();
        assert_eq!(got.as_ptr(), path.as_ptr());
        assert_eq!(out.capacity(), 0);
    }
}
