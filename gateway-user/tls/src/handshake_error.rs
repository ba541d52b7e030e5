//! Reasons why a handshake failed: a closed list with one code each.

use std::fmt;

/// Reasons why a connection was never secured. `docs/tls.md` explains every code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeError {
    /// The first bytes are no TLS record.
    NotTls,
    /// The ClientHello is malformed or longer than anything a client sends.
    BadHello,
    /// No listener serves the name, or none without a hostname for a client that names none.
    UnrecognizedName,
    /// The listener has no certificate that can be served.
    NoCertificate,
    /// The client speaks only versions that are too old.
    NoCommonVersion,
    /// No cipher suite, group or signature scheme in common.
    NoCommonParameters,
    /// The client asks for application protocols of which we speak none.
    NoApplicationProtocol,
    /// The client refused us: an alert, such as for a certificate that it does not trust.
    ClientAlert,
    /// The client closed or broke the connection.
    ClientClosed,
    /// The handshake took too long.
    Timeout,
    /// Anything else that breaks the protocol.
    Protocol,
}

impl HandshakeError {
    /// Every failure, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::NotTls,
        Self::BadHello,
        Self::UnrecognizedName,
        Self::NoCertificate,
        Self::NoCommonVersion,
        Self::NoCommonParameters,
        Self::NoApplicationProtocol,
        Self::ClientAlert,
        Self::ClientClosed,
        Self::Timeout,
        Self::Protocol,
    ];

    /// The stable code, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::BadHello => "bad_client_hello",
            Self::UnrecognizedName => "unrecognized_name",
            Self::NoCertificate => "no_certificate",
            Self::NoCommonVersion => "no_common_version",
            Self::NoCommonParameters => "no_common_parameters",
            Self::NoApplicationProtocol => "no_application_protocol",
            Self::ClientAlert => "client_alert",
            Self::ClientClosed => "client_closed",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol_error",
        }
    }

    /// The alert to send where no session exists yet that would send its own (RFC 8446 section 6.2); `None`
    /// if the peer would not understand one.
    pub fn alert(self) -> Option<[u8; 7]> {
        let description = match self {
            Self::NotTls | Self::ClientClosed | Self::ClientAlert | Self::Timeout => return None,
            Self::BadHello => 50,
            Self::UnrecognizedName => 112,
            Self::NoCertificate => 80,
            Self::NoCommonVersion => 70,
            Self::NoApplicationProtocol => 120,
            Self::NoCommonParameters | Self::Protocol => 40,
        };
        // An alert record in clear text: type, version, length; then level "fatal".
        Some([21, 3, 3, 0, 2, 2, description])
    }
}

impl From<&rustls::Error> for HandshakeError {
    fn from(error: &rustls::Error) -> Self {
        use rustls::{Error, PeerIncompatible as No};
        match error {
            Error::AlertReceived(_) => Self::ClientAlert,
            Error::NoApplicationProtocol => Self::NoApplicationProtocol,
            Error::PeerIncompatible(
                No::SupportedVersionsExtensionRequired
                | No::Tls12NotOffered
                | No::Tls12NotOfferedOrEnabled
                | No::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::NoCommonVersion,
            Error::PeerIncompatible(_) => Self::NoCommonParameters,
            _ => Self::Protocol,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
