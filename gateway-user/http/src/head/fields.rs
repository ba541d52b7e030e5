//! The field lines of a head.

use gateway_grammar::FieldId;
use gateway_grammar::token::{eq_ignore_case, list};

use crate::h1::Slot;

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name as received; compare with [`gateway_grammar::token::eq_ignore_case`].
    pub name: &'a [u8],
    /// Value without the blanks around it; may be empty, may hold bytes from 0x80 (obs-text).
    pub value: &'a [u8],
    /// Which of the names that matter to a proxy this is.
    pub id: FieldId,
}

/// The fields of one head, in the order received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    slots: &'a [Slot],
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(slots: &'a [Slot], bytes: &'a [u8]) -> Self {
        Self { slots, bytes }
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Every line.
    pub fn iter(&self) -> FieldsIter<'a> {
        FieldsIter { slots: self.slots.iter(), bytes: self.bytes }
    }

    /// The value of the first line of that name, which compares without case.
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// The values of every line of that name.
    pub fn get_all<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let bytes = self.bytes;
        self.slots
            .iter()
            .filter(move |slot| slot.name.len() == name.len() && eq_ignore_case(slot.name.of(bytes), name))
            .map(move |slot| slot.value.of(bytes))
    }

    /// The value of the first line of a known name.
    pub fn get_known(&self, id: FieldId) -> Option<&'a [u8]> {
        self.slots.iter().find(|slot| slot.id == id).map(|slot| slot.value.of(self.bytes))
    }

    /// Every connection option of every `Connection` line.
    pub fn connection(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.slots
            .iter()
            .filter(|slot| slot.id == FieldId::Connection)
            .flat_map(move |slot| list(slot.value.of(bytes)))
    }

    pub(crate) fn slots(&self) -> &'a [Slot] {
        self.slots
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> IntoIterator for Fields<'a> {
    type Item = Field<'a>;
    type IntoIter = FieldsIter<'a>;

    fn into_iter(self) -> FieldsIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Fields<'a> {
    type Item = Field<'a>;
    type IntoIter = FieldsIter<'a>;

    fn into_iter(self) -> FieldsIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Fields`].
#[derive(Clone, Debug)]
pub struct FieldsIter<'a> {
    slots: std::slice::Iter<'a, Slot>,
    bytes: &'a [u8],
}

impl<'a> Iterator for FieldsIter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        self.slots.next().map(|slot| slot.field(self.bytes))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.slots.size_hint()
    }
}
