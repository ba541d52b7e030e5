//! Path normalisation (RFC 3986 section 6.2.2): one spelling for matching and forwarding.

/// What to do beyond the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathOptions {
    /// `//` becomes `/`, as most servers do. The RFC calls the two different.
    pub merge_slashes: bool,
    /// Policy for `%2F`, `%5C`, `%00`, a bare `\` and `;`, which servers read differently.
    pub separators: Separators,
}

/// Policy for bytes that some servers take for a separator or for the end of a segment or of the path. What is not refused
/// stays as written and separates nothing to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Separators {
    /// Nothing is refused.
    Keep,
    /// Refused is what no client needs: `%00`, a bare `\`, and a path in which `%2F`, `%5C` or a path parameter (`;...`)
    /// hides a `.` or `..` segment that a server which reads those would resolve.
    #[default]
    RefuseDangerous,
    /// `%2F`, `%5C`, `%00` and a bare `\` are refused wherever they stand, and hidden dot segments as well.
    Refuse,
}

impl Separators {
    /// True if this byte is refused when it stands escaped.
    fn refuses_escaped(self, byte: u8) -> bool {
        match self {
            Self::Keep => false,
            Self::RefuseDangerous => byte == 0,
            Self::Refuse => matches!(byte, b'/' | b'\\' | 0),
        }
    }
}

impl Default for PathOptions {
    fn default() -> Self {
        Self { merge_slashes: true, separators: Separators::default() }
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
    /// An escaped NUL or a bare backslash, unless [`Separators::Keep`]; an escaped slash or backslash under
    /// [`Separators::Refuse`].
    #[error("the path holds a bare backslash, or an encoded slash, backslash or NUL")]
    EncodedSeparator,
    /// A `.` or `..` segment for those who decode `%2F` and `%5C` or cut path parameters off, and for nobody else.
    #[error("the path hides a dot segment behind an encoded separator or a path parameter")]
    HiddenDotSegment,
}

impl PathError {
    /// Stable code in snake_case.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::BadEscape => "bad_percent_escape",
            Self::BadByte => "bad_path_byte",
            Self::EncodedSeparator => "encoded_separator",
            Self::HiddenDotSegment => "hidden_dot_segment",
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
    let mut scan = Scan { options, ambiguous: false };
    let normal = scan.is_normal(path)?;
    if !normal {
        out.clear();
        scan.rewrite(path, out)?;
    }
    if scan.ambiguous && options.separators != Separators::Keep && hides_dot_segment(path) {
        return Err(PathError::HiddenDotSegment);
    }
    Ok(if normal { path } else { out })
}

/// One pass over a path.
struct Scan {
    options: PathOptions,
    /// A `;`, `%2F` or `%5C` was met, so that others may see other segments.
    ambiguous: bool,
}

/// Bytes that stand for themselves and end nothing. Nearly all of a path is.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        plain[byte] = !matches!(byte as u8, b'/' | b'%' | b'\\' | b';' | b'?' | b'#');
        byte += 1;
    }
    plain
};

fn is_plain(byte: u8) -> bool {
    // In bounds: a byte is below the table's length.
    PLAIN[usize::from(byte)]
}

impl Scan {
    /// Whether nothing is to be done. Reports an error only if it stands before the first thing to be done.
    fn is_normal(&mut self, path: &[u8]) -> Result<bool, PathError> {
        let mut rest = path;
        while let [byte, more @ ..] = rest {
            rest = more;
            if is_plain(*byte) {
                continue;
            }
            match byte {
                b'/' if dot_segment(rest) || (self.options.merge_slashes && rest.first() == Some(&b'/')) => {
                    return Ok(false);
                }
                b'/' => {}
                b'%' => match self.escape(rest)? {
                    Escape::Plain(_) => return Ok(false),
                    Escape::Kept(high, low) => {
                        if rest.get(..2) != Some(&[high, low]) {
                            return Ok(false);
                        }
                        rest = rest.get(2..).unwrap_or_default();
                    }
                },
                _ => self.check(*byte)?,
            }
        }
        Ok(true)
    }

