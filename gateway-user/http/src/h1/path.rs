//! Path normalisation (RFC 3986 section 6.2.2): one spelling for matching and forwarding, but for runs of slashes.

mod hidden;
mod slashes;

use hidden::hides_dot_segment;
use slashes::leading_run;
pub use slashes::{MergeSlashes, merged, unmerged_len};

/// What to do beyond the RFC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathOptions {
    /// Policy for empty segments.
    pub merge_slashes: MergeSlashes,
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
        if options.merge_slashes == MergeSlashes::Match {
            out.drain(..leading_run(out).saturating_sub(1));
        }
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
        if self.options.merge_slashes == MergeSlashes::Match && path.starts_with(b"//") {
            return Ok(false);
        }
        let merges = self.options.merge_slashes == MergeSlashes::Always;
        while let [byte, more @ ..] = rest {
            rest = more;
            if is_plain(*byte) {
                continue;
            }
            match byte {
                b'/' if dot_segment(rest) || (merges && rest.first() == Some(&b'/')) => {
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
        let merges = self.options.merge_slashes == MergeSlashes::Always;
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
                    if kept && !(merges && out.len() == segment) {
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
mod tests;
