//! Datagrams received and sent by as few calls as possible: recvmmsg(2) and sendmmsg(2), and no more than that.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::ops::Range;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

/// Most datagrams of one call.
const MESSAGES: usize = 32;
/// Bytes of one; what is longer is cut.
const ROOM: usize = 2048;

/// Buffers for datagrams, and what was received into them last.
pub struct Batch {
    rooms: Box<[[u8; ROOM]; MESSAGES]>,
    lengths: [usize; MESSAGES],
    senders: [Option<SockaddrStorage>; MESSAGES],
    received: MultiHeaders<SockaddrStorage>,
    sent: MultiHeaders<SockaddrStorage>,
}

/// Receivers of what is sent.
#[derive(Clone, Copy, Debug)]
pub enum To {
    /// The peer of a connected socket.
    Peer,
    /// One address for all.
    One(SockaddrStorage),
    /// Whoever sent each of them.
    Senders,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            rooms: Box::new([[0; ROOM]; MESSAGES]),
            lengths: [0; MESSAGES],
            senders: [None; MESSAGES],
            received: MultiHeaders::preallocate(MESSAGES, None),
            sent: MultiHeaders::preallocate(MESSAGES, None),
        }
    }
}

impl Batch {
    /// Receives what is queued, as far as there is room, in place of what was received before; of a socket that waits, at least
    /// one datagram. Gives their number.
    ///
    /// # Errors
    /// Those of recvmmsg(2): `WouldBlock` if nothing is queued and the socket does not wait.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let Self { rooms, lengths, senders, received, .. } = self;
        let mut free = rooms.iter_mut();
        // As many as there are rooms: an empty part is none that is used.
        let mut parts: [[IoSliceMut<'_>; 1]; MESSAGES] = std::array::from_fn(|_| {
            [IoSliceMut::new(free.next().map(<[u8; ROOM]>::as_mut_slice).unwrap_or_default())]
        });
        let messages =
            recvmmsg(socket.as_raw_fd(), received, parts.iter_mut(), MsgFlags::MSG_WAITFORONE, None)?;
        let mut count = 0;
        for ((message, length), sender) in messages.zip(lengths).zip(senders) {
            (*length, *sender) = (message.bytes, message.address);
            count += 1;
        }
        Ok(count)
    }

    /// The sender of a datagram that was received.
    pub fn sender(&self, index: usize) -> Option<SockaddrStorage> {
        self.senders.get(index).copied().flatten()
    }

    /// The content of a datagram, to be looked at or changed.
    pub fn content(&mut self, index: usize) -> &mut [u8] {
        let length = self.lengths.get(index).copied().unwrap_or(0);
        self.rooms.get_mut(index).and_then(|room| room.get_mut(..length)).unwrap_or_default()
    }

    /// Puts a datagram in a place, of so many bytes that its content is to be given.
    pub fn put(&mut self, index: usize, length: usize) -> &mut [u8] {
        if let Some(known) = self.lengths.get_mut(index) {
            *known = length.min(ROOM);
        }
        self.content(index)
    }

    /// Sends datagrams; gives the number that the kernel took.
    ///
    /// # Errors
    /// Those of sendmmsg(2) for the first one.
    pub fn send(&mut self, range: Range<usize>, socket: &UdpSocket, to: To) -> io::Result<usize> {
        let Self { rooms, lengths, senders, sent, .. } = self;
        let (begin, count) = (range.start, range.len().min(MESSAGES));
        let part = |index: usize| {
            let room = rooms.get(begin + index).zip(lengths.get(begin + index));
            IoSlice::new(room.and_then(|(room, length)| room.get(..*length)).unwrap_or_default())
        };
        let parts: [[IoSlice<'_>; 1]; MESSAGES] = std::array::from_fn(|index| [part(index)]);
        let addresses: [Option<SockaddrStorage>; MESSAGES] = match to {
            To::Peer => [None; MESSAGES],
            To::One(address) => [Some(address); MESSAGES],
            To::Senders => std::array::from_fn(|index| senders.get(begin + index).copied().flatten()),
        };
        let none: [ControlMessage<'_>; 0] = [];
        let parts = parts.get(..count).unwrap_or_default();
        let results = sendmmsg(
            socket.as_raw_fd(),
            sent,
            parts,
            addresses.get(..count).unwrap_or_default(),
            none,
            MsgFlags::empty(),
        )?;
        Ok(results.count())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}