    fn rewrite(&mut self, path: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
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
                    if kept && !(self.options.merge_slashes && out.len() == segment) {
                        out.push(b'/');
                    }
                    segment = out.len();
                }
                [b'%', more @ ..] => {
                    match self.escape(more)? {
                        Escape::Plain(byte) => out.push(byte),
                        Escape::Kept(high, low) => out.extend_from_slice(&[b'%', high, low]),
                    }
                    rest = more.get(2..).unwrap_or_default();
                }
                [byte, more @ ..] => {
                    self.check(*byte)?;
                    out.push(*byte);
                    rest = more;
                }
            }
        }
    }

    /// Reads the two digits after a `%`.
    fn escape(&mut self, rest: &[u8]) -> Result<Escape, PathError> {
        let [high, low, ..] = rest else { return Err(PathError::BadEscape) };
        let byte = unescaped(*high, *low).ok_or(PathError::BadEscape)?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            return Ok(Escape::Plain(byte));
        }
        if self.options.separators.refuses_escaped(byte) {
            return Err(PathError::EncodedSeparator);
        }
        self.ambiguous |= matches!(byte, b'/' | b'\\');
        Ok(Escape::Kept(high.to_ascii_uppercase(), low.to_ascii_uppercase()))
    }

    fn check(&mut self, byte: u8) -> Result<(), PathError> {
        match byte {
            b'\\' if self.options.separators != Separators::Keep => Err(PathError::EncodedSeparator),
            b'?' | b'#' => Err(PathError::BadByte),
            _ if byte.is_ascii_graphic() => {
                self.ambiguous |= byte == b';';
                Ok(())
            }
            _ => Err(PathError::BadByte),
        }
    }
}

/// True if there is a `.` or `..` segment for a reader that decodes `%2F` and `%5C` once and then cuts path parameters off
/// each segment, where a reader that does neither has none. Escapes of other bytes stay escaped; escaped dots are dots.
fn hides_dot_segment(path: &[u8]) -> bool {
    path.split(|&b| b == b'/').any(|segment| {
        let mut part = Part::default();
        let mut rest = segment;
        let mut hidden = false;
        let mut parts = 1;
        while let [byte, more @ ..] = rest {
            rest = more;
            let byte = match (byte, more) {
                (b'%', [high, low, after @ ..]) => {
                    rest = after;
                    match unescaped(*high, *low) {
                        Some(b'/' | b'\\') => {
                            hidden |= part.is_dots();
                            part = Part::default();
                            parts += 1;
                            continue;
                        }
                        Some(b'.') => b'.',
                        _ => b'%',
                    }
                }
                (byte, _) => *byte,
            };
            part.take(byte);
        }
        // The last part is the whole segment if nothing was decoded or cut; that one everybody resolves.
        hidden || part.is_dots() && (parts > 1 || part.cut)
    })
}

/// The segment so far.
#[derive(Default)]
struct Part {
    dots: u32,
    other: bool,
    /// A path parameter has begun: nothing from here on counts.
    cut: bool,
}

impl Part {
    fn take(&mut self, byte: u8) {
        match byte {
            _ if self.cut => {}
            b';' => self.cut = true,
            b'.' => self.dots = self.dots.saturating_add(1),
            _ => self.other = true,
        }
    }

    fn is_dots(&self) -> bool {
        !self.other && matches!(self.dots, 1 | 2)
    }
}

