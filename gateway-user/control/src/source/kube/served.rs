//! In which version a kind is served.

use gateway_api_types::Kind;
use kube::Client;

use super::kinds::Subject;
use crate::kube_watch::{ApiError, request};

/// The version in which to ask.
///
/// # Errors
/// The server does not respond, or refuses, or has the kind in no version that we read.
pub(super) async fn version(client: &Client, subject: Subject) -> Result<&'static str, ApiError> {
    match subject {
        Subject::Objects(kind) if subject.is_custom() || subject.is_optional() => {
            request(of_kind(client, kind)).await?.ok_or(ApiError::Missing)
        }
        Subject::Objects(kind) => Ok(kind.version()),
        Subject::Definitions => Ok("v1"),
    }
}

/// The first of the versions that we read in which the server has the kind; `None` if it has it in none.
async fn of_kind(client: &Client, kind: Kind) -> Result<Option<&'static str>, kube::Error> {
    for version in kind.served_versions() {
        let group = format!("{}/{version}", kind.group());
        match client.list_api_group_resources(&group).await {
            Ok(list) if list.resources.iter().any(|resource| resource.name == kind.plural()) => {
                return Ok(Some(version));
            }
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
