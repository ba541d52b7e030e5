//! Alerts that end a session (RFC 8446 section 6, RFC 5246 section 7.2).

/// Descriptions of the alerts that are sent, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alert {
    CloseNotify = 0,
    UnexpectedMessage = 10,
    BadRecordMac = 20,
    RecordOverflow = 22,
    IllegalParameter = 47,
    DecodeError = 50,
    InternalError = 80,
    NoRenegotiation = 100,
}

/// Level of an alert after which the session goes on, unless it is for another reason the last.
pub(super) const WARNING: u8 = 1;
/// Level of one that ends the session.
pub(super) const FATAL: u8 = 2;

/// `user_canceled`, which the peer may send before its end (RFC 8446 section 6.1).
const USER_CANCELED: u8 = 90;

/// The reason for which a session breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The peer broke the protocol, and is told so.
    Ours(Alert),
    /// The peer's own fatal alert. There is nobody left to tell.
    Theirs,
    /// The peer's alert of a kind that TLS 1.3 has not; it is told so.
    BadLevel(Alert),
}

impl From<Alert> for Fault {
    fn from(alert: Alert) -> Self {
        Self::Ours(alert)
    }
}

impl Fault {
    /// The alert that tells the peer.
    pub(super) fn alert(self) -> Option<Alert> {
        match self {
            Self::Ours(alert) | Self::BadLevel(alert) => Some(alert),
            Self::Theirs => None,
        }
    }
}

/// An alert of the peer's that does not break the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// It sends nothing more.
    End,
    /// A warning, of which only so many are taken.
    Warning,
}

/// Reads the content of a record of alerts, which is one alert (RFC 8446 section 5.1).
pub(super) fn read(content: &[u8], is_tls13: bool) -> Result<Received, Fault> {
    let &[level, description] = content else { return Err(Alert::DecodeError.into()) };
    match (level, description) {
        (WARNING | FATAL, 0) => Ok(Received::End),
        (FATAL, _) => Err(Fault::Theirs),
        (WARNING, USER_CANCELED) => Ok(Received::Warning),
        // Errors whatever their level says (RFC 8446 section 6).
        (WARNING, _) if is_tls13 => Err(Fault::BadLevel(Alert::DecodeError)),
        (WARNING, _) => Ok(Received::Warning),
        _ => Err(Fault::BadLevel(Alert::IllegalParameter)),
    }
}
