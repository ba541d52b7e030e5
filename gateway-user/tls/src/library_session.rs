//! Sessions by the TLS library: handshakes, and what follows towards backends.

use std::fmt;

use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError};
use rustls::{CommonState, HandshakeKind};

use crate::server::{HTTP2, Protocol};
use crate::session::{Established, Outgoing, copy};
use crate::shown::{Shown, record_length, whole_records};
use crate::side::{ClientSide, SessionError, Side};
use crate::{BackendTlsError, ClientTls, Version};

/// The most bytes that a record adds to its content: header, content type, nonce and tag of any suite there
/// is.
const RECORD_OVERHEAD: usize = 5 + 1 + 8 + 16;
/// Most content of one record (RFC 8446 section 5.1).
const RECORD_CONTENT: usize = 16 * 1024;

/// One side of a TLS connection, by the TLS library. It buffers nothing, as an [`Established`].
pub struct TlsSession<S: Side> {
    connection: S,
    peer_closed: bool,
    broken: bool,
    said_goodbye: bool,
    /// Bytes of whole records, of those that were left to the caller, that the connection refers to.
    kept: usize,
}

/// The client's side, towards a backend.
pub type ClientSession = TlsSession<ClientSide>;

impl ClientSession {
    /// A session whose ClientHello comes out of the first call of [`receive`](Self::receive), without input.
    ///
    /// # Errors
    /// The settings contradict each other, which those of [`ClientTls::new`] do not.
    pub fn new(tls: &ClientTls) -> Result<Self, BackendTlsError> {
        let connection = ClientSide::new(tls.config.clone(), tls.name.clone())
            .map_err(|error| BackendTlsError::from(&error))?;
        Ok(Self::of(connection))
    }
}

impl<S: Side> TlsSession<S> {
    pub(crate) fn of(connection: S) -> Self {
        Self { connection, peer_closed: false, broken: false, said_goodbye: false, kept: 0 }
    }

    /// Takes the whole records at the front of `input`, which is decrypted in place. Gives the number of
    /// bytes that were used up: the caller keeps the rest and puts it in front of what comes next. Content
    /// goes to `content`, and what is to be sent, an alert after an error included, to `out`.
    ///
    /// # Errors
    /// The peer broke the protocol or refused us: nothing more can be received.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        out: &mut impl Outgoing,
        content: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, S::Error> {
        if self.broken {
            return Err(S::Error::PROTOCOL);
        }
        let (mut used, input_len) = (0, input.len());
        let mut shown = Shown::behind(self.kept);
        loop {
            // Behind its handshake it would take a key update, and go on with keys that nobody knows.
            let is_done = S::HANDSHAKE_ONLY && !self.is_handshaking();
            let rest =
                if is_done { &mut [] } else { shown.part::<S>(input.get_mut(used..).unwrap_or_default()) };
            let (seen, is_all) = (rest.len(), used + rest.len() == input_len);
            let status = self.connection.process(rest);
            let discard = status.discard;
            match status.state {
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(Ok(record)) = records.next_record() {
                        content(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(record)) => encode(record, out),
                // Whatever was written to `out` is the caller's to send.
                Ok(ConnectionState::TransmitTlsData(records)) => records.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    shown.used(seen, discard);
                    used += discard;
                    if self.is_handshaking() && !is_all {
                        shown.show_more();
                        continue;
                    }
                    // A whole record that is not used up is a part of a handshake message, and the connection
                    // refers to it from now on: it could not be asked with other bytes, as `flush` does.
                    let rest = input.get(used..used + shown.kept).unwrap_or_default();
                    if !self.is_handshaking() && record_length(rest).is_some() {
                        self.broken = true;
                        return Err(S::Error::PROTOCOL);
                    }
                    self.kept = whole_records(input.get(used..).unwrap_or_default());
                    return Ok(used);
                }
                Ok(ConnectionState::Closed) => return Ok(input.len()),
                // Early data is not offered; other states are not there yet.
                Ok(_) => return Err(S::Error::PROTOCOL),
                Err(error) => {
                    self.broken = true;
                    self.say_why(input.get_mut(used + discard..).unwrap_or_default(), out);
                    return Err(S::Error::from(&error));
                }
            }
            shown.used(seen, discard);
            used += discard;
        }
    }

    /// Hands over the alert of an error. `rest` is what was not used up: the connection may refer to it, and
    /// would read it again if it were asked once there is nothing to say.
    fn say_why(&mut self, rest: &mut [u8], out: &mut impl Outgoing) {
        while self.connection.common().wants_write() {
            let Ok(ConnectionState::EncodeTlsData(record)) = self.connection.process(rest).state else {
                return;
            };
            encode(record, out);
        }
    }

