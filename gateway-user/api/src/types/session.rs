//! Session persistence (GEP-1619).

use serde::{Deserialize, Serialize};

closed_enum! {
    /// The key of a session.
    SessionPersistenceType {
        /// A cookie.
        Cookie = "Cookie",
        /// A header.
        Header = "Header",
    }
}

closed_enum! {
    /// Lifetime of a session cookie.
    CookieLifetimeType {
        /// Until `absoluteTimeout`.
        Permanent = "Permanent",
        /// Until the client ends its session.
        Session = "Session",
    }
}

/// Requests of one session go to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPersistence {
    /// The key of a session; a cookie if absent.
    #[serde(rename = "type", default = "cookie_type")]
    pub type_: SessionPersistenceType,
    /// For `Cookie`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<SessionCookie>,
    /// For `Header`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<SessionHeader>,
    /// Time after which a session ends for good (GEP-2257 duration).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute_timeout: Option<String>,
}

/// The session cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionCookie {
    /// Its name; the implementation chooses if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its `Path` attribute (RFC 6265 section 5.2.4); `/` if absent.
    #[serde(default = "root_path")]
    pub path: String,
    /// Its lifetime; until the client ends its session if absent.
    #[serde(default = "session_lifetime")]
    pub lifetime_type: CookieLifetimeType,
}

/// The session header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionHeader {
    /// Its name.
    pub name: String,
}

fn cookie_type() -> SessionPersistenceType {
    SessionPersistenceType::Cookie
}

fn session_lifetime() -> CookieLifetimeType {
    CookieLifetimeType::Session
}

fn root_path() -> String {
    "/".to_owned()
}
