//! Messages from the gateway. Every kind has one length.

use std::net::IpAddr;

use gateway_ir::BindAddress;
use gateway_steer::BindWay;

use crate::wire::{Cursor, Malformed, PROTOCOL, put_bind_address};

/// Largest request, in bytes.
pub(crate) const MAX_REQUEST: usize = 64;

/// Something that takes a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The first message: the version that is spoken.
    Hello {
        /// Version of the messages.
        protocol: u16,
    },
    /// Programs for so many workers.
    Load {
        /// Number of workers, 1 to 256.
        workers: u16,
    },
    /// Attaching them.
    Attach,
    /// Taking them off.
    Detach,
    /// A bound socket.
    Bind {
        /// Protocol of the socket.
        transport: Transport,
        /// Use of the socket.
        way: BindWay,
        /// Address, or every address.
        address: BindAddress,
        /// Port; never 0.
        port: u16,
    },
    /// Putting an address of the pool on the interface.
    PutAddress(IpAddr),
    /// Beginning to look whether another host has an address of the pool, which is about to be put there.
    ExpectAddress(IpAddr),
    /// Taking it off.
    RemoveAddress(IpAddr),
    /// Telling the network that the address is here.
    Announce(IpAddr),
    /// Making the state directory the gateway's.
    GiveStateDir,
    /// Leaving addresses where they are when the connection ends: another process serves them.
    LeaveAddresses,
    /// Keeping a stand-by for the programs that are attached, in place of one that is kept. The descriptor with it is
    /// their link, for a helper that has not loaded them itself. Should the connection end without
    /// [`Detach`](Self::Detach), programs and stand-by stay for the next gateway, for a while. From version 2 on, as all
    /// that follow.
    StandBy {
        /// Port of the workers' group, from 1024 on.
        port: u16,
        /// Most connections that wait there.
        backlog: u32,
    },
    /// Closing the stand-by.
    Dismiss,
    /// A duplicate of the stand-by of a gateway that has ended.
    Orphan,
    /// Letting go of what is kept of gateways that have ended: this one serves.
    Relieve,
}

