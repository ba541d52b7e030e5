//! Errors of a watch, in words for those who can fix them.

use std::fmt;

use kube::core::response::Status;

use super::kinds::Subject;

/// Why a watch gives nothing at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// The API server refuses it: our account lacks the right.
    Denied {
        /// The verb that is missing.
        verb: String,
        /// Our user as the server names it, if it does.
        user: String,
    },
    /// The server has no such kind, in no version that we know.
    Missing,
    /// The server does not have what every API server has: it is none.
    NoApiServer,
    /// Our identity is not accepted at all.
    Unauthorized(String),
    /// The server cannot be reached.
    Unreachable(String),
    /// It responds with something else.
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
    pub(super) fn is_common(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unauthorized(_) | Self::NoApiServer)
    }

    /// The failure of a single request.
    pub(super) fn of(error: &kube::Error) -> Self {
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

    /// A kind is not there (404). Kinds that Kubernetes itself defines are in every API server.
    pub(super) fn missing(subject: Subject) -> Self {
        match subject {
            Subject::Objects(_) if !subject.is_custom() => Self::NoApiServer,
            _ => Self::Missing,
        }
    }

    /// Of `… is forbidden: User "system:serviceaccount:a:b" cannot list resource "httproutes" in API group …`.
    fn denied(message: &str) -> Self {
        let verb = message.split_once(" cannot ").and_then(|(_, rest)| rest.split_ascii_whitespace().next());
        let user = message.split_once("User \"").and_then(|(_, rest)| rest.split_once('"'));
        Self::Denied {
            verb: verb.unwrap_or("list").to_owned(),
            user: user.map(|(name, _)| name.to_owned()).unwrap_or_default(),
        }
    }

    /// One line: what is missing and what to do. `synced` says whether objects of the kind are held from before.
    pub(super) fn line(&self, subject: Subject, namespace: Option<&str>, synced: bool) -> String {
        let place =
            namespace.map_or_else(|| "in all namespaces".to_owned(), |name| format!("in namespace {name:?}"));
        let place = if subject.namespaced() { place } else { "in the cluster".to_owned() };
        let rest = if synced { "what was seen last stays in force" } else { "its objects count as none" };
        let resource = subject.resource();
        match self {
            Self::Denied { verb, user } => {
                let who = if user.is_empty() { "this account".to_owned() } else { format!("{user:?}") };
                format!(
                    "the API server lets {who} not {verb} {resource} {place}, so {rest}; grant it the verbs list \
                     and watch"
                )
            }
            Self::Missing => {
                format!(
                    "the API server has no {resource}, so {rest}; install the CRDs of Gateway API v1.6 or v1.7"
                )
            }
            Self::NoApiServer => format!(
                "the server has no {resource}, which every API server has, so {rest}; check the address (`server`) of the \
                 kubeconfig"
            ),
            Self::Unauthorized(why) => format!(
                "the API server does not know us ({why}), so {rest}; check the token or certificate of the kubeconfig"
            ),
            Self::Unreachable(why) => {
                format!("the API server cannot be reached, so {rest}; tried again: {why}")
            }
            Self::Other(why) => {
                format!("{resource} cannot be watched {place}, so {rest}; tried again: {why}")
            }
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
    use gateway_api_types::Kind;

    use super::*;

    fn status(code: u16, message: &str) -> Box<Status> {
        let mut status = Status::failure(message, "Test");
        status.code = code;
        Box::new(status)
    }

    #[test]
    fn a_refusal_names_the_verb_the_resource_and_who_we_are() {
        let message = "httproutes.gateway.networking.k8s.io is forbidden: User \"system:serviceaccount:s:sluice\" \
                       cannot watch resource \"httproutes\" in API group \"gateway.networking.k8s.io\" at the cluster scope";
        let failure = ApiError::of_status(&status(403, message));
        let line = failure.line(Subject::Objects(Kind::HttpRoute), None, false);
        assert!(
            line.contains(
                "\"system:serviceaccount:s:sluice\" not watch httproutes.gateway.networking.k8s.io"
            ) && line.contains("count as none"),
            "{line}"
        );
        assert!(failure.is_response());
        let line = failure.line(Subject::Objects(Kind::HttpRoute), Some("a"), true);
        assert!(line.contains("in namespace \"a\"") && line.contains("stays in force"), "{line}");
    }

    #[test]
    fn a_server_without_what_every_server_has_is_none() {
        let core = ApiError::missing(Subject::Objects(Kind::Service));
        assert!(!core.is_response(), "nothing is served empty for it");
        let line = core.line(Subject::Objects(Kind::Service), None, false);
        assert!(line.contains("no services") && line.contains("check the address"), "{line}");
        assert_eq!(ApiError::missing(Subject::Objects(Kind::Gateway)), ApiError::Missing);
        assert_eq!(ApiError::missing(Subject::Definitions), ApiError::Missing);
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
