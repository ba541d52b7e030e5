//! Both directions of a session: keys and numbers of records.

use aws_lc_rs::error::Unspecified;

use super::alert::Alert;
use super::keys::{Context, Seed};
use super::record::{self, Format, Opened, Record};

/// A direction: that from which its key is made, and the number of the next record.
pub(super) struct Way {
    pub(super) seed: Seed,
    pub(super) number: u64,
}

/// The ciphers of both directions, ready to be used.
struct Contexts {
    out: Context,
    incoming: Context,
}

/// Both directions.
pub(super) struct Sides {
    pub(super) format: Format,
    out: Way,
    incoming: Way,
    /// `None` while the session rests.
    contexts: Option<Box<Contexts>>,
}

impl Sides {
    pub(super) fn new(format: Format, out: Way, incoming: Way) -> Self {
        Self { format, out, incoming, contexts: None }
    }

    /// Frees the ciphers. They are made again by the next record.
    pub(super) fn park(&mut self) {
        self.contexts = None;
    }

    fn contexts(&mut self) -> Result<&mut Contexts, Unspecified> {
        if self.contexts.is_none() {
            let cipher = self.format.cipher;
            let (out, incoming) = (self.out.seed.context(cipher)?, self.incoming.seed.context(cipher)?);
            self.contexts = Some(Box::new(Contexts { out, incoming }));
        }
        self.contexts.as_deref_mut().ok_or(Unspecified)
    }

    /// Opens the peer's next record into `room`.
    pub(super) fn open(&mut self, record: &Record<'_>, room: &mut [u8]) -> Result<Opened, Alert> {
        let (format, number) = (self.format, self.incoming.number);
        let next = number.checked_add(1).ok_or(Alert::InternalError)?;
        let contexts = self.contexts().map_err(|_| Alert::InternalError)?;
        let opened = record.open(format, &contexts.incoming, number, room)?;
        self.incoming.number = next;
        Ok(opened)
    }

    /// Seals our next record into `room`; gives its length.
    pub(super) fn seal(&mut self, typ: u8, content: &[u8], room: &mut [u8]) -> Result<usize, Unspecified> {
        let (format, number) = (self.format, self.out.number);
        let next = number.checked_add(1).ok_or(Unspecified)?;
        let contexts = self.contexts()?;
        let len = record::seal(format, &contexts.out, number, (typ, content), room)?;
        self.out.number = next;
        Ok(len)
    }

    /// True if only one more record may be sealed with this key.
    pub(super) fn is_used_up(&self) -> bool {
        self.out.number.saturating_add(1) >= self.format.cipher.records_per_key()
    }

    /// Takes the next secret for what is sent (RFC 8446 section 7.2).
    pub(super) fn update_out(&mut self) -> Result<(), Unspecified> {
        let context = self.out.update(self.format)?;
        self.contexts()?.out = context;
        Ok(())
    }

    /// The same for what is received.
    pub(super) fn update_incoming(&mut self) -> Result<(), Unspecified> {
        let context = self.incoming.update(self.format)?;
        self.contexts()?.incoming = context;
        Ok(())
    }
}

impl Way {
    fn update(&mut self, format: Format) -> Result<Context, Unspecified> {
        // Keys of TLS 1.2 stay.
        let Seed::Traffic(secret) = &self.seed else { return Err(Unspecified) };
        let next = Seed::Traffic(secret.next(format.cipher)?);
        let context = next.context(format.cipher)?;
        *self = Self { seed: next, number: 0 };
        Ok(context)
    }
}

#[cfg(test)]
impl Sides {
    /// As if so many records had been sealed with this key.
    pub(super) fn set_sealed(&mut self, number: u64) {
        self.out.number = number;
    }

    /// As if so many had been opened.
    pub(super) fn set_opened(&mut self, number: u64) {
        self.incoming.number = number;
    }

    /// True if the ciphers are there.
    pub(super) fn is_awake(&self) -> bool {
        self.contexts.is_some()
    }
}
