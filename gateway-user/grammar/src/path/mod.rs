//! Paths: one normal form (RFC 3986 section 6.2.2) for routes, matching and forwarding, but for runs of
//! slashes.

mod error;
mod hidden;
mod route;
mod slashes;

pub use error::PathError;
pub use hidden::{has_dot_segment, hides_dot_segment};
pub use route::{normalize_route_path, normalize_route_prefix};
use slashes::leading_run;
pub use slashes::{MergeSlashes, merged, unmerged_len};

use crate::percent::Escape;

/// Policies beyond the RFC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathOptions {
    /// Policy for empty segments.
    pub merge_slashes: MergeSlashes,
    /// Policy for `%2F`, `%5C`, `%00`, a bare `\` and `;`, which servers read differently.
    pub separators: Separators,
}

/// Policy for bytes that some servers take for a separator or for the end of a segment or of the path. Bytes
/// that are not refused stays as written and separates nothing to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Separators {
    /// Nothing is refused.
    Keep,
    /// Refused is what no client needs: `%00`, a bare `\`, and a path in which `%2F`, `%5C` or a path
    /// parameter (`;...`) hides a `.` or `..` segment that a server which reads those would resolve.
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

/// Gives the one normal form of a path: escapes of unreserved characters decoded, the others in upper
/// case, `.` and `..` segments resolved (never above the root; escaped dots are dots), repeated slashes
/// merged if asked.
///
/// Returns `path` itself when it is in that form already, else writes to `out`. `*` stays as it is. The
/// result has no `.` or `..` segment, and normalising it again changes nothing.
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
    /// True if nothing is to be done. Reports an error only if it stands before the first thing to be done.
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
                b'/' if begins_dot_segment(rest) || (merges && rest.first() == Some(&b'/')) => {
                    return Ok(false);
                }
                b'/' => {}
                b'%' => match self.escape(rest)? {
                    Escape::Plain(_) => return Ok(false),
                    Escape::Kept { digits, .. } => {
                        if rest.get(..2) != Some(&digits) {
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
                        Escape::Kept { digits: [high, low], .. } => out.extend_from_slice(&[b'%', high, low]),
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
        let escape = Escape::of(*high, *low).ok_or(PathError::BadEscape)?;
        if let Escape::Kept { byte, .. } = escape {
            if self.options.separators.refuses_escaped(byte) {
                return Err(PathError::EncodedSeparator);
            }
            self.ambiguous |= matches!(byte, b'/' | b'\\');
        }
        Ok(escape)
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

/// True if the segment that begins here is `.` or `..`.
fn begins_dot_segment(rest: &[u8]) -> bool {
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

#[cfg(test)]
mod tests;