    /// Seals `data` into records of at most what there is room for.
    ///
    /// # Errors
    /// The handshake is not over, the connection is closed, or its keys are used up.
    pub fn send(&mut self, data: &[u8], out: &mut impl Outgoing) -> Result<(), S::Error> {
        if self.broken || self.said_goodbye {
            return Err(S::Error::PROTOCOL);
        }
        let mut rest = data;
        while !rest.is_empty() {
            self.flush(out)?;
            let room = out.room(RECORD_OVERHEAD + 1);
            let fits = room.len().saturating_sub(RECORD_OVERHEAD).min(RECORD_CONTENT);
            let (now, later) = rest.split_at(fits.min(rest.len()));
            let status = self.connection.process(&mut []);
            let Ok(ConnectionState::WriteTraffic(mut sealer)) = status.state else {
                return Err(S::Error::PROTOCOL);
            };
            match sealer.encrypt(now, room) {
                Ok(count) => out.wrote(count),
                // Something else is to be sent first, such as a new key: it is asked for when the loop comes
                // round.
                Err(EncryptError::InsufficientSize(size)) => {
                    let _ = out.room(size.required_size);
                    continue;
                }
                Err(EncryptError::EncryptExhausted) => return Err(S::Error::PROTOCOL),
            }
            rest = later;
        }
        Ok(())
    }

    /// Says that nothing more will be sent (RFC 8446 section 6.1), once; nothing where the session is broken
    /// or was never established.
    pub fn close(&mut self, out: &mut impl Outgoing) {
        if self.said_goodbye || self.broken || self.is_handshaking() || self.flush(out).is_err() {
            return;
        }
        self.said_goodbye = true;
        let status = self.connection.process(&mut []);
        if let Ok(ConnectionState::WriteTraffic(mut sealer)) = status.state {
            put(out, RECORD_OVERHEAD + 2, |room| {
                sealer.queue_close_notify(room).map_err(|error| match error {
                    EncryptError::InsufficientSize(size) => Some(size),
                    EncryptError::EncryptExhausted => None,
                })
            });
        }
    }

    /// Hands over what the session itself has to send: replies to key updates.
    fn flush(&mut self, out: &mut impl Outgoing) -> Result<(), S::Error> {
        self.receive(&mut [], out, &mut |_| {}).map(drop)
    }

    /// Gives up the session, for another one to go on behind its handshake.
    pub(crate) fn into_connection(self) -> S {
        self.connection
    }

    pub(crate) fn common(&self) -> &CommonState {
        self.connection.common()
    }

    /// True if the handshake still goes on.
    pub fn is_handshaking(&self) -> bool {
        self.connection.common().is_handshaking()
    }

    /// True if the peer has said that it sends nothing more. An end of the connection without that may be an
    /// attacker's.
    pub fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// The version that was agreed on; `None` before.
    pub fn version(&self) -> Option<Version> {
        self.connection.common().protocol_version().map(Version::of)
    }

    /// The protocol that was agreed on; HTTP/1 before.
    pub fn protocol(&self) -> Protocol {
        match self.connection.common().alpn_protocol() {
            Some(HTTP2) => Protocol::Http2,
            _ => Protocol::Http1,
        }
    }

    /// True if the handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.connection.common().handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

fn encode<D>(mut record: EncodeTlsData<'_, D>, out: &mut impl Outgoing) {
    put(out, 0, |room| {
        record.encode(room).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => Some(size),
            EncodeError::AlreadyEncoded => None,
        })
    });
}

/// Writes once, in the room that it says it needs.
fn put(
    out: &mut impl Outgoing,
    needed: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) {
    let mut needed = needed;
    for _ in 0..2 {
        match write(out.room(needed)) {
            Ok(count) => return out.wrote(count),
            Err(Some(size)) => needed = size.required_size,
            Err(None) => return,
        }
    }
}

impl Established for ClientSession {
    type Error = BackendTlsError;

    fn receive(
        &mut self,
        input: &mut [u8],
        out: &mut impl Outgoing,
        content: &mut impl Outgoing,
    ) -> Result<usize, BackendTlsError> {
        Self::receive(self, input, out, &mut |part| copy(part, content))
    }

    fn send(&mut self, data: &[u8], out: &mut impl Outgoing) -> Result<(), BackendTlsError> {
        Self::send(self, data, out)
    }

    fn close(&mut self, out: &mut impl Outgoing) {
        Self::close(self, out);
    }

    fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }
}

impl<S: Side> fmt::Debug for TlsSession<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession").field("handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}