/// Protocol of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Request {
    /// The greeting of this version.
    #[must_use]
    pub fn hello() -> Self {
        Self::Hello { protocol: PROTOCOL }
    }

    /// The bytes of the request with this number, which its reply has too.
    #[must_use]
    pub fn encode(&self, number: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAX_REQUEST);
        bytes.push(self.kind());
        bytes.extend(number.to_le_bytes());
        match self {
            Self::Hello { protocol: value } | Self::Load { workers: value } => {
                bytes.extend(value.to_le_bytes());
            }
            Self::Attach | Self::Detach | Self::GiveStateDir | Self::LeaveAddresses => {}
            Self::Dismiss | Self::Orphan | Self::Relieve => {}
            Self::StandBy { port, backlog } => {
                bytes.extend(port.to_le_bytes());
                bytes.extend(backlog.to_le_bytes());
            }
            Self::Bind { transport, way, address, port } => {
                bytes.push(u8::from(*transport == Transport::Udp));
                bytes.push(u8::from(*way == BindWay::Held));
                put_bind_address(&mut bytes, *address);
                bytes.extend(port.to_le_bytes());
            }
            Self::PutAddress(ip) | Self::ExpectAddress(ip) | Self::RemoveAddress(ip) | Self::Announce(ip) => {
                put_bind_address(&mut bytes, BindAddress::Ip(*ip));
            }
        }
        bytes
    }

    /// The number and the request of a packet.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<(u32, Self), Malformed> {
        let mut cursor = Cursor::new(bytes);
        let (kind, number) = (cursor.u8()?, cursor.u32()?);
        let request = match kind {
            1 => Self::Hello { protocol: cursor.u16()? },
            2 => Self::Load { workers: cursor.u16()? },
            3 => Self::Attach,
            4 => Self::Detach,
            5 => {
                let transport = if cursor.flag()? { Transport::Udp } else { Transport::Tcp };
                let way = if cursor.flag()? { BindWay::Held } else { BindWay::Shared };
                Self::Bind { transport, way, address: cursor.bind_address()?, port: cursor.u16()? }
            }
            6 => Self::PutAddress(cursor.ip()?),
            7 => Self::RemoveAddress(cursor.ip()?),
            8 => Self::Announce(cursor.ip()?),
            9 => Self::GiveStateDir,
            10 => Self::LeaveAddresses,
            11 => Self::ExpectAddress(cursor.ip()?),
            12 => Self::StandBy { port: cursor.u16()?, backlog: cursor.u32()? },
            13 => Self::Dismiss,
            14 => Self::Orphan,
            15 => Self::Relieve,
            _ => return Err(Malformed),
        };
        cursor.end()?;
        Ok((number, request))
    }

    /// Number of requests that it counts as: the verifier reads programs for a long time, and announcements
    /// reach every station of a network.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Self::Load { .. } => 4096,
            Self::Announce(_) | Self::ExpectAddress(_) => 4,
            _ => 1,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => 1,
            Self::Load { .. } => 2,
            Self::Attach => 3,
            Self::Detach => 4,
            Self::Bind { .. } => 5,
            Self::PutAddress(_) => 6,
            Self::RemoveAddress(_) => 7,
            Self::Announce(_) => 8,
            Self::GiveStateDir => 9,
            Self::LeaveAddresses => 10,
            Self::ExpectAddress(_) => 11,
            Self::StandBy { .. } => 12,
            Self::Dismiss => 13,
            Self::Orphan => 14,
            Self::Relieve => 15,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One request of every kind, and more where a kind has several forms.
    pub(crate) fn all() -> Vec<Request> {
        let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap());
        let bind = |transport, way, address| Request::Bind { transport, way, address, port: 443 };
        vec![
            Request::hello(),
            Request::Load { workers: 256 },
            Request::Attach,
            Request::Detach,
            bind(Transport::Tcp, BindWay::Shared, BindAddress::Any),
            bind(Transport::Tcp, BindWay::Held, BindAddress::Ip(v4)),
            bind(Transport::Udp, BindWay::Shared, BindAddress::Ip(v6)),
            Request::PutAddress(v4),
            Request::ExpectAddress(v6),
            Request::RemoveAddress(v6),
            Request::Announce(v4),
            Request::GiveStateDir,
            Request::LeaveAddresses,
            Request::StandBy { port: 40_000, backlog: 4096 },
            Request::Dismiss,
            Request::Orphan,
            Request::Relieve,
        ]
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        for (number, request) in (0x0102_0304..).zip(all()) {
            let bytes = request.encode(number);
            assert!(bytes.len() <= MAX_REQUEST);
            assert_eq!(Request::decode(&bytes), Ok((number, request)));
        }
    }

    #[test]
    fn a_request_that_is_cut_or_has_more_behind_it_is_none() {
        for request in all() {
            let mut bytes = request.encode(7);
            for length in 0..bytes.len() {
                assert_eq!(Request::decode(&bytes[..length]), Err(Malformed), "{request:?} of {length}");
            }
            bytes.push(0);
            assert_eq!(Request::decode(&bytes), Err(Malformed), "{request:?}");
        }
    }

    #[test]
    fn whatever_is_read_is_written_the_same() {
        // A generator that needs nothing: xorshift with a fixed seed.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        let mut read = 0;
        for round in 0..200_000 {
            let length = usize::from(next()) % 30;
            let mut bytes: Vec<u8> = (0..length).map(|_| next()).collect();
            if let Some(kind) = bytes.first_mut().filter(|_| round % 2 == 0) {
                *kind %= 17;
            }
            if let Ok((number, request)) = Request::decode(&bytes) {
                assert_eq!(request.encode(number), bytes);
                read += 1;
            }
        }
        assert!(read > 100, "{read} of random bytes were requests");
    }
}
