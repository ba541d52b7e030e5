//! The API server's judgement of a node's token (TokenReview of `authentication.k8s.io/v1`).
//!
//! A kubelet gives a pod a token that is bound to it and its node; since Kubernetes 1.32 the review says which node that is
//! (KEP-4193), so that no node speaks for another one.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::time::timeout;
use tracing::warn;

/// The audience that a node's token must be for: a token for the API server is none, so that a controller never holds one
/// that it could use elsewhere.
pub const AUDIENCE: &str = "sluice-controller";
/// The extra of a review that names the node.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// Limit for the server's response: a node waits for it.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Judges tokens.
#[derive(Clone, Debug)]
pub struct Reviewer {
    reviews: Api<TokenReview>,
    /// User names of ServiceAccounts whose pods may follow.
    users: Vec<String>,
}

/// The outcome for a node that must not follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Judged {
    /// It may not, whenever it asks.
    #[error("{0}")]
    Refused(String),
    /// The API server does not say.
    #[error("{0}")]
    Unknown(String),
}

impl Reviewer {
    /// Admits pods of these ServiceAccounts, each as namespace and name.
    pub fn new(client: Client, accounts: &[(String, String)]) -> Self {
        let user = |(namespace, name): &(String, String)| format!("system:serviceaccount:{namespace}:{name}");
        Self { reviews: Api::all(client), users: accounts.iter().map(user).collect() }
    }

    /// The node that the token's pod is on.
    ///
    /// # Errors
    /// [`Judged`].
    pub async fn node_of(&self, token: &str) -> Result<String, Judged> {
        if token.is_empty() {
            let text = "the node shows no token; set --controller-token";
            return Err(Judged::Refused(text.to_owned()));
        }
        let spec = TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![AUDIENCE.to_owned()]) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = timeout(TIMEOUT, self.reviews.create(&PostParams::default(), &review)).await;
        let unknown = |why: String| {
            warn!("a node's token cannot be judged: {why}; the node waits, and others are served on");
            Judged::Unknown(format!("the API server does not judge the token now: {why}"))
        };
        match answer {
            Ok(Ok(review)) => self.judge(review.status.unwrap_or_default()),
            Ok(Err(Error::Api(status))) if status.code == 403 => Err(unknown(format!(
                "{}; allow the controller verb create on tokenreviews in group authentication.k8s.io",
                status.message
            ))),
            Ok(Err(error)) => Err(unknown(error.to_string())),
            Err(_) => Err(unknown(format!("no response within {}s", TIMEOUT.as_secs()))),
        }
    }

    fn judge(&self, status: TokenReviewStatus) -> Result<String, Judged> {
        let refused = |why: String| Err(Judged::Refused(why));
        if status.authenticated != Some(true) {
            let why = status.error.unwrap_or_else(|| "it is not valid".to_owned());
            return refused(format!("the node's token: {why}"));
        }
        // A server that knows no audiences authenticates any.
        if !status.audiences.iter().flatten().any(|audience| audience == AUDIENCE) {
            return refused(format!("the node's token is not for audience {AUDIENCE}"));
        }
        let user = status.user.unwrap_or_default();
        let name = user.username.unwrap_or_default();
        if !self.users.contains(&name) {
            return refused(format!(
                "{name} may not follow; name the nodes' ServiceAccount with --node-accounts"
            ));
        }
        let mut nodes = user.extra.into_iter().flatten().filter(|(key, _)| key == NODE_NAME);
        match nodes.next().and_then(|(_, values)| values.into_iter().next()) {
            Some(node) => Ok(node),
            None => refused(
                "the node's token names no node: it must be a pod's own, of Kubernetes 1.32 or later"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;

    fn reviewer() -> Reviewer {
        let client = Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        Reviewer::new(client, &[("sluice-system".to_owned(), "sluice-node".to_owned())])
    }

    fn status(user: &str, audience: &str, node: Option<&str>) -> TokenReviewStatus {
        let extra = node.map(|node| [(NODE_NAME.to_owned(), vec![node.to_owned()])].into());
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec![audience.to_owned()]),
            user: Some(UserInfo { username: Some(user.to_owned()), extra, ..UserInfo::default() }),
            ..TokenReviewStatus::default()
        }
    }

    const NODE: &str = "system:serviceaccount:sluice-system:sluice-node";

    #[tokio::test]
    async fn a_token_counts_if_it_is_for_us_from_a_known_account_and_names_its_node() {
        let reviewer = reviewer();
        let judge = |status| reviewer.judge(status).map_err(|error| error.to_string());
        assert_eq!(judge(status(NODE, AUDIENCE, Some("edge-1"))), Ok("edge-1".to_owned()));
        assert!(
            judge(status(NODE, "https://kubernetes.default.svc", Some("edge-1")))
                .unwrap_err()
                .contains(AUDIENCE)
        );
        let other = "system:serviceaccount:shop:default";
        assert!(judge(status(other, AUDIENCE, Some("edge-1"))).unwrap_err().contains(other));
        assert!(judge(status(NODE, AUDIENCE, None)).unwrap_err().contains("1.32"));
        assert!(judge(TokenReviewStatus::default()).unwrap_err().contains("not valid"));
        let unaware = TokenReviewStatus { audiences: None, ..status(NODE, AUDIENCE, Some("edge-1")) };
        assert!(judge(unaware).is_err());
    }

    #[tokio::test]
    async fn without_an_api_server_nobody_is_refused_for_good() {
        assert!(matches!(reviewer().node_of("token").await, Err(Judged::Unknown(_))));
        assert!(matches!(reviewer().node_of("").await, Err(Judged::Refused(_))));
    }
}
