//! Dot segments, and those that only some readers see.

use crate::percent::unescaped;

/// True if a segment is `.` or `..` as it stands. A path in normal form has none.
pub fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|&b| b == b'/').any(|segment| matches!(segment, b"." | b".."))
}

/// True if there is a `.` or `..` segment for a reader that decodes `%2F` and `%5C` once and then cuts path
/// parameters off each segment, where a reader that does neither has none. Escapes of other bytes stay
/// escaped; escaped dots are dots.
pub fn hides_dot_segment(path: &[u8]) -> bool {
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
