//! Reasons why a backend was not spoken to: a closed list with one code each.

use std::fmt;

use rustls::{CertificateError, Error, InvalidMessage};

/// Reasons why a connection to a backend was never secured. `docs/reason-codes.md` explains every code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendTlsError {
    /// The backend's certificate has expired, or is not valid yet.
    CertificateExpired,
    /// The certificate has none of the names that the policy asks for.
    WrongName,
    /// No trusted authority has signed the certificate.
    UnknownAuthority,
    /// Anything else is wrong with the certificate.
    BadCertificate,
    /// The backend refused us by an alert, such as for a client certificate that it asks for.
    Refused,
    /// No version, cipher suite, group or signature scheme in common.
    NoCommonParameters,
    /// HTTP/2 is to be spoken, and the backend did not choose it (RFC 7301).
    NoHttp2,
    /// The backend does not speak TLS on this port.
    NotTls,
    /// The backend closed or broke the connection in the handshake.
    Closed,
    /// The handshake took too long.
    Timeout,
    /// Anything else that breaks the protocol.
    Protocol,
}

impl BackendTlsError {
    /// Every one, in order.
    pub const ALL: [Self; 11] = [
        Self::CertificateExpired,
        Self::WrongName,
        Self::UnknownAuthority,
        Self::BadCertificate,
        Self::Refused,
        Self::NoCommonParameters,
        Self::NoHttp2,
        Self::NotTls,
        Self::Closed,
        Self::Timeout,
        Self::Protocol,
    ];

    /// The stable code, in snake_case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::CertificateExpired => "upstream_tls_certificate_expired",
            Self::WrongName => "upstream_tls_wrong_name",
            Self::UnknownAuthority => "upstream_tls_unknown_authority",
            Self::BadCertificate => "upstream_tls_bad_certificate",
            Self::Refused => "upstream_tls_refused",
            Self::NoCommonParameters => "upstream_tls_no_common_parameters",
            Self::NoHttp2 => "upstream_tls_no_http2",
            Self::NotTls => "upstream_tls_not_tls",
            Self::Closed => "upstream_tls_closed",
            Self::Timeout => "upstream_tls_timeout",
            Self::Protocol => "upstream_tls_protocol_error",
        }
    }
}

impl From<&Error> for BackendTlsError {
    fn from(error: &Error) -> Self {
        use CertificateError as Bad;
        match error {
            Error::InvalidCertificate(
                Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
            ) => Self::CertificateExpired,
            Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
                Self::WrongName
            }
            // An authority of the same name with another key, as after a rotation, has not signed it either.
            Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => Self::UnknownAuthority,
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented => Self::BadCertificate,
            Error::AlertReceived(_) => Self::Refused,
            Error::PeerIncompatible(_) => Self::NoCommonParameters,
            Error::NoApplicationProtocol => Self::NoHttp2,
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload,
            ) => Self::NotTls,
            _ => Self::Protocol,
        }
    }
}

impl fmt::Display for BackendTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