/// Whether the segment that begins here is `.` or `..`.
fn dot_segment(rest: &[u8]) -> bool {
    matches!(rest, [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
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

/// The byte that two digits stand for.
fn unescaped(high: u8, low: u8) -> Option<u8> {
    Some(hex(high)? << 4 | hex(low)?)
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: PathOptions = PathOptions { merge_slashes: true, separators: Separators::Keep };
    const RFC: PathOptions = PathOptions { merge_slashes: false, separators: Separators::Keep };
    const REFUSE: PathOptions = PathOptions { merge_slashes: true, separators: Separators::Refuse };
    const USUAL: PathOptions = PathOptions { merge_slashes: true, separators: Separators::RefuseDangerous };

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
            assert_eq!(norm(path, REFUSE), Err(EncodedSeparator), "{path}");
        }
        assert_eq!(norm("/a%20b", REFUSE).as_deref(), Ok("/a%20b"));
    }

    /// Rows of paths that the three policies tell apart: as received, then what each makes of it.
    #[test]
    fn separators_are_refused_where_they_hide_dots() {
        use PathError::{EncodedSeparator as Encoded, HiddenDotSegment as Hidden};
        type Row<'a> = (&'a str, Result<&'a str, PathError>, Result<&'a str, PathError>);
        // What `RefuseDangerous` makes of it, and what `Refuse` does.
        let table: &[Row<'_>] = &[
            // Names with slashes in them, as clients of these servers send them.
            (
                "/api/v4/projects/group%2Fproject/issues",
                Ok("/api/v4/projects/group%2Fproject/issues"),
                Err(Encoded),
            ),
            (
                "/api/v4/projects/a%2fb/repository/files/src%2Fmain.rs",
                Ok("/api/v4/projects/a%2Fb/repository/files/src%2Fmain.rs"),
                Err(Encoded),
            ),
            ("/@scope%2fpkg", Ok("/@scope%2Fpkg"), Err(Encoded)),
            ("/@scope%2Fpkg/-/pkg-1.0.0.tgz", Ok("/@scope%2Fpkg/-/pkg-1.0.0.tgz"), Err(Encoded)),
            ("/bucket/dir%2Fkey.txt", Ok("/bucket/dir%2Fkey.txt"), Err(Encoded)),
            ("/bucket/%2Fkey", Ok("/bucket/%2Fkey"), Err(Encoded)),
            ("/bucket/a%2F%2Fb", Ok("/bucket/a%2F%2Fb"), Err(Encoded)),
            ("/bucket/C%3A%5Ctemp", Ok("/bucket/C%3A%5Ctemp"), Err(Encoded)),
            (
                "/bucket/v1.2%2F.hidden%2F..rc%2Fend..",
                Ok("/bucket/v1.2%2F.hidden%2F..rc%2Fend.."),
                Err(Encoded),
            ),
            ("/bucket/...%2Fa", Ok("/bucket/...%2Fa"), Err(Encoded)),
            // Path parameters.
            (
                "/cars;v=1/wheels;color=red;size=2",
                Ok("/cars;v=1/wheels;color=red;size=2"),
                Ok("/cars;v=1/wheels;color=red;size=2"),
            ),
            (
                "/app;jsessionid=1.route..2",
                Ok("/app;jsessionid=1.route..2"),
                Ok("/app;jsessionid=1.route..2"),
            ),
            ("/a;x=../b", Ok("/a;x=../b"), Ok("/a;x=../b")),
            ("/;/a", Ok("/;/a"), Ok("/;/a")),
            ("/...;x/a", Ok("/...;x/a"), Ok("/...;x/a")),
            // Dot segments that everybody sees are resolved, whatever stands beside them.
            ("/a%2Fb/..", Ok("/"), Err(Encoded)),
            ("/a;v=1/../b", Ok("/b"), Ok("/b")),
            ("/%2e%2e/a;b", Ok("/a;b"), Ok("/a;b")),
            // Encoded twice: decoded once it is still encoded.
            ("/%252e%252e/a", Ok("/%252e%252e/a"), Ok("/%252e%252e/a")),
            ("/..%252fa", Ok("/..%252fa"), Ok("/..%252fa")),
            ("/..%255ca", Ok("/..%255ca"), Ok("/..%255ca")),
            ("/..%3Ba/b", Ok("/..%3Ba/b"), Ok("/..%3Ba/b")),
            // Hidden.
            ("/..;/admin", Err(Hidden), Err(Hidden)),
            ("/.;/admin", Err(Hidden), Err(Hidden)),
            ("/public/..;v=1/admin", Err(Hidden), Err(Hidden)),
            ("/public/..;", Err(Hidden), Err(Hidden)),
            ("/public/%2e%2E;/admin", Err(Hidden), Err(Hidden)),
            ("/public/..;/../x", Err(Hidden), Err(Hidden)),
            ("/%2e%2e%2f", Err(Hidden), Err(Encoded)),
            ("/..%2Fadmin", Err(Hidden), Err(Encoded)),
            ("/a%2F..%2fb", Err(Hidden), Err(Encoded)),
            ("/a%2F..", Err(Hidden), Err(Encoded)),
            ("/a%2F.", Err(Hidden), Err(Encoded)),
            ("/a%2F../b", Err(Hidden), Err(Encoded)),
            ("/a/..%2F/../../b", Err(Hidden), Err(Encoded)),
            ("/a%2F..;x/b", Err(Hidden), Err(Encoded)),
            ("/a;b%2F../c", Err(Hidden), Err(Encoded)),
            ("/..%5c", Err(Hidden), Err(Encoded)),
            ("/a/..%5C..%5Cwindows", Err(Hidden), Err(Encoded)),
            ("/a%5C%2e%2e/b", Err(Hidden), Err(Encoded)),
            // No client needs them.
            ("/a%00", Err(Encoded), Err(Encoded)),
            ("/a%00.png", Err(Encoded), Err(Encoded)),
            ("/a\\b", Err(Encoded), Err(Encoded)),
            ("/..\\..", Err(Encoded), Err(Encoded)),
        ];
        for (path, usual, refuse) in table {
            assert_eq!(norm(path, USUAL).as_deref(), usual.as_ref().copied(), "{path}");
            assert_eq!(
                norm(path, REFUSE).as_deref(),
                refuse.as_ref().copied(),
                "{path}, where they are refused"
            );
            let kept = norm(path, KEEP);
            assert!(kept.is_ok(), "{path}, where they are kept: {kept:?}");
        }
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
