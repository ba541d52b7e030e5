//! Sessions after their handshake, without the TLS library: two secrets and two numbers, and ciphers while there is something to
//! do. Records are opened from where they were received to where their content goes, and sealed to where they are sent from.

mod alert;
pub(crate) mod capture;
pub(crate) mod keys;
mod messages;
mod record;
mod sides;
mod start;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::HandshakeError;
use crate::Version;
use crate::session::{Established, Outgoing};
use alert::{Alert, FATAL, Fault, Received, WARNING};
use messages::Messages;
use record::{ALERT, APPLICATION_DATA, CONTENT_MAX, HANDSHAKE, OVERHEAD, Record};
use sides::Sides;

/// Most records without content in a row, and key updates without content between them. Whoever sends more sends nothing but work.
const IDLE_RECORDS_MAX: u8 = 32;
/// Most warnings of a connection.
const WARNINGS_MAX: u8 = 4;

/// The server's side of a connection whose handshake is over. It behaves as the TLS library's own sessions do, and where that
/// breaks a connection in silence it says why.
pub struct EstablishedSession {
    sides: Sides,
    messages: Messages,
    /// Records without content since the last one with any.
    empty_records: u8,
    /// Key updates since the last content.
    key_updates: u8,
    warnings: u8,
    /// The client has asked for another handshake, which it may do once.
    has_asked_again: bool,
    /// The client's key update asks for ours, before our next content (RFC 8446 section 4.6.3).
    owes_key_update: bool,
    peer_closed: bool,
    broken: bool,
    said_goodbye: bool,
}

impl EstablishedSession {
    fn new(sides: Sides) -> Self {
        Self {
            sides,
            messages: Messages::default(),
            empty_records: 0,
            key_updates: 0,
            warnings: 0,
            has_asked_again: false,
            owes_key_update: false,
            peer_closed: false,
            broken: false,
            said_goodbye: false,
        }
    }

    fn is_tls13(&self) -> bool {
        self.sides.format.version == Version::Tls13
    }

    /// Opens the record at the front of `bytes`; gives its length, or 0 if it is not whole.
    fn open(
        &mut self,
        bytes: &[u8],
        out: &mut impl Outgoing,
        content: &mut impl Outgoing,
    ) -> Result<usize, Fault> {
        let Some(record) = Record::read(bytes, self.sides.format.version)? else { return Ok(0) };
        let room = content.room(record.room());
        let opened = self.sides.open(&record, room)?;
        if self.messages.has_begun() && opened.typ != HANDSHAKE {
            return Err(Alert::UnexpectedMessage.into());
        }
        let inner = room.get(..opened.len).unwrap_or_default();
        match opened.typ {
            APPLICATION_DATA if inner.is_empty() => {
                self.empty_records = spend(self.empty_records, IDLE_RECORDS_MAX)?;
            }
            APPLICATION_DATA => {
                (self.empty_records, self.key_updates) = (0, 0);
                content.wrote(opened.len);
            }
            // Neither may be without content (RFC 8446 section 5.4).
            _ if inner.is_empty() => return Err(Alert::UnexpectedMessage.into()),
            ALERT => match alert::read(inner, self.is_tls13())? {
                Received::End => self.peer_closed = true,
                Received::Warning => self.warnings = spend(self.warnings, WARNINGS_MAX)?,
            },
            HANDSHAKE if self.is_tls13() => self.key_update(inner)?,
            HANDSHAKE => self.refuse_handshake(inner, out)?,
            _ => return Err(Alert::UnexpectedMessage.into()),
        }
        Ok(record.len())
    }

    fn key_update(&mut self, content: &[u8]) -> Result<(), Fault> {
        let Some(asks) = self.messages.key_update(content)? else { return Ok(()) };
        self.key_updates = spend(self.key_updates, IDLE_RECORDS_MAX)?;
        self.sides.update_incoming().map_err(|_| Alert::InternalError)?;
        // One of ours responds to all that came since the last.
        self.owes_key_update |= asks;
        Ok(())
    }

