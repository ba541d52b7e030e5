//! The PROXY protocol's header, versions 1 and 2 (HAProxy, `proxy-protocol.txt`): what a load balancer puts
//! before the bytes of the client that it speaks for.

mod binary;
mod line;
#[cfg(test)]
mod tests;
mod write;

use std::net::SocketAddr;

/// Most bytes of a header of either version, bounded for what TLVs may cost; the specification's own bound of
/// version 2 is 65,551.
pub const MAX_HEADER: usize = 4096;

/// The kind of the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    Incomplete,
    /// A whole header.
    Complete {
        /// Its bytes; the client's own follow.
        consumed: usize,
        /// For whom the sender speaks; `None` if for itself or if it does not say (`LOCAL`, `UNKNOWN`,
        /// `AF_UNSPEC`).
        source: Option<Proxied>,
    },
}

/// A connection as the sender of the header accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// The client.
    pub client: SocketAddr,
    /// Whom the client connected to.
    pub destination: SocketAddr,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    /// They begin as neither version does.
    #[error("no PROXY header")]
    Missing,
    /// Version 1: no CRLF within 107 bytes.
    #[error("a PROXY line of more than 107 bytes")]
    LineTooLong,
    /// Version 1: not single blanks between the parts, too many or too few of them, or a byte that is no
    /// printable ASCII.
    #[error("a malformed PROXY line")]
    BadLine,
    /// Version 1: neither `TCP4`, `TCP6` nor `UNKNOWN`. Version 2: no stream over IPv4 or IPv6.
    #[error("an unsupported address family or transport")]
    UnsupportedFamily,
    /// Version 1: not an address of the family in its usual spelling, or not a port in decimal without
    /// leading zeros.
    #[error("a malformed address or port")]
    BadAddress,
    /// Version 2's signature before another version.
    #[error("an unknown version")]
    UnknownVersion,
    /// Version 2: neither `LOCAL` nor `PROXY`.
    #[error("an unknown command")]
    UnknownCommand,
    /// Version 2: more than [`MAX_HEADER`] bytes all told.
    #[error("a header of more than 4096 bytes")]
    TooLong,
    /// Version 2: less than the family's addresses.
    #[error("no room for the addresses")]
    TooShort,
    /// Version 2: TLVs that do not end where the header ends.
    #[error("a malformed TLV")]
    BadTlv,
}

impl ProxyHeaderError {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Missing,
        Self::LineTooLong,
        Self::BadLine,
        Self::UnsupportedFamily,
        Self::BadAddress,
        Self::UnknownVersion,
        Self::UnknownCommand,
        Self::TooLong,
        Self::TooShort,
        Self::BadTlv,
    ];

    /// Its name in metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::LineTooLong => "line_too_long",
            Self::BadLine => "bad_line",
            Self::UnsupportedFamily => "unsupported_family",
            Self::BadAddress => "bad_address",
            Self::UnknownVersion => "unknown_version",
            Self::UnknownCommand => "unknown_command",
            Self::TooLong => "too_long",
            Self::TooShort => "too_short",
            Self::BadTlv => "bad_tlv",
        }
    }
}

/// Reads the header at the start of `bytes`, the first of a connection. Bytes after it change nothing.
///
/// # Errors
/// They are no header, and no further bytes would make them one.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    if begins(bytes, binary::SIGNATURE) {
        binary::parse(bytes)
    } else if begins(bytes, line::SIGNATURE) {
        line::parse(bytes)
    } else {
        Err(ProxyHeaderError::Missing)
    }
}

/// True if `bytes` begin with the signature, or are its beginning.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(byte, expected)| byte == expected)
}
