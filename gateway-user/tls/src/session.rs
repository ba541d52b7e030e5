//! One connection's session behind its handshake: bytes from the peer in, content out; content in, bytes for the peer out.

/// Receiver of the bytes for the peer.
pub trait Outgoing {
    /// At least `needed` bytes to write to, which follow what was written before.
    fn room(&mut self, needed: usize) -> &mut [u8];

    /// The first `count` bytes of that room were written.
    fn wrote(&mut self, count: usize);
}

/// A session whose handshake is over. It buffers nothing: what is not understood yet stays with the caller, and what is
/// opened or sealed is handed over at once.
pub trait Established {
    /// Reasons why it breaks.
    type Error;

    /// Takes the whole records at the front of `input`. Gives the number of bytes that were used up: the caller keeps the rest and
    /// puts it in front of what comes next. Content goes to `content`, and what is to be sent, an alert after an error included, to
    /// `out`.
    ///
    /// # Errors
    /// The peer broke the protocol or refused us: nothing more can be received.
    fn receive(
        &mut self,
        input: &mut [u8],
        out: &mut impl Outgoing,
        content: &mut impl Outgoing,
    ) -> Result<usize, Self::Error>;

    /// Seals `data` into records of at most what there is room for.
    ///
    /// # Errors
    /// The connection is closed, or its keys are used up.
    fn send(&mut self, data: &[u8], out: &mut impl Outgoing) -> Result<(), Self::Error>;

    /// Says that nothing more will be sent (RFC 8446 section 6.1), once; nothing where the session is broken.
    fn close(&mut self, out: &mut impl Outgoing);

    /// True if the peer has said that it sends nothing more. An end of the connection without that may be an
    /// attacker's.
    fn is_peer_closed(&self) -> bool;

    /// Frees what the next record can have made again.
    fn park(&mut self) {}
}

/// Puts bytes where there is room, in parts if need be.
pub(crate) fn copy(bytes: &[u8], into: &mut impl Outgoing) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let room = into.room(1);
        let (now, later) = rest.split_at(room.len().min(rest.len()));
        if let Some(room) = room.get_mut(..now.len()) {
            room.copy_from_slice(now);
        }
        into.wrote(now.len());
        rest = later;
    }
}