    /// No handshake is made on a connection that had one (RFC 5746 is not needed then).
    fn refuse_handshake(&mut self, content: &[u8], out: &mut impl Outgoing) -> Result<(), Fault> {
        for _ in 0..self.messages.client_hellos(content)? {
            if std::mem::replace(&mut self.has_asked_again, true) {
                return Err(Alert::UnexpectedMessage.into());
            }
            if !self.said_goodbye {
                self.put(ALERT, &[WARNING, Alert::NoRenegotiation as u8], out);
            }
        }
        Ok(())
    }

    /// Makes room for one more record of content under the keys that there are, by new ones if need be.
    fn refresh(&mut self, out: &mut impl Outgoing) -> Result<(), HandshakeError> {
        let is_used_up = self.sides.is_used_up();
        if !is_used_up && !self.owes_key_update {
            return Ok(());
        }
        if !self.is_tls13() {
            // There are no other keys, and content that is cut must not look whole.
            self.put(ALERT, &[FATAL, Alert::InternalError as u8], out);
            self.broken = true;
            return Err(HandshakeError::Protocol);
        }
        // Ours alone are used up: the client is not asked for others.
        let is_updated = self.put(HANDSHAKE, &[24, 0, 0, 1, 0], out) && self.sides.update_out().is_ok();
        self.owes_key_update = false;
        self.broken |= !is_updated;
        if is_updated { Ok(()) } else { Err(HandshakeError::Protocol) }
    }

    /// Seals a short record that is no content. False if that cannot be done.
    fn put(&mut self, typ: u8, content: &[u8], out: &mut impl Outgoing) -> bool {
        let sealed = self.sides.seal(typ, content, out.room(OVERHEAD + content.len()));
        sealed.is_ok_and(|count| {
            out.wrote(count);
            true
        })
    }
}

/// One more of what there may be `most` of.
fn spend(count: u8, most: u8) -> Result<u8, Fault> {
    if count < most { Ok(count + 1) } else { Err(Alert::UnexpectedMessage.into()) }
}

impl Established for EstablishedSession {
    type Error = HandshakeError;

    fn receive(
        &mut self,
        input: &mut [u8],
        out: &mut impl Outgoing,
        content: &mut impl Outgoing,
    ) -> Result<usize, HandshakeError> {
        if self.broken {
            return Err(HandshakeError::Protocol);
        }
        let mut used = 0;
        while !self.peer_closed {
            match self.open(input.get(used..).unwrap_or_default(), out, content) {
                Ok(0) => return Ok(used),
                Ok(count) => used += count,
                Err(fault) => {
                    self.broken = true;
                    if let Some(alert) = fault.alert().filter(|_| !self.said_goodbye) {
                        self.put(ALERT, &[FATAL, alert as u8], out);
                    }
                    return Err(match fault {
                        Fault::Ours(_) => HandshakeError::Protocol,
                        Fault::Theirs | Fault::BadLevel(_) => HandshakeError::ClientAlert,
                    });
                }
            }
        }
        // Behind its end nothing counts (RFC 8446 section 6.1).
        Ok(input.len())
    }

    fn send(&mut self, data: &[u8], out: &mut impl Outgoing) -> Result<(), HandshakeError> {
        if self.broken || self.said_goodbye {
            return Err(HandshakeError::Protocol);
        }
        let mut rest = data;
        while !rest.is_empty() {
            self.refresh(out)?;
            let room = out.room(OVERHEAD + 1);
            let fits = room.len().saturating_sub(OVERHEAD).min(CONTENT_MAX);
            let (now, later) = rest.split_at(fits.min(rest.len()));
            match self.sides.seal(APPLICATION_DATA, now, room) {
                Ok(count) if !now.is_empty() => out.wrote(count),
                _ => {
                    self.broken = true;
                    return Err(HandshakeError::Protocol);
                }
            }
            rest = later;
        }
        Ok(())
    }

    fn close(&mut self, out: &mut impl Outgoing) {
        if !self.said_goodbye && !self.broken {
            self.said_goodbye = true;
            self.put(ALERT, &[WARNING, Alert::CloseNotify as u8], out);
        }
    }

    fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    fn park(&mut self) {
        self.sides.park();
    }
}

impl fmt::Debug for EstablishedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EstablishedSession").field("format", &self.sides.format).finish_non_exhaustive()
    }
}
