//! Requests to an API server, each with a limit.

use std::time::Duration;

use tokio::time::timeout;

use super::api_error::ApiError;

/// Limit for the server to begin a response, and between two objects of a list.
pub(super) const EVENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Error that ends a round.
pub(super) enum Error {
    /// The server's, or of the connection to it.
    Server(kube::Error),
    /// The response cannot be parsed, or ended early.
    Malformed(String),
    /// The server took the request and says nothing.
    Timeout(Duration),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            // Each line is an event of its own; whose this one was nobody knows.
            kube::Error::SerdeError(error) => Self::Malformed(error.to_string()),
            other => Self::Server(other),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Server(error) => Self::of(&error),
            Error::Malformed(why) => Self::Other(why),
            Error::Timeout(limit) => Self::Unreachable(format!("no response within {}s", limit.as_secs())),
        }
    }
}

/// Waits for the response to a single request.
///
/// # Errors
/// The server refuses it, cannot be reached, or does not respond within 30 s.
pub(crate) async fn request<T>(
    response: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    within(EVENT_TIMEOUT, response).await.map_err(ApiError::from)
}

/// Waits for a response that begins in time: a server may accept connections and never respond.
///
/// # Errors
/// [`Error::Timeout`] after `limit`; else the error of the request.
pub(super) async fn within<T>(
    limit: Duration,
    response: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match timeout(limit, response).await {
        Ok(response) => Ok(response?),
        Err(_) => Err(Error::Timeout(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_never_responds_is_not_waited_for_for_ever() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let never = std::future::pending::<Result<(), kube::Error>>();
        let limit = Duration::from_millis(1);
        let came = runtime.block_on(within(limit, never));
        assert!(matches!(came, Err(Error::Timeout(of)) if of == limit));
        assert!(matches!(runtime.block_on(within(EVENT_TIMEOUT, async { Ok(7) })), Ok(7)));
        let text = ApiError::from(Error::Timeout(EVENT_TIMEOUT)).to_string();
        assert!(text.contains("no response within 30s"), "{text}");
    }
}
