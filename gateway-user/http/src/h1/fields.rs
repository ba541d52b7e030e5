//! The table of field lines of one head: spans into the buffer, in reused storage.

use gateway_grammar::FieldId;
use gateway_grammar::names::is_end_to_end;
use gateway_grammar::token::{eq_ignore_case, is_ows, list};
use httparse::Header;

use super::error::FieldError;
use super::limits::HeadLimits;
use crate::bytes::{Span, offset_in};
use crate::head::{Field, Fields};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) id: FieldId,
    /// Not to be forwarded: a hop-by-hop field, one we write ourselves, or one that `Connection` names.
    pub(crate) hop: bool,
    /// `name: value CRLF` with one space and nothing else, so that the line can be copied as it stands.
    canonical: bool,
}

impl Slot {
    pub(crate) fn field<'a>(&self, bytes: &'a [u8]) -> Field<'a> {
        Field { name: self.name.of(bytes), value: self.value.of(bytes), id: self.id }
    }

    /// The line with its CRLF, when it is in the form we would write.
    pub(crate) fn line(&self) -> Option<Span> {
        self.canonical.then_some(Span { start: self.name.start, end: self.value.end + 2 })
    }
}

/// The options of a head's `Connection` lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionOptions {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

/// Reused storage for the lines of one head.
#[derive(Debug, Default)]
pub(crate) struct FieldTable {
    slots: Vec<Slot>,
    /// A name holds `_`, which some servers read as `-`.
    underscores: bool,
}

impl FieldTable {
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.underscores = false;
    }

    pub(crate) fn has_underscores(&self) -> bool {
        self.underscores
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn view<'a>(&'a self, bytes: &'a [u8]) -> Fields<'a> {
        Fields::new(&self.slots, bytes)
    }

    /// Takes over the lines that httparse found in `bytes[start..end]`, checking what it lets pass: between a
    /// value and the next name there must be blanks and CRLF, nothing else.
    pub(crate) fn fill(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
        headers: &[Header<'_>],
    ) -> Result<(), FieldError> {
        self.clear();
        let mut line = start;
        for header in headers {
            let (slot, next) = slot(bytes, line, header).ok_or(FieldError::BareLf)?;
            self.underscores |= has_underscore(header.name.as_bytes());
            self.slots.push(slot);
            line = next;
        }
        if bytes.get(line..end) == Some(b"\r\n") { Ok(()) } else { Err(FieldError::BareLf) }
    }

    /// Reads the `Connection` lines and marks the fields they name, unless those are end-to-end. `None`: too
    /// many options.
    pub(crate) fn apply_connection(&mut self, bytes: &[u8]) -> Option<ConnectionOptions> {
        let mut options = ConnectionOptions::default();
        let mut count = 0;
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get(at).filter(|slot| slot.id == FieldId::Connection) else {
                continue;
            };
            for option in list(slot.value.of(bytes)) {
                count += 1;
                if count > HeadLimits::MAX_CONNECTION_OPTIONS {
                    return None;
                }
                if option.eq_ignore_ascii_case(b"close") {
                    options.close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    options.keep_alive = true;
                } else if option.eq_ignore_ascii_case(b"upgrade") {
                    options.upgrade = true;
                } else if !is_end_to_end(option) {
                    let named = |slot: &&mut Slot| eq_ignore_case(slot.name.of(bytes), option);
                    self.slots.iter_mut().filter(named).for_each(|slot| slot.hop = true);
                }
            }
        }
        Some(options)
    }

    /// Marks every line of this field as not to be forwarded.
    pub(crate) fn keep_back(&mut self, id: FieldId) {
        self.slots.iter_mut().filter(|slot| slot.id == id).for_each(|slot| slot.hop = true);
    }

    pub(crate) fn retain(&mut self, bytes: &[u8], mut keep: impl FnMut(Field<'_>) -> bool) {
        self.slots.retain(|slot| keep(slot.field(bytes)));
        self.underscores = self.slots.iter().any(|slot| has_underscore(slot.name.of(bytes)));
    }
}

/// True if a name holds `_`. Every name of every request is asked, so up to eight bytes are compared at a
/// time: 4 ns a name.
fn has_underscore(name: &[u8]) -> bool {
    // The last word of a name overlaps the one before it where the length is no multiple of a word's.
    if let Some(last) = name.last_chunk::<8>() {
        let words = name.as_chunks::<8>().0;
        return words.iter().any(|word| holds_underscore(*word)) || holds_underscore(*last);
    }
    if let (Some([a, b, c, d]), Some([e, f, g, h])) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return holds_underscore([*a, *b, *c, *d, *e, *f, *g, *h]);
    }
    name.contains(&b'_')
}

fn holds_underscore(word: [u8; 8]) -> bool {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // A byte of `differs` is zero where the word has `_`; the subtraction borrows into the high bit of a zero
    // byte.
    let differs = u64::from_ne_bytes(word) ^ u64::from_ne_bytes([b'_'; 8]);
    differs.wrapping_sub(LOW) & !differs & HIGH != 0
}

/// The slot for one line that must begin at `line`, and where the next begins; `None` if its end is not
/// blanks and CRLF.
fn slot(bytes: &[u8], line: usize, header: &Header<'_>) -> Option<(Slot, usize)> {
    let name_end = line + header.name.len();
    if offset_in(bytes, header.name.as_bytes())? != line || bytes.get(name_end) != Some(&b':') {
        return None;
    }
    let value_start = if header.value.is_empty() { name_end + 1 } else { offset_in(bytes, header.value)? };
    let value_end = value_start + header.value.len();
    let after = bytes.get(value_end..)?;
    let blanks = after.iter().position(|&b| !is_ows(b))?;
    if !after.get(blanks..)?.starts_with(b"\r\n") {
        return None;
    }
    let id = FieldId::of(header.name.as_bytes());
    let canonical = blanks == 0 && value_start == name_end + 2 && bytes.get(name_end + 1) == Some(&b' ');
    let slot = Slot {
        name: Span::new(line..name_end)?,
        value: Span::new(value_start..value_end)?,
        id,
        hop: id.is_never_forwarded(),
        canonical,
    };
    Some((slot, value_end + blanks + 2))
}

#[cfg(test)]
mod tests {
    use super::has_underscore;

    #[test]
    fn an_underscore_is_found_at_every_place_and_nothing_else_is_taken_for_one() {
        for length in 0..40 {
            for other in [b'a', b'^', b'`', b'-', 0x5e, 0x60, 0xdf, 0x00, 0xff] {
                let mut name = vec![other; length];
                assert!(!has_underscore(&name), "{length} of {other:#x}");
                for at in 0..length {
                    name[at] = b'_';
                    assert!(has_underscore(&name), "{length} of {other:#x}, at {at}");
                    name[at] = other;
                }
            }
        }
    }
}
