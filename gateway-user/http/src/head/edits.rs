//! Changes that filters make in a head before it is forwarded, in reused storage.

use gateway_grammar::token::{eq_ignore_case, is_token, is_value_byte, trim_ows};
use gateway_grammar::{Authority, FieldId};

use super::Fields;
use crate::bytes::Span;

/// Why an edit is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EditError {
    /// The field name is no token.
    #[error("the field name is no token")]
    BadName,
    /// The value holds a control byte: a line end would begin a field of its own.
    #[error("the field value holds a control byte")]
    BadValue,
    /// `Content-Length`, `Connection` and the like, which the encoder writes.
    #[error("the field belongs to the connection or the framing")]
    Managed,
    /// Neither an absolute path, nor a query, of visible ASCII bytes.
    #[error("the path or query is malformed")]
    BadTarget,
    /// Not `host[:port]`.
    #[error("the host is malformed")]
    BadHost,
    /// The storage is over 4 GiB.
    #[error("the edits are too long")]
    TooLong,
}

/// Changes to one head. Applied in the order they are made; the same name may be changed again.
///
/// Storage is reused after [`Self::clear`]: one per connection and direction allocates nothing once warm.
#[derive(Debug, Default)]
pub struct HeadEdits {
    bytes: Vec<u8>,
    dropped: Vec<Span>,
    added: Vec<Added>,
    path: Option<Span>,
    query: Query,
    host: Option<Span>,
}

/// The name of a field that the gateway sets by itself.
#[derive(Clone, Copy, Debug)]
pub struct OwnName(&'static [u8]);

impl OwnName {
    /// A name such as `x-request-id`: none that begins so belongs to the connection or the framing.
    ///
    /// # Panics
    /// Unless it is `x-`, then lower-case letters and `-`. For constants, where a panic is an error of the build.
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(matches!(bytes, [b'x', b'-', ..]), "a field of the gateway's own begins with x-");
        let mut rest = bytes;
        while let [first, after @ ..] = rest {
            assert!(first.is_ascii_lowercase() || *first == b'-', "a field name of the gateway's own");
            rest = after;
        }
        Self(bytes)
    }

    /// The name.
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0
    }
}

#[derive(Clone, Copy, Debug)]
struct Added {
    name: Span,
    value: Span,
    /// Unset by a later change of the same name.
    live: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Query {
    #[default]
    Keep,
    Remove,
    Set(Span),
}

impl HeadEdits {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets every change, keeps the storage.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.dropped.clear();
        self.added.clear();
        (self.path, self.query, self.host) = (None, Query::Keep, None);
    }

