//! The connections that clients use: clear text, and each version of TLS.

/// Clear text or a version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Transport {
    /// No TLS.
    Clear,
    /// TLS 1.2 alone.
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

impl Transport {
    pub(super) const ALL: &[Self] = &[Self::Clear, Self::Tls12, Self::Tls13];
    pub(super) const TLS: &[Self] = &[Self::Tls12, Self::Tls13];
    /// For clients whose version of TLS nobody can set.
    pub(super) const NEWEST: &[Self] = &[Self::Clear, Self::Tls13];
    pub(super) const CLEAR: &[Self] = &[Self::Clear];

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear text",
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        }
    }

    /// The version's number; empty for clear text.
    pub(super) fn version(self) -> &'static str {
        match self {
            Self::Clear => "",
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }

    /// The client's choice of one of these; nothing for clear text.
    pub(super) fn choose<T>(self, tls12: T, tls13: T) -> Option<T> {
        match self {
            Self::Clear => None,
            Self::Tls12 => Some(tls12),
            Self::Tls13 => Some(tls13),
        }
    }
}
