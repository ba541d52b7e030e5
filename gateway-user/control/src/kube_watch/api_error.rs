//! Errors of requests to an API server, and the next step of a watch after each.

use std::fmt;

use kube::core::response::Status;

/// Error of requests to an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// The server refuses it: the account lacks the right (403).
    Denied {
        /// The verb that is missing.
        verb: String,
        /// Our user as the server names it, if it does.
        user: String,
    },
    /// The server has no such kind, in no version that we know (404).
    Missing,
    /// The server does not have a kind that every API server has: it is none.
    NoApiServer,
    /// The server does not accept our identity (401).
    Unauthorized(String),
    /// The server cannot be reached, or does not respond in time.
    Unreachable(String),
    /// Any other response.
    Other(String),
}

/// Next step after an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Say it, and go on after a pause.
    Wait(ApiError),
    /// Begin anew at once: what was asked for is gone.
    Relist,
    /// Begin anew with pages: the server streams no lists.
    Page,
    /// Find out anew in which version the kind is served.
    Rediscover,
}

impl ApiError {
    /// True if the server has responded: what it refuses or does not have counts as nothing once it is clear
    /// that it means it.
    pub fn is_response(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::Missing)
    }

    /// True if it is the same for all kinds: the server's, not a kind's.
    pub(crate) fn is_common(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unauthorized(_) | Self::NoApiServer)
    }

    /// The failure of a single request.
    pub(crate) fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status),
            other => Self::Unreachable(root(other)),
        }
    }

    fn of_status(status: &Status) -> Self {
        match status.code {
            403 => Self::denied(&status.message),
            401 => Self::Unauthorized(status.message.clone()),
            404 => Self::Missing,
            code => Self::Other(format!("{code} {}: {}", status.reason, status.message)),
        }
    }

    /// Of `… is forbidden: User "system:serviceaccount:a:b" cannot list resource "httproutes" …`.
    fn denied(message: &str) -> Self {
        let verb = message.split_once(" cannot ").and_then(|(_, rest)| rest.split_ascii_whitespace().next());
        let user = message.split_once("User \"").and_then(|(_, rest)| rest.split_once('"'));
        Self::Denied {
            verb: verb.unwrap_or("list").to_owned(),
            user: user.map(|(name, _)| name.to_owned()).unwrap_or_default(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { verb, .. } => write!(f, "no right to {verb}"),
            Self::Missing => f.write_str("not installed"),
            Self::NoApiServer => f.write_str("not an API server"),
            Self::Unauthorized(why) => write!(f, "not authenticated: {why}"),
            Self::Unreachable(why) => write!(f, "not reachable: {why}"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl NextStep {
    /// After what a request came to; `streaming` says whether it asked for a streamed list.
    pub(super) fn after(error: &kube::Error, streaming: bool) -> Self {
        let kube::Error::Api(status) = error else { return Self::Wait(ApiError::of(error)) };
        match status.code {
            410 => Self::Relist,
            404 => Self::Rediscover,
            // "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled", as
            // 422, and 400 of servers that do not know the word.
            400 | 422 if streaming => Self::Page,
            _ => Self::Wait(ApiError::of_status(status)),
        }
    }
}

/// Root cause: "Connection refused", where the outermost says "client error (Connect)".
fn root(error: &kube::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str) -> Box<Status> {
        let mut status = Status::failure(message, "Test");
        status.code = code;
        Box::new(status)
    }

    #[test]
    fn what_to_do_follows_from_the_code() {
        let start = |code| kube::Error::Api(status(code, "x"));
        assert_eq!(NextStep::after(&start(410), true), NextStep::Relist);
        assert_eq!(NextStep::after(&start(404), true), NextStep::Rediscover);
        assert_eq!(NextStep::after(&start(422), true), NextStep::Page);
        assert!(matches!(NextStep::after(&start(422), false), NextStep::Wait(ApiError::Other(_))));
        assert!(matches!(NextStep::after(&start(403), true), NextStep::Wait(ApiError::Denied { .. })));
        assert!(matches!(NextStep::after(&start(500), true), NextStep::Wait(ApiError::Other(_))));
    }
}
