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
    /// The listener asks for a certificate, and the client has shown none.
    ClientCertificateRequired,
    /// The client's certificate, or one of its issuers', has expired.
    ClientCertificateExpired,
    /// One of them is not valid yet.
    ClientCertificateNotYetValid,
    /// No authority that the listener trusts has signed the client's certificate.
    ClientCertificateUnknownCa,
    /// The client's certificate is not for clients (RFC 5280 section 4.2.1.12).
    ClientCertificateBadUsage,
    /// Anything else that is wrong with the client's certificate, or the proof that it is the client's.
    ClientCertificateInvalid,
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
    pub const ALL: [Self; 17] = [
        Self::NotTls,
        Self::BadHello,
        Self::UnrecognizedName,
        Self::NoCertificate,
        Self::NoCommonVersion,
        Self::NoCommonParameters,
        Self::NoApplicationProtocol,
        Self::ClientCertificateRequired,
        Self::ClientCertificateExpired,
        Self::ClientCertificateNotYetValid,
        Self::ClientCertificateUnknownCa,
        Self::ClientCertificateBadUsage,
        Self::ClientCertificateInvalid,
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
            Self::ClientCertificateRequired => "client_certificate_required",
            Self::ClientCertificateExpired => "client_certificate_expired",
            Self::ClientCertificateNotYetValid => "client_certificate_not_yet_valid",
            Self::ClientCertificateUnknownCa => "client_certificate_unknown_ca",
            Self::ClientCertificateBadUsage => "client_certificate_bad_usage",
            Self::ClientCertificateInvalid => "client_certificate_invalid",
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
            // Certificates come under the keys of a session, which says it.
            Self::ClientCertificateRequired
            | Self::ClientCertificateExpired
            | Self::ClientCertificateNotYetValid
            | Self::ClientCertificateUnknownCa
            | Self::ClientCertificateBadUsage
            | Self::ClientCertificateInvalid => return None,
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
                // No client of TLS 1.2 leaves that out, and older versions have none.
                | No::SignatureAlgorithmsExtensionRequired
                | No::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::NoCommonVersion,
            // rustls says in words that no key signs by what a client of TLS 1.2 takes: its one error of a handshake without a
            // kind (`server::tls12`).
            Error::PeerIncompatible(_) | Error::General(_) => Self::NoCommonParameters,
            Error::NoCertificatesPresented => Self::ClientCertificateRequired,
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            _ => Self::Protocol,
        }
    }
}

impl HandshakeError {
    /// The reason for which a client's certificate is refused.
    fn of_certificate(error: &rustls::CertificateError) -> Self {
        use rustls::CertificateError as Bad;
        match error {
            Bad::Expired | Bad::ExpiredContext { .. } => Self::ClientCertificateExpired,
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => Self::ClientCertificateNotYetValid,
            Bad::UnknownIssuer => Self::ClientCertificateUnknownCa,
            Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => Self::ClientCertificateBadUsage,
            _ => Self::ClientCertificateInvalid,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