    /// Replaces every line of that name by one line. `Host` replaces the request's host.
    ///
    /// # Errors
    /// [`EditError`]; nothing is changed then.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), EditError> {
        self.set_parts(name, &[value])
    }

    /// [`Self::set`] with a value put together from pieces, such as an old value, `, ` and a new element.
    ///
    /// # Errors
    /// [`EditError`]; nothing is changed then.
    pub fn set_parts(&mut self, name: &[u8], parts: &[&[u8]]) -> Result<(), EditError> {
        if FieldId::of(name) == FieldId::Host {
            let [value] = parts else { return Err(EditError::BadHost) };
            return self.set_host(value);
        }
        check(name, parts)?;
        let (name, value) = self.store(name, parts)?;
        self.drop_name(name);
        self.added.push(Added { name, value, live: true });
        Ok(())
    }

    /// [`Self::set`] for a name of the gateway's own, which needs no look.
    ///
    /// # Errors
    /// [`EditError::BadValue`], [`EditError::TooLong`]; nothing is changed then.
    pub fn set_own(&mut self, name: OwnName, value: &[u8]) -> Result<(), EditError> {
        if !is_value(value) {
            return Err(EditError::BadValue);
        }
        let (name, value) = self.store(name.0, &[value])?;
        self.drop_name(name);
        self.added.push(Added { name, value, live: true });
        Ok(())
    }

    /// Appends a line after those of that name.
    ///
    /// # Errors
    /// [`EditError`]; nothing is changed then. `Host` can only be set.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), EditError> {
        if FieldId::of(name) == FieldId::Host {
            return Err(EditError::Managed);
        }
        check(name, &[value])?;
        let (name, value) = self.store(name, &[value])?;
        self.added.push(Added { name, value, live: true });
        Ok(())
    }

    /// Removes every line of that name, those added before included.
    ///
    /// # Errors
    /// [`EditError`]; nothing is changed then. `Host` can only be set.
    pub fn remove(&mut self, name: &[u8]) -> Result<(), EditError> {
        if FieldId::of(name) == FieldId::Host {
            return Err(EditError::Managed);
        }
        check(name, &[])?;
        let (name, _) = self.store(name, &[])?;
        self.drop_name(name);
        Ok(())
    }

    /// Replaces the path; the query stays. Requests only.
    ///
    /// # Errors
    /// [`EditError::BadTarget`] unless it begins with `/` and is visible ASCII without `?` and `#`.
    pub fn set_path(&mut self, path: &[u8]) -> Result<(), EditError> {
        self.set_path_parts(&[path])
    }

    /// [`Self::set_path`] with a path put together from pieces.
    ///
    /// # Errors
    /// As [`Self::set_path`], for the pieces together.
    pub fn set_path_parts(&mut self, parts: &[&[u8]]) -> Result<(), EditError> {
        let mut bytes = parts.iter().copied().flatten();
        let starts_well = bytes.next() == Some(&b'/');
        if !starts_well || !bytes.all(|&b| b.is_ascii_graphic() && b != b'?' && b != b'#') {
            return Err(EditError::BadTarget);
        }
        self.path = Some(self.push(parts)?);
        Ok(())
    }

    /// Replaces the query (without its `?`), or removes it. Requests only.
    ///
    /// # Errors
    /// [`EditError::BadTarget`] unless it is visible ASCII without `#`.
    pub fn set_query(&mut self, query: Option<&[u8]>) -> Result<(), EditError> {
        self.query = match query {
            None => Query::Remove,
            Some(query) if query.iter().all(|&b| b.is_ascii_graphic() && b != b'#') => {
                Query::Set(self.push(&[query])?)
            }
            Some(_) => return Err(EditError::BadTarget),
        };
        Ok(())
    }

    /// Replaces `Host`. Requests only.
    ///
    /// # Errors
    /// [`EditError::BadHost`] unless it is `host[:port]`.
    pub fn set_host(&mut self, host: &[u8]) -> Result<(), EditError> {
        Authority::parse(host).ok_or(EditError::BadHost)?;
        self.host = Some(self.push(&[host])?);
        Ok(())
    }

    /// The path set last.
    pub fn path(&self) -> Option<&[u8]> {
        self.path.map(|span| span.of(&self.bytes))
    }

    /// The host set last.
    pub fn host(&self) -> Option<&[u8]> {
        self.host.map(|span| span.of(&self.bytes))
    }

    /// The query after the changes, given the one before.
    pub fn query<'a>(&'a self, before: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match self.query {
            Query::Keep => before,
            Query::Remove => None,
            Query::Set(span) => Some(span.of(&self.bytes)),
        }
    }

    /// The values that a name (not `Host`) has after the changes made so far.
    pub fn values<'a>(&'a self, before: Fields<'a>, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let kept = (!self.drops(name)).then(|| before.get_all(name));
        kept.into_iter()
            .flatten()
            .chain(self.added().filter(move |(n, _)| eq_ignore_case(n, name)).map(|(_, v)| v))
    }

    /// True if lines of that name in the head as received go.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|span| span.len() == name.len() && eq_ignore_case(span.of(&self.bytes), name))
    }

    pub(crate) fn drops_nothing(&self) -> bool {
        self.dropped.is_empty()
    }

    /// Lines to write behind those that stay.
    pub(crate) fn added(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.added.iter().filter(|a| a.live).map(|a| (a.name.of(&self.bytes), a.value.of(&self.bytes)))
    }

    fn drop_name(&mut self, name: Span) {
        let bytes = &self.bytes;
        let same = |other: Span| other.len() == name.len() && eq_ignore_case(other.of(bytes), name.of(bytes));
        self.added.iter_mut().filter(|added| same(added.name)).for_each(|added| added.live = false);
        if !self.dropped.iter().any(|&dropped| same(dropped)) {
            self.dropped.push(name);
        }
    }

    fn store(&mut self, name: &[u8], value: &[&[u8]]) -> Result<(Span, Span), EditError> {
        let name = self.push(&[name])?;
        let stored = self.push(value)?;
        let trimmed = trim_ows(stored.of(&self.bytes));
        let start = crate::bytes::offset_in(&self.bytes, trimmed).filter(|_| !trimmed.is_empty());
        let value = start.map_or(Some(Span { start: stored.end, end: stored.end }), |start| {
            Span::new(start..start + trimmed.len())
        });
        Ok((name, value.ok_or(EditError::TooLong)?))
    }

    fn push(&mut self, parts: &[&[u8]]) -> Result<Span, EditError> {
        let start = self.bytes.len();
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        Span::new(start..self.bytes.len()).ok_or(EditError::TooLong)
    }
}

fn check(name: &[u8], parts: &[&[u8]]) -> Result<(), EditError> {
    if !is_token(name) {
        Err(EditError::BadName)
    } else if FieldId::of(name).is_ours_to_write() {
        Err(EditError::Managed)
    } else if !parts.iter().all(|part| is_value(part)) {
        Err(EditError::BadValue)
    } else {
        Ok(())
    }
}

/// True if every byte may stand in a field value. All are looked at, so that many are at once.
fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |so_far, &b| so_far & is_value_byte(b))
}
