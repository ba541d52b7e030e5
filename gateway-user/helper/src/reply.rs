//! Messages from the helper.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gateway_ir::BindAddress;
use ipnet::IpNet;

use crate::policy::Policy;
use crate::wire::{Cursor, MAX_PACKET, MAX_TEXT, Malformed, put_bind_address, put_ports, put_text};

/// Most networks of a pool.
const MAX_POOL: usize = 64;

/// Outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Response to the greeting: the helper's limits.
    Welcome(Policy),
    /// It is done. Descriptors come with it where the request asks for some.
    Done {
        /// True if it changed something: not if an address was there already.
        changed: bool,
        /// Place of the pins, or the reason why there are none; empty for other requests.
        pins: Result<String, String>,
    },
    /// The system refuses.
    Failed {
        /// The system's number of the error, or 0.
        errno: i32,
        /// The reason, for people.
        reason: String,
    },
}

impl Reply {
    /// An outcome without anything to tell.
    #[must_use]
    pub fn done(changed: bool) -> Self {
        Self::Done { changed, pins: Err(String::new()) }
    }

    /// The bytes of the reply to the request with this number.
    #[must_use]
    pub fn encode(&self, number: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Welcome(policy) => {
                bytes.push(1);
                bytes.extend(number.to_le_bytes());
                put_policy(&mut bytes, policy);
            }
            Self::Done { changed, pins } => {
                bytes.push(2);
                bytes.extend(number.to_le_bytes());
                bytes.push(u8::from(*changed));
                bytes.push(u8::from(pins.is_ok()));
                put_text(&mut bytes, pins.as_ref().unwrap_or_else(|reason| reason));
            }
            Self::Failed { errno, reason } => {
                bytes.push(3);
                bytes.extend(number.to_le_bytes());
                bytes.extend(errno.to_le_bytes());
                put_text(&mut bytes, reason);
            }
        }
        bytes
    }

    /// The number and the reply of a packet.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<(u32, Self), Malformed> {
        let within = bytes.len() <= MAX_PACKET;
        let mut cursor = Cursor::new(if within { bytes } else { &[] });
        let (kind, number) = (cursor.u8()?, cursor.u32()?);
        let reply = match kind {
            1 => Self::Welcome(policy(&mut cursor)?),
            2 => {
                let (changed, pinned, text) = (cursor.flag()?, cursor.flag()?, cursor.text(MAX_TEXT)?);
                Self::Done { changed, pins: if pinned { Ok(text) } else { Err(text) } }
            }
            3 => Self::Failed { errno: cursor.u32()?.cast_signed(), reason: cursor.text(MAX_TEXT)? },
            _ => return Err(Malformed),
        };
        cursor.end()?;
        Ok((number, reply))
    }
}

fn put_policy(bytes: &mut Vec<u8>, policy: &Policy) {
    put_ports(bytes, &policy.reserved_ports);
    bytes.push(u8::from(policy.allowed_ports.is_some()));
    put_ports(bytes, policy.allowed_ports.as_ref().unwrap_or(&BTreeSet::new()));
    let pool = policy.pool.get(..policy.pool.len().min(MAX_POOL)).unwrap_or_default();
    bytes.push(u8::try_from(pool.len()).unwrap_or_default());
    for network in pool {
        put_bind_address(bytes, BindAddress::Ip(network.addr()));
        bytes.push(network.prefix_len());
    }
    bytes.push(u8::from(policy.interface.is_some()));
    put_text(bytes, policy.interface.as_deref().unwrap_or_default());
}

fn policy(cursor: &mut Cursor<'_>) -> Result<Policy, Malformed> {
    let reserved_ports = cursor.ports()?;
    let (some_allowed, allowed) = (cursor.flag()?, cursor.ports()?);
    let count = usize::from(cursor.u8()?);
    if count > MAX_POOL {
        return Err(Malformed);
    }
    let mut network = || -> Result<IpNet, Malformed> {
        let (ip, prefix): (IpAddr, u8) = (cursor.ip()?, cursor.u8()?);
        IpNet::new(ip, prefix).map_err(|_| Malformed)
    };
    let pool = (0..count).map(|_| network()).collect::<Result<_, _>>()?;
    let (some_interface, interface) = (cursor.flag()?, cursor.text(MAX_TEXT)?);
    Ok(Policy {
        reserved_ports,
        allowed_ports: some_allowed.then_some(allowed),
        pool,
        interface: some_interface.then_some(interface),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Reply> {
        vec![
            Reply::Welcome(Policy::default()),
            Reply::Welcome(Policy {
                reserved_ports: [0, 22, 65_535].into(),
                allowed_ports: Some([80].into()),
                pool: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/64".parse().unwrap()],
                interface: Some("eth0".to_owned()),
            }),
            Reply::done(true),
            Reply::Done { changed: false, pins: Ok("/sys/fs/bpf/sluice".to_owned()) },
            Reply::Failed { errno: -7, reason: "größer".to_owned() },
        ]
    }

    #[test]
    fn a_reply_arrives_as_it_was_sent_and_is_none_when_it_is_cut() {
        for reply in all() {
            let bytes = reply.encode(9);
            assert!(bytes.len() <= MAX_PACKET);
            assert_eq!(Reply::decode(&bytes), Ok((9, reply)));
            for length in (0..bytes.len()).rev().take(64).chain(0..64.min(bytes.len())) {
                assert_eq!(Reply::decode(&bytes[..length]), Err(Malformed), "{length}");
            }
            let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
            assert_eq!(Reply::decode(&longer), Err(Malformed));
        }
    }

    #[test]
    fn the_largest_reply_fits_into_a_packet_and_a_long_text_is_cut_between_letters() {
        let networks = |last| format!("2001:db8:{last:x}::/48").parse().unwrap();
        let policy = Policy {
            reserved_ports: (0..=u16::MAX).collect(),
            allowed_ports: Some((0..=u16::MAX).collect()),
            pool: (0..64).map(networks).collect(),
            interface: Some("a".repeat(15)),
        };
        assert!(Reply::Welcome(policy).encode(0).len() <= MAX_PACKET);
        let reason = "é".repeat(MAX_TEXT);
        let bytes = Reply::Failed { errno: 1, reason }.encode(0);
        let Ok((0, Reply::Failed { reason, .. })) = Reply::decode(&bytes) else { panic!("a reply") };
        assert_eq!(reason, "é".repeat(MAX_TEXT / 2));
    }
}
