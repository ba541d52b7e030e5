//! Errors of a watch, in words for those who can fix them.

use gateway_api_types::Kind;

use super::kinds::Subject;
use crate::kube_watch::ApiError;

impl ApiError {
    /// A kind is not there (404). Kinds that Kubernetes itself defines are in every API server.
    pub(super) fn missing(subject: Subject) -> Self {
        match subject {
            Subject::Objects(_) if !subject.is_custom() => Self::NoApiServer,
            _ => Self::Missing,
        }
    }

    /// One line: what is missing and what to do. `synced` says whether objects of the kind are held from
    /// before.
    pub(super) fn line(&self, subject: Subject, namespace: Option<&str>, synced: bool) -> String {
        let place =
            namespace.map_or_else(|| "in all namespaces".to_owned(), |name| format!("in namespace {name:?}"));
        let place = if subject.namespaced() { place } else { "in the cluster".to_owned() };
        let rest = match (synced, subject) {
            (true, _) => "what was seen last stays in force",
            (false, Subject::Objects(Kind::Node)) => {
                "Gateways whose GatewayConfig selects nodes are served on none"
            }
            (false, _) => "its objects count as none",
        };
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
                let fix = match subject {
                    Subject::Objects(Kind::GatewayConfig) => "apply deploy/crds of this version of Sluice",
                    _ => "install the CRDs of Gateway API v1.6 or v1.7",
                };
                format!("the API server has no {resource}, so {rest}; {fix}")
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

#[cfg(test)]
mod tests {
    use kube::core::response::Status;

    use super::*;

    #[test]
    fn a_refusal_names_the_verb_the_resource_and_who_we_are() {
        let message = "httproutes.gateway.networking.k8s.io is forbidden: User \"system:serviceaccount:s:sluice\" \
                       cannot watch resource \"httproutes\" in API group \"gateway.networking.k8s.io\" at the cluster scope";
        let mut status = Status::failure(message, "Forbidden");
        status.code = 403;
        let failure = ApiError::of(&kube::Error::Api(Box::new(status)));
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
        let own = ApiError::missing(Subject::Objects(Kind::GatewayConfig));
        let line = own.line(Subject::Objects(Kind::GatewayConfig), None, false);
        assert!(line.contains("no gatewayconfigs.sluice.dev") && line.contains("deploy/crds"), "{line}");
    }
}
